package worker_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/scanner/worker"
)

// A registry that hangs keeps the only worker busy: one more scan may wait, the
// next is turned away, and an equal one shares.
func TestQueueFull(t *testing.T) {
	reg := startRegistry(t)
	var digests []string
	for _, c := range []string{"a", "b", "c"} {
		digests = append(digests, push(t, reg, "team/"+c, image(t, layer(t, map[string][]byte{"f": []byte(c)}))))
	}
	hanging := make(chan struct{}, 100)
	release := make(chan struct{})
	reg.onBlob(func(_ http.ResponseWriter, r *http.Request) bool {
		hanging <- struct{}{}
		select {
		case <-release:
			return false
		case <-r.Context().Done():
			return true
		}
	})
	w := startWorker(t, func(c *worker.Config) { c.Jobs.Queue = 1 })
	first := w.start(t, request(reg, "team/a", digests[0]))
	<-hanging // it runs
	second := w.start(t, request(reg, "team/b", digests[1]))
	if same := w.start(t, request(reg, "team/b", digests[1])); same != second {
		t.Errorf("equal requests have identifiers %s and %s", same, second)
	}
	if status, body := w.submit(t, request(reg, "team/c", digests[2])); status != http.StatusTooManyRequests || !bytes.Contains(body, []byte(`"busy"`)) {
		t.Errorf("full queue: %d %s", status, body)
	}
	close(release)
	for _, id := range []string{first, second} {
		if status, body := w.wait(t, id); status != http.StatusOK {
			t.Errorf("%d %s", status, body)
		}
	}
}

// A worker that stops kills its scan; the one after it knows nothing of it, and
// clears what a killed one left.
func TestRestart(t *testing.T) {
	reg := startRegistry(t)
	digest := push(t, reg, "team/a", image(t, layer(t, map[string][]byte{"f": []byte("a")})))
	hanging := make(chan struct{}, 100)
	reg.onBlob(func(_ http.ResponseWriter, r *http.Request) bool {
		hanging <- struct{}{}
		<-r.Context().Done()
		return true
	})
	cache := t.TempDir()
	keep := func(c *worker.Config) { c.CacheDir = cache }
	w := startWorker(t, keep)
	id := w.start(t, request(reg, "team/a", digest))
	<-hanging
	start := time.Now()
	w.stop()
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("stopping took %s", took)
	}
	w.scratchIsEmpty(t)
	if err := os.MkdirAll(filepath.Join(cache, "scratch", "scan-left"), 0o700); err != nil {
		t.Fatal(err)
	}
	reg.onBlob(nil)
	w = startWorker(t, keep)
	w.scratchIsEmpty(t)
	if status, body := w.wait(t, id); status != http.StatusNotFound || !strings.Contains(string(body), "unknown_scan") {
		t.Errorf("scan of the worker before: %d %s", status, body)
	}
	w.report(t, request(reg, "team/a", digest))
}

// Two workers must not share a directory.
func TestCacheDirIsLocked(t *testing.T) {
	w := startWorker(t, nil)
	cfg := worker.Default()
	cfg.Listen, cfg.CacheDir, cfg.Command = "127.0.0.1:0", w.cache, []string{"none"}
	if _, err := worker.New(cfg, discard()); err == nil || !strings.Contains(err.Error(), "in use by another") {
		t.Errorf("a second worker: %v", err)
	}
}

func TestDefaultDatabaseIsGrypesAndUpdatesItself(t *testing.T) {
	db := worker.Default().Database
	if db.UpdateURL != "https://grype.anchore.io/databases" || !db.AutoUpdate || db.Sample || db.Import != "" || db.MaxAge <= 0 {
		t.Errorf("by default: %+v", db)
	}
}

func TestConfigurationErrorsNameTheFlag(t *testing.T) {
	cfg := worker.Default()
	cfg.CacheDir = t.TempDir()
	cfg.Listen, cfg.Jobs.Workers, cfg.Limits.Memory, cfg.Database.UpdateURL = "nowhere", 0, 5, "ftp://x"
	err := cfg.Validate()
	for _, flag := range []string{"--listen", "--workers", "--memory-limit", "--db-update-url"} {
		if err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("no word of %s: %v", flag, err)
		}
	}
}
