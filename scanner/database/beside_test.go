package database

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// until fails the test when it does not become true.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// following runs a database that shares dir's until the end of the test.
func following(t *testing.T, cfg Config) *Database {
	t.Helper()
	cfg.Dir, cfg.Interval = filepath.Join(cfg.Beside, "..", "beside", "db"), time.Hour
	d := started(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return d
}

// A database that another worker has is used where it lies, and goes on being used
// when it is replaced there.
func TestTheDatabaseOfAnotherWorker(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	now := time.Now().UTC().Truncate(time.Second)
	url, announce := site(t)
	owner := started(t, Config{Dir: dir, AutoUpdate: true, UpdateURL: url, Name: "test", Version: "1"})
	d := following(t, Config{Beside: dir})
	if d.Ready() == nil || d.Progress().State != Looking {
		t.Errorf("before there is one: %+v", d.Progress())
	}
	announce(builtAt(t, now), now, false)
	if changed, err := owner.Update(); err != nil || !changed {
		t.Fatalf("%v %v", changed, err)
	}
	until(t, "the database is not taken over", func() bool { return d.Ready() == nil })
	lease, err := d.Acquire()
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	ours, err := os.Stat(filepath.Join(lease.Dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.Stat(filepath.Join(owner.current.dir, fileName))
	if err != nil || !os.SameFile(ours, theirs) {
		t.Errorf("it is there twice: %v", err)
	}
	later := now.Add(time.Second)
	announce(builtAt(t, later), later, false)
	if changed, err := owner.Update(); err != nil || !changed {
		t.Fatalf("%v %v", changed, err)
	}
	if d.Ready() != nil {
		t.Error("what is used was replaced under it")
	}
	if err := d.link(); err != nil {
		t.Fatal(err)
	}
	if st, _ := d.Status(); !st.BuiltAt.Equal(later) {
		t.Errorf("the new one is not used: %+v", st)
	}
}

// A sample that another worker was asked for is not for one that was not.
func TestTheSampleOfAnotherWorker(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	started(t, Config{Dir: dir, Sample: true})
	d := following(t, Config{Beside: dir})
	until(t, "it is not refused", func() bool {
		p := d.Progress()
		return p.State == Failed && strings.Contains(p.Error, "SAMPLE")
	})
	if d.Ready() == nil {
		t.Error("the sample is used")
	}
}

// When the other worker is gone, its directory is updated for it, and free again.
func TestTheDirectoryOfAWorkerThatIsGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	now := time.Now().UTC().Truncate(time.Second)
	url, announce := site(t)
	announce(builtAt(t, now), now, false)
	d := following(t, Config{Beside: dir, AutoUpdate: true, UpdateURL: url, Name: "test", Version: "1"})
	until(t, "there is no database", func() bool { return d.Ready() == nil })
	next := started(t, Config{Dir: dir})
	if st, ok := next.Status(); !ok || !st.BuiltAt.Equal(now) {
		t.Errorf("%+v", st)
	}
}

// How a download goes on can be asked, and how it failed.
func TestProgress(t *testing.T) {
	url, announce := site(t)
	d := started(t, Config{Dir: t.TempDir(), AutoUpdate: true, UpdateURL: url, Name: "test", Version: "1"})
	if err := d.updateOnce(); err == nil || d.Progress().State != Failed || d.Progress().Error == "" {
		t.Errorf("nothing is announced: %v, %+v", err, d.Progress())
	}
	now := time.Now().UTC().Truncate(time.Second)
	announce(builtAt(t, now), now, false)
	if err := d.updateOnce(); err != nil || d.Progress() != (Progress{State: Done}) {
		t.Errorf("%v, %+v", err, d.Progress())
	}
}

func TestADirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	started(t, Config{Dir: dir, Sample: true})
	err := New(Config{Dir: dir, Sample: true}, discard()).Start()
	if err == nil || !strings.HasSuffix(err.Error(), "is in use by another process") {
		t.Errorf("%v", err)
	}
}

// slowly passes on a site whose archives stop half way until they are let go on.
func slowly(t *testing.T, site string) (url string, goOn func()) {
	t.Helper()
	held := make(chan struct{})
	goOn = sync.OnceFunc(func() { close(held) })
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resp, err := http.Get(site + r.URL.Path)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		w.Header().Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
		if r.Method == http.MethodHead {
			return
		}
		if strings.HasSuffix(r.URL.Path, ".tar.gz") {
			_, _ = io.CopyN(w, resp.Body, resp.ContentLength/2)
			w.(http.Flusher).Flush()
			<-held
		}
		_, _ = io.Copy(w, resp.Body)
	}))
	t.Cleanup(srv.Close)
	t.Cleanup(goOn)
	return srv.URL, goOn
}

// Who waits sees how much of a download has come, be it another worker's.
func TestProgressOfADownload(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	now := time.Now().UTC().Truncate(time.Second)
	fast, announce := site(t)
	announce(builtAt(t, now), now, false)
	url, goOn := slowly(t, fast)
	owner := started(t, Config{Dir: dir, AutoUpdate: true, UpdateURL: url, Name: "test", Version: "1"})
	done := make(chan error, 1)
	go func() { done <- owner.updateOnce() }()
	beside := following(t, Config{Beside: dir})
	for name, d := range map[string]*Database{"its own": owner, "the other's": beside} {
		until(t, name+" download is not seen", func() bool {
			p := d.Progress()
			return p.State == Downloading && p.Received > 0 && p.Received < p.Total
		})
	}
	goOn()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	until(t, "the database is not taken over", func() bool { return beside.Ready() == nil })
}
