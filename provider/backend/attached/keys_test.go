package attached_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend/attached"
	"github.com/imagegate/imagegate/provider/backend/attached/attachedtest"
	"github.com/imagegate/imagegate/provider/report"
)

func put(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for what another goroutine does; the limit only tells "not at
// all".
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// following starts to follow the keys of a file.
func (w *world) following(file string) *attached.Finder {
	w.t.Helper()
	w.options.Keys, w.options.KeyFiles = nil, []string{file}
	f := w.finder()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Start(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Start: %v", err)
		}
	})
	return f
}

func TestKeysAreFollowed(t *testing.T) {
	w := newWorld(t, true)
	file := filepath.Join(t.TempDir(), "ci.pub")
	old, rotated := attachedtest.NewSigner(t), w.signer
	put(t, file, old.PEM(t))
	f := w.following(file)
	w.bundle(w.report(time.Hour, "CVE-1"))
	find := func() *report.Scan {
		found, err := f.Find(t.Context(), w.image)
		if err != nil {
			t.Fatal(err)
		}
		return found.Scan
	}
	if s := find(); s != nil {
		t.Fatalf("found %+v, signed with a key that is not configured", s)
	}
	put(t, file, append(old.PEM(t), rotated.PEM(t)...))
	eventually(t, "the new key counts", func() bool { return find() != nil })

	// A file that is being written leaves the keys as they were.
	both := append(old.PEM(t), rotated.PEM(t)...)
	put(t, file, both[:len(both)-40])
	eventually(t, "the broken file is told of", func() bool { return w.gauge("imagegate_attached_keys_reload_failing") == 1 })
	if find() == nil {
		t.Error("a half-written file took the key away")
	}
	put(t, file, old.PEM(t))
	eventually(t, "the removed key no longer counts", func() bool { return find() == nil })
	if v := w.gauge("imagegate_attached_keys_reload_failing"); v != 0 {
		t.Errorf("the keys are told to fail: %g", v)
	}
}

// A key that is taken away takes with it what was signed with it.
func TestAScanIsTrustedAsLongAsItsKeysAre(t *testing.T) {
	w := newWorld(t, true)
	file := filepath.Join(t.TempDir(), "ci.pub")
	other := attachedtest.NewSigner(t)
	put(t, file, append(other.PEM(t), w.signer.PEM(t)...))
	f := w.following(file)
	w.bundle(w.report(time.Hour, "CVE-1"))
	w.attach(attachedtest.BundleType, attachedtest.BundleType,
		other.SignedBundle(t, attachedtest.Statement(t, "https://openvex.dev/ns", openVEX("1"), w.image.Digest)))
	s, err := f.Wrap(&next{}).Scan(t.Context(), w.image)
	if err != nil || !s.Attached || len(s.VEX) != 1 || len(s.SignedBy) != 2 {
		t.Fatalf("%+v, %v", s, err)
	}
	own := &report.Scan{}
	if !f.Trusts(s) || !f.Trusts(own) {
		t.Error("not trusted although all keys are there")
	}
	put(t, file, w.signer.PEM(t))
	eventually(t, "the scan is no longer trusted", func() bool { return !f.Trusts(s) })
	if !f.Trusts(own) {
		t.Error("a scan with nothing attached is not trusted")
	}
	unstated := &report.Scan{Attached: true}
	if f.Trusts(unstated) {
		t.Error("a report that does not say what was looked at is trusted, which today would be passed over")
	}
	w.options.Unstated, w.options.Registerer = true, nil
	if !w.finder().Trusts(unstated) {
		t.Error("it is not trusted although such reports count")
	}
}

func (w *world) gauge(name string) float64 {
	w.t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	w.t.Fatalf("there is no metric %s", name)
	return 0
}
