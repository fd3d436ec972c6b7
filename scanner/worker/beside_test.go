package worker_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/scanner/worker"
)

// A worker whose cache directory is another's says so, or works beside that one if it
// was told that it may, and leaves nothing behind.
func TestAWorkerBesideAnother(t *testing.T) {
	first := startWorker(t, nil)
	cfg := worker.Default()
	cfg.Listen, cfg.CacheDir, cfg.Database.Sample, cfg.Warm = "127.0.0.1:0", first.cache, true, false
	if _, err := worker.New(cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), first.cache+" is in use by another scanner worker") {
		t.Errorf("%v", err)
	}
	left := filepath.Join(first.cache, "beside", "killed")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(left, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	second := startWorker(t, func(c *worker.Config) { c.CacheDir, c.Beside = first.cache, true })
	there := func() []string {
		t.Helper()
		dirs, err := filepath.Glob(filepath.Join(first.cache, "beside", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return dirs
	}
	if dirs := there(); len(dirs) != 1 || dirs[0] == left {
		t.Errorf("%v while it runs", dirs)
	}
	second.stop()
	if dirs := there(); len(dirs) != 0 {
		t.Errorf("%v after it", dirs)
	}
}
