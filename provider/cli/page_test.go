package cli

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/config"
)

// provider scan -o html writes a page of the image that was scanned.
func TestScanWritesAPage(t *testing.T) {
	w := newWorld(t)
	image := w.push(t, "team/app")
	file := filepath.Join(t.TempDir(), "config.yaml")
	text := "scanner: {harbor: {url: " + w.adapter.URL + ", verify: 'off'}}\nregistry: {insecure: ['" + w.registry + "']}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := Main([]string{"scan", "-o", "html", "--config", file, "--data-dir", t.TempDir(), image}, &out, &errs)
	for _, want := range []string{`<strong class="status accepted">`, "<bdi>" + image + "</bdi>", "<bdi>CVE-1</bdi>", "verdict.severityThreshold", "below the threshold"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if code != 0 || t.Failed() {
		t.Errorf("exit code %d: %s\n%s", code, errs.String(), out.String())
	}
}

// A provider shows people what it answers Gatekeeper, on an address of its own, and
// after a restart what it has kept.
func TestPagesAreServed(t *testing.T) {
	w := newWorld(t)
	image := w.push(t, "team/app")
	c := w.configured(t, func(c *config.Config) { c.View.Listen = "127.0.0.1:0" })
	for n, name := range []string{image, "not asked for since the start"} {
		r := start(t, c)
		if n == 0 {
			if a := r.ask(t, image, "team", patience); a.Status != "accepted" {
				t.Fatalf("%+v", a)
			}
		}
		var digest string
		eventually(t, func() string {
			code, text := r.get(t, "http://"+r.view+"/images")
			if code != http.StatusOK || !strings.Contains(text, name) {
				return text
			}
			_, after, _ := strings.Cut(text, "href=\"/images/")
			digest, _, _ = strings.Cut(after, "\"")
			return ""
		})
		if code, text := r.get(t, "http://"+r.view+"/images/"+digest); code != http.StatusOK || !strings.Contains(text, "CVE-1") || !strings.Contains(text, "below the threshold") {
			t.Errorf("%s: %d %s", digest, code, text)
		}
		for _, page := range []string{"/vulnerabilities/CVE-1", "/health", "/exceptions"} {
			if code, text := r.get(t, "http://"+r.view+page); code != http.StatusOK {
				t.Errorf("%s: %d %s", page, code, text)
			}
		}
		// The protocol is not spoken there, nor are pages shown where it is.
		if code, _ := r.get(t, "http://"+r.view+"/metrics"); code != http.StatusNotFound {
			t.Errorf("/metrics among the pages: %d", code)
		}
		if code, _ := r.get(t, "https://"+r.listen+"/images"); code != http.StatusNotFound {
			t.Errorf("pages among the protocol: %d", code)
		}
		r.end(t)
	}
}

func TestPagesWaitForTheStore(t *testing.T) {
	w := newWorld(t)
	c := w.configured(t, func(c *config.Config) {
		c.View.Listen = freeAddress(t)
		c.Store.NATS.URL = "nats://" + freeAddress(t) // nobody is there
	})
	r := launch(t, c)
	eventually(t, func() string {
		resp, err := r.client.Get("http://" + c.View.Listen + "/images")
		if err != nil {
			return err.Error()
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable {
			return resp.Status
		}
		return ""
	})
	time.Sleep(10 * time.Millisecond)
	r.stop()
}
