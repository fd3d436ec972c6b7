package bundled

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/report"
)

// client is one that waits for an answer until it is called off.
type client struct {
	asked chan struct{}
}

func (c *client) Scan(ctx context.Context, _ backend.Image) (*report.Scan, error) {
	c.asked <- struct{}{}
	<-ctx.Done()
	return nil, &report.Failure{Reason: report.ReasonUnavailable, Message: "the scan was called off", Err: ctx.Err()}
}
func (c *client) Sharing(backend.Image) backend.Sharing { return backend.ByRepository }
func (c *client) Ready(context.Context) error           { return nil }
func (c *client) Generation(context.Context) (backend.Generation, error) {
	return backend.Generation{Scanner: "bundled"}, nil
}

func TestAScanSaysThatTheWorkerIsAway(t *testing.T) {
	w, out := start(t, "works", Options{RestartInitial: time.Hour, RestartMax: time.Hour})
	if err := w.WaitReady(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	c := &client{asked: make(chan struct{}, 1)}
	b := w.Guard(c)
	if g, err := b.Generation(t.Context()); err != nil || g.Scanner != "bundled" || b.Ready(t.Context()) != nil {
		t.Errorf("generation of a worker that runs: %+v, %v", g, err)
	}
	if s := b.Sharing(backend.Image{}); s != backend.ByDigest {
		t.Errorf("the worker, which verifies what it reads, shares scans %d", s)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := b.Scan(t.Context(), backend.Image{})
		failed <- err
	}()
	<-c.asked
	w.mu.Lock()
	pid := w.process.Pid
	w.mu.Unlock()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wantAway(t, <-failed, out)
	_, err := b.Scan(t.Context(), backend.Image{})
	wantAway(t, err, out)
	if len(c.asked) != 0 {
		t.Error("a worker that is away was asked")
	}
	if _, err := b.Generation(t.Context()); err == nil || b.Ready(t.Context()) == nil {
		t.Errorf("generation of a worker that is away: %v", err)
	}
}

func wantAway(t *testing.T, err error, out *logs) {
	t.Helper()
	f := report.FailureOf(err)
	if f.Reason != report.ReasonUnavailable || !strings.Contains(f.Message, "is not running") || !strings.Contains(f.Message, "signal: killed") {
		t.Errorf("failure is %s: %v\n%s", f.Reason, err, out.text())
	}
}

func TestAScanThatIsCalledOffSaysSo(t *testing.T) {
	w, _ := start(t, "works", Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.Guard(&client{asked: make(chan struct{}, 1)}).Scan(ctx, backend.Image{})
	if f := report.FailureOf(err); !strings.Contains(f.Message, "called off") {
		t.Errorf("error is %v", err)
	}
}
