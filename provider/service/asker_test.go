package service

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// heard is a log that a timer writes to.
type heard struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b.Write(p)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b.String()
}

func (h *heard) Reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.b.Reset()
}

// Audit asks about every running image, each minute: a line for each hid what
// happened at admission.
func TestARoundOfAuditIsOneLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out heard
		r := newRounds(slog.New(slog.NewTextHandler(&out, nil)), time.Now)
		for range 100 {
			r.add(report.Accepted)
			time.Sleep(100 * time.Millisecond)
		}
		r.add(report.Rejected)
		synctest.Wait()
		if out.String() != "" {
			t.Errorf("told of before it was over: %s", out.String())
		}
		time.Sleep(roundQuiet + time.Second)
		synctest.Wait()
		line := out.String()
		if strings.Count(line, "\n") != 1 || !strings.Contains(line, "msg=audit reports=101 accepted=100 rejected=1 scan_failed=0 report_not_available=0 duration=10s") {
			t.Errorf("told of as %s", line)
		}
		out.Reset()
		time.Sleep(time.Hour)
		r.close()
		synctest.Wait()
		if out.String() != "" {
			t.Errorf("told of nothing: %s", out.String())
		}
		for range 10 {
			r.add(report.NotAvailable)
			time.Sleep(roundMost / 5)
		}
		r.close()
		synctest.Wait()
		if n := strings.Count(out.String(), "report_not_available=1 "); n != 10 {
			t.Errorf("rounds with a pause between them: %s", out.String())
		}
	})
}

func TestARoundThatDoesNotEndIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out heard
		r := newRounds(slog.New(slog.NewTextHandler(&out, nil)), time.Now)
		for range 2 * int(roundMost/(10*time.Second)) {
			r.add(report.Accepted)
			time.Sleep(10 * time.Second)
		}
		r.close()
		synctest.Wait()
		if n := strings.Count(out.String(), "msg=audit"); n != 2 {
			t.Errorf("told of %d times: %s", n, &out)
		}
	})
}
