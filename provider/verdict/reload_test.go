package verdict_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/verdict"
)

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

func (l *logBuffer) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Len()
}

func start(t *testing.T, j *verdict.Judge) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- j.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Start: %v", err)
		}
	})
}

// eventually waits for what another goroutine does; the limit is generous
// because it only tells "not at all".
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func status(j *verdict.Judge) report.Status {
	return j.Judge(scanOf(finding("CVE-1", report.SeverityHigh, "")), subject()).Status
}

const excused = "- {cve: CVE-1, images: [ghcr.io/acme/], expires: 2026-12-01, reason: r}\n"

func TestFilesAreFollowed(t *testing.T) {
	dir := t.TempDir()
	file, doc := filepath.Join(dir, "exceptions.yaml"), filepath.Join(dir, "vex.json")
	put(t, file, excused)
	put(t, doc, document("d", 1, earlier))
	var log logBuffer
	metrics := prometheus.NewPedanticRegistry()
	j := newJudge(t, verdict.Options{
		Threshold: report.SeverityHigh, ExceptionsFile: file, VEXFiles: []string{doc},
		Logger: slog.New(slog.NewTextHandler(&log, nil)), Registerer: metrics,
	})
	start(t, j)
	if got := status(j); got != report.Accepted {
		t.Fatalf("with the exception: %s", got)
	}

	put(t, file, "[]")
	eventually(t, "the exception is gone", func() bool { return status(j) == report.Rejected })

	put(t, doc, document("d", 2, later, said("not_affected", image, "")))
	eventually(t, "the VEX statement counts", func() bool { return status(j) == report.Accepted })

	put(t, doc, "{")
	eventually(t, "the broken document is logged", func() bool { return log.count("cannot reload the verdict's files") == 1 })
	if got := status(j); got != report.Accepted {
		t.Errorf("with a broken document: %s", got)
	}
	const want = `# HELP imagegate_exceptions Exceptions by state: active, expiring (within 14 days; still in force) and expired.
# TYPE imagegate_exceptions gauge
imagegate_exceptions{state="active"} 0
imagegate_exceptions{state="expired"} 0
imagegate_exceptions{state="expiring"} 0
# HELP imagegate_verdict_reload_failing 1 while the files cannot be used and older content stays in use.
# TYPE imagegate_verdict_reload_failing gauge
imagegate_verdict_reload_failing{part="exceptions"} 0
imagegate_verdict_reload_failing{part="vex"} 1
# HELP imagegate_verdict_reload_failures_total Times that the exceptions file or the VEX documents became unusable.
# TYPE imagegate_verdict_reload_failures_total counter
imagegate_verdict_reload_failures_total{part="exceptions"} 0
imagegate_verdict_reload_failures_total{part="vex"} 1
# HELP imagegate_vex_statements OpenVEX statements loaded.
# TYPE imagegate_vex_statements gauge
imagegate_vex_statements 1
# HELP imagegate_vex_statements_without_effect_total OpenVEX statements read that can have no effect, by where they were: files, or attached to images.
# TYPE imagegate_vex_statements_without_effect_total counter
imagegate_vex_statements_without_effect_total{source="attached"} 0
imagegate_vex_statements_without_effect_total{source="files"} 0
`
	if err := testutil.GatherAndCompare(metrics, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(metrics); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v, %v", problems, err)
	}

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the missing file is logged", func() bool { return log.count("cannot reload the verdict's files") == 2 })

	put(t, doc, document("d", 3, later))
	eventually(t, "the repaired document counts", func() bool { return status(j) == report.Rejected })
}

// The kubelet changes a mounted ConfigMap by swapping one symlink.
func TestSymlinkSwap(t *testing.T) {
	dir := t.TempDir()
	release := func(name, content string) {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, name, "exceptions.yaml"), content)
		if err := os.Symlink(name, filepath.Join(dir, "..next")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..next"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	release("..1", excused)
	file := filepath.Join(dir, "exceptions.yaml")
	if err := os.Symlink("..data/exceptions.yaml", file); err != nil {
		t.Fatal(err)
	}
	j := newJudge(t, verdict.Options{Threshold: report.SeverityHigh, ExceptionsFile: file})
	start(t, j)
	if got := status(j); got != report.Accepted {
		t.Fatalf("before: %s", got)
	}
	release("..2", "[]")
	eventually(t, "the new content counts", func() bool { return status(j) == report.Rejected })
}

func TestNothingToFollow(t *testing.T) {
	start(t, newJudge(t, verdict.Options{}))
}

func TestJudgingWhileFilesChange(t *testing.T) {
	file := write(t, "exceptions.yaml", excused)
	var seen sync.Map
	j := newJudge(t, verdict.Options{Threshold: report.SeverityHigh, ExceptionsFile: file})
	start(t, j)
	scan := scanOf(finding("CVE-1", report.SeverityHigh, ""), finding("CVE-2", report.SeverityLow, ""))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					seen.Store(j.Judge(scan, subject()).Status, true)
				}
			}
		})
	}
	put(t, file, "[]")
	eventually(t, "the change is seen", func() bool {
		_, ok := seen.Load(report.Rejected)
		return ok
	})
	close(stop)
	wg.Wait()
	if scan.Vulnerabilities[0].Suppressed != "" {
		t.Error("the shared scan was written to")
	}
}
