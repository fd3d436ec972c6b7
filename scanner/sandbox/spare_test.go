package sandbox

import (
	"path/filepath"
	"testing"
	"time"
)

// spareOf waits for the runner's spare child.
func spareOf(t *testing.T, r *Runner) *process {
	t.Helper()
	for range 1000 {
		r.spare.mu.Lock()
		p := r.spare.process
		r.spare.mu.Unlock()
		if p != nil {
			return p
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("there is no spare child")
	return nil
}

func TestSpareChildScansOnceAndIsRenewed(t *testing.T) {
	r := newRunner(t, "good")
	r.Warm = true
	r.Prepare()
	first := spareOf(t, r)
	if got, err := r.Run(t.Context(), Request{Digest: "a"}); err != nil || got.Packages != 1 {
		t.Fatalf("%+v %v", got, err)
	}
	select {
	case <-first.ended:
	default:
		t.Error("the scan was another child's")
	}
	second := spareOf(t, r)
	if second == first {
		t.Error("a child would scan twice")
	}
	// What is listed needs no preparation.
	if got, err := r.Run(t.Context(), Request{Digest: "a"}); err != nil || got.Packages != 2 {
		t.Fatalf("%+v %v", got, err)
	}
	if spareOf(t, r) != second {
		t.Error("the spare child was taken for a listed image")
	}
	r.Close()
	<-second.ended
	empty(t, r.Scratch)
	r.Prepare()
	time.Sleep(2 * idle)
	empty(t, r.Scratch)
}

// A spare child that something killed is replaced without failing a scan.
func TestDeadSpareChildIsReplaced(t *testing.T) {
	r := newRunner(t, "good")
	r.Warm = true
	r.Prepare()
	spare := spareOf(t, r)
	killGroup(spare.cmd.Process.Pid)
	<-spare.ended
	if got, err := r.Run(t.Context(), Request{Digest: "a"}); err != nil || got.Packages != 1 {
		t.Fatalf("%+v %v", got, err)
	}
	r.Close()
	left, err := filepath.Glob(filepath.Join(r.Scratch, "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
