package database

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The sample is known as such whatever file it comes in.
func TestSampleStaysASample(t *testing.T) {
	file := sampleAt(t, time.Now())
	dir := t.TempDir()
	var said bytes.Buffer
	first := New(Config{Dir: dir, Import: file, MaxAge: time.Hour}, slog.New(slog.NewTextHandler(&said, nil)))
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "level=WARN") || !strings.Contains(said.String(), "the SAMPLE vulnerability database is in use") {
		t.Errorf("the log does not say so: %s", said.String())
	}
	if st, _ := first.Status(); st.Kind != KindSample {
		t.Errorf("imported: %+v", st)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	// As a version wrote it that did not look into the file.
	pointer := filepath.Join(dir, pointerFile)
	raw, err := os.ReadFile(pointer)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pointer, bytes.Replace(raw, []byte(KindSample), []byte(KindGrype), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	look := New(Config{Dir: dir}, discard())
	if err := look.Inspect(); err != nil {
		t.Fatal(err)
	}
	if st, _ := look.Status(); st.Kind != KindSample {
		t.Errorf("looked at: %+v", st)
	}
}

// A sample that was tried out is not used by a worker that was not told to.
func TestSampleIsNotAdopted(t *testing.T) {
	dir := t.TempDir()
	first := New(Config{Dir: dir, Sample: true}, discard())
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	fixed := New(Config{Dir: dir}, discard())
	if err := fixed.Start(); err == nil || !strings.Contains(err.Error(), "SAMPLE") {
		t.Errorf("nothing else can come: %v", err)
	}
	if err := fixed.Close(); err != nil {
		t.Fatal(err)
	}
	url, announce := site(t)
	updated := started(t, Config{Dir: dir, AutoUpdate: true, UpdateURL: url, Name: "test", Version: "1"})
	if updated.Ready() == nil {
		t.Error("the sample is in use")
	}
	now := time.Now().UTC().Truncate(time.Second)
	announce(sampleAt(t, now), now, false)
	if changed, err := updated.Update(); err == nil || changed {
		t.Errorf("a sample is announced: %v %v", changed, err)
	}
	announce(builtAt(t, now), now, false)
	if changed, err := updated.Update(); err != nil || !changed {
		t.Fatalf("update: %v %v", changed, err)
	}
	if st, _ := updated.Status(); st.Kind != KindGrype || updated.Ready() != nil {
		t.Errorf("%+v %v", st, updated.Ready())
	}
}

// A file that something else has changed is replaced by the same release.
func TestChangedDatabaseIsFetchedAgain(t *testing.T) {
	url, announce := site(t)
	d := started(t, Config{Dir: t.TempDir(), AutoUpdate: true, UpdateURL: url, Name: "test", Version: "1"})
	now := time.Now().UTC().Truncate(time.Second)
	announce(builtAt(t, now), now, false)
	if changed, err := d.Update(); err != nil || !changed {
		t.Fatalf("first update: %v %v", changed, err)
	}
	lease, err := d.Acquire()
	if err != nil {
		t.Fatal(err)
	}
	lease.Release()
	f, err := os.OpenFile(filepath.Join(lease.Dir, fileName), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString("more")
	_ = f.Close()
	if d.Ready() == nil {
		t.Error("a changed database is used")
	}
	if changed, err := d.Update(); err != nil || !changed || d.Ready() != nil {
		t.Errorf("the same release again: %v %v %v", changed, err, d.Ready())
	}
}

// While no scan can run, updates are tried every minute whatever the interval.
func TestUpdatesAreHurried(t *testing.T) {
	dir := t.TempDir() // outside the bubble: it is removed with real files in it
	synctest.Test(t, func(t *testing.T) {
		d := New(Config{Dir: dir, AutoUpdate: true, Interval: 2 * time.Hour}, discard())
		tries := 0
		d.update = func() (bool, error) { tries++; return false, nil }
		go d.Run(t.Context())
		time.Sleep(5*time.Minute + time.Second)
		synctest.Wait()
		if tries != 6 {
			t.Errorf("%d updates were tried", tries)
		}
	})
}

func TestUpdateThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d := New(Config{}, slog.New(slog.NewTextHandler(&out, nil)))
		d.update = func() (bool, error) { time.Sleep(3*overdue + time.Second); return true, nil }
		if err := d.updateOnce(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := strings.Count(out.String(), "does not end"); n != 3 {
			t.Errorf("%d warnings in 3 times the time: %s", n, out.String())
		}
	})
}
