package database

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v6 "github.com/anchore/grype/grype/db/v6"
	"github.com/anchore/grype/grype/db/v6/distribution"

	"github.com/imagegate/imagegate/scanner/advisories"
	"github.com/imagegate/imagegate/scanner/failure"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// sampleAt makes a sample database file of an age.
func sampleAt(t *testing.T, at time.Time) string {
	t.Helper()
	all, err := advisories.Load()
	if err != nil {
		t.Fatal(err)
	}
	all.AsOf = at.UTC().Truncate(time.Second)
	path, err := BuildSample(t.TempDir(), all)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// builtAt makes a database file of an age, which does not say that it is the
// sample.
func builtAt(t *testing.T, at time.Time) string {
	t.Helper()
	path := sampleAt(t, at)
	db, err := v6.NewLowLevelDB(path, false, true, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Model(&v6.Provider{}).Where("true").Updates(map[string]any{"processor": "vunnel@1", "version": "1"}).Error; err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	if err := pool.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// archive packs a database as Grype distributes them.
func archive(t *testing.T, db, to string) string {
	t.Helper()
	raw, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	zw := gzip.NewWriter(f)
	tw := tar.NewWriter(zw)
	if err := tw.WriteHeader(&tar.Header{Name: fileName, Mode: 0o600, Size: int64(len(raw)), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := tw.Write(raw); err != nil {
		t.Fatal(err)
	}
	for _, c := range []io.Closer{tw, zw, f} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func started(t *testing.T, cfg Config) *Database {
	t.Helper()
	d := New(cfg, discard())
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func generations(t *testing.T, dir string) int {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, generationPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

func TestSample(t *testing.T) {
	d := started(t, Config{Dir: t.TempDir(), Sample: true, MaxAge: time.Nanosecond})
	st, ok := d.Status()
	if !ok || st.Kind != KindSample || d.Ready() != nil {
		t.Fatalf("%+v %v %v", st, ok, d.Ready())
	}
	lease, err := d.Acquire()
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	r, err := v6.NewReader(v6.Config{DBDirPath: lease.Dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	got, err := r.GetVulnerabilities(&v6.VulnerabilitySpecifier{Name: "GHSA-ppp9-7jff-5vj2"}, &v6.GetVulnerabilityOptions{Preload: true})
	if err != nil || len(got) != 1 || got[0].PublishedDate.Format(time.DateOnly) != "2022-12-26" {
		t.Errorf("%+v %v", got, err)
	}
}

func TestImport(t *testing.T) {
	now := time.Now()
	file := builtAt(t, now)
	for name, reference := range map[string]string{"file": file, "archive": archive(t, file, filepath.Join(t.TempDir(), "db.tar.gz"))} {
		t.Run(name, func(t *testing.T) {
			d := started(t, Config{Dir: t.TempDir(), Import: reference, MaxAge: time.Hour})
			if st, _ := d.Status(); st.Kind != KindGrype || !st.BuiltAt.Equal(now.UTC().Truncate(time.Second)) {
				t.Errorf("%+v", st)
			}
		})
	}
	broken := filepath.Join(t.TempDir(), "broken.db")
	if err := os.WriteFile(broken, []byte("this is no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]Config{
		"broken":  {Import: broken},
		"missing": {Import: broken + "x"},
		"old":     {Import: builtAt(t, now.Add(-48*time.Hour)), MaxAge: 24 * time.Hour},
	} {
		cfg.Dir = t.TempDir()
		d := New(cfg, discard())
		if err := d.Start(); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if n := generations(t, cfg.Dir); n != 0 {
			t.Errorf("%s: %d copies are left", name, n)
		}
		_ = d.Close()
	}
}

// What is installed is found again, and doubted when it changed.
func TestRestartAndTampering(t *testing.T) {
	dir := t.TempDir()
	first := New(Config{Dir: dir, Import: builtAt(t, time.Now())}, discard())
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	if err := New(Config{Dir: dir}, discard()).Start(); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("two use one directory: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again := started(t, Config{Dir: dir})
	lease, err := again.Acquire()
	if err != nil {
		t.Fatal(err)
	}
	lease.Release()
	path := filepath.Join(lease.Dir, fileName)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString("more")
	_ = f.Close()
	if _, err := again.Acquire(); err == nil || failure.Of(err).Code != failure.Database {
		t.Errorf("a changed database is used: %v", err)
	}
	if err := New(Config{Dir: dir}, discard()).Inspect(); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a changed database is adopted: %v", err)
	}
	if err := New(Config{Dir: t.TempDir()}, discard()).Start(); err == nil {
		t.Error("no database, and none to come: accepted")
	}
}

func TestTooOld(t *testing.T) {
	d := started(t, Config{Dir: t.TempDir(), Import: builtAt(t, time.Now())})
	d.cfg.MaxAge = time.Nanosecond
	if _, err := d.Acquire(); err == nil || failure.Of(err).Code != failure.Database {
		t.Errorf("an old database is used: %v", err)
	}
}

// site announces one database as Grype's does.
func site(t *testing.T) (url string, announce func(file string, at time.Time, spoil bool)) {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(dir, "v6")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(srv.Close)
	return srv.URL, func(file string, at time.Time, spoil bool) {
		path := archive(t, file, filepath.Join(root, at.Format("150405")+".tar.gz"))
		a, err := distribution.NewArchive(path, at, v6.ModelVersion, v6.Revision, v6.Addition)
		if err != nil {
			t.Fatal(err)
		}
		if spoil {
			a.Checksum = "sha256:" + strings.Repeat("0", 64)
		}
		raw, err := json.Marshal(distribution.LatestDocument{Status: distribution.StatusActive, Archive: *a})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "latest.json"), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Updates do not disturb a scan that runs, and a bad one changes nothing.
func TestUpdate(t *testing.T) {
	url, announce := site(t)
	dir := t.TempDir()
	d := started(t, Config{Dir: dir, AutoUpdate: true, UpdateURL: url, MaxAge: 24 * time.Hour, Name: "test", Version: "1"})
	if _, err := d.Acquire(); err == nil || failure.Of(err).Code != failure.Database {
		t.Fatalf("before the first update: %v", err)
	}
	if _, err := d.Update(); err == nil {
		t.Error("a site that announces nothing is no error")
	}
	old := time.Now().Add(-2 * time.Hour).UTC().Truncate(time.Second)
	announce(builtAt(t, old), old, false)
	if changed, err := d.Update(); err != nil || !changed {
		t.Fatalf("first update: %v %v", changed, err)
	}
	if changed, err := d.Update(); err != nil || changed {
		t.Fatalf("nothing new: %v %v", changed, err)
	}
	running, err := d.Acquire()
	if err != nil {
		t.Fatal(err)
	}
	bad := old.Add(time.Minute)
	announce(builtAt(t, bad), bad, true)
	if changed, err := d.Update(); err == nil || changed {
		t.Errorf("wrong checksum: %v %v", changed, err)
	}
	if st, _ := d.Status(); !st.BuiltAt.Equal(old) {
		t.Errorf("after a bad update: %+v", st)
	}
	fresh := old.Add(time.Hour)
	announce(builtAt(t, fresh), fresh, false)
	if changed, err := d.Update(); err != nil || !changed {
		t.Fatalf("second update: %v %v", changed, err)
	}
	if st, _ := d.Status(); !st.BuiltAt.Equal(fresh) {
		t.Errorf("after the update: %+v", st)
	}
	if _, err := os.Stat(filepath.Join(running.Dir, fileName)); err != nil {
		t.Errorf("the database of a running scan is gone: %v", err)
	}
	running.Release()
	if n := generations(t, dir); n != 1 {
		t.Errorf("%d copies are on disk", n)
	}
}
