package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// provider scan -o html writes a page of the image that was scanned.
func TestScanWritesAPage(t *testing.T) {
	w := newWorld(t)
	image := w.push(t, "team/app")
	config := filepath.Join(t.TempDir(), "config.yaml")
	text := "scanner: {harbor: {url: " + w.adapter.URL + ", verify: 'off'}}\nregistry: {insecure: ['" + w.registry + "']}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := Main([]string{"scan", "-o", "html", "--config", config, "--data-dir", t.TempDir(), image}, &out, &errs)
	for _, want := range []string{`<strong class="status accepted">`, "<bdi>" + image + "</bdi>", "<bdi>CVE-1</bdi>", "verdict.severityThreshold", "below the threshold"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if code != 0 || t.Failed() {
		t.Errorf("exit code %d: %s\n%s", code, errs.String(), out.String())
	}
}
