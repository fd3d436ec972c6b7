package cli

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/config"
)

// Until its last answer the process says how it is, and follows its files.
func TestWhoEndsGoesOnUntilTheLastAnswer(t *testing.T) {
	w := newWorld(t)
	exceptions := filepath.Join(t.TempDir(), "exceptions.yaml")
	write := func(text string) {
		if err := os.WriteFile(exceptions, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("[]\n")
	r := start(t, w.configured(t, func(c *config.Config) {
		c.Server.ShutdownDelay.Duration = 10 * time.Second
		c.Server.Probes = "127.0.0.1:0"
		c.Verdict.ExceptionsFile = exceptions
	}))
	if a := r.ask(t, w.push(t, "a"), "ns", patience); a.Status != "accepted" {
		t.Fatalf("before its end: %+v", a)
	}
	r.stop()
	r.ready(t, "http://"+r.probes, http.StatusServiceUnavailable, "process: shutting down")
	r.ready(t, "https://"+r.listen, http.StatusServiceUnavailable, "process: shutting down")
	write("[{cve: nonsense}]\n")
	eventually(t, func() string {
		if _, text := r.get(t, "http://"+r.probes+"/metrics"); !strings.Contains(text, "imagegate_verdict_reload_failing{part=\"exceptions\"} 1") {
			return "it no longer follows its files"
		}
		return ""
	})
}

// Who ends alone asks at the address of the Service whether another one answers, and
// tells its own answers there from another's.
func TestAProcessIsTheSameAtEachAddress(t *testing.T) {
	w := newWorld(t)
	r := start(t, w.configured(t, func(c *config.Config) { c.Server.Probes = "127.0.0.1:0" }))
	names := map[string]bool{}
	for _, address := range []string{"http://" + r.probes, "https://" + r.listen} {
		_, header, _ := r.page(t, address+"/readyz")
		names[header.Get("Imagegate-Process")] = true
	}
	if len(names) != 1 || names[""] {
		t.Errorf("it calls itself %v", names)
	}
}
