package view_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
	"github.com/imagegate/imagegate/provider/store"
	"github.com/imagegate/imagegate/provider/verdict"
	"github.com/imagegate/imagegate/provider/view"
)

// world is a provider with its real service, store and verdict, and a registry and a
// scanner that say what a test wants.
type world struct {
	t       testing.TB
	view    *view.View
	options view.Options
	service *service.Service
	bucket  *bucket.Memory
	reports *store.Reports
	judge   *verdict.Judge
	names   *view.Names
	// scans are by the digest of the manifest, images have the platforms' digests by the
	// reference without its tag.
	scans  map[string]*report.Scan
	images map[string][]registry.Manifest
	clock  atomic.Int64
	parts  []view.Part
}

func (w *world) now() time.Time { return time.Unix(w.clock.Load(), 0) }

func (w *world) resolve(_ context.Context, ref, _ string, _ registry.Access) (*registry.Resolved, error) {
	name, _, _ := strings.Cut(strings.TrimPrefix(ref, "r.example/"), ":")
	manifests, ok := w.images[name]
	if !ok {
		return nil, &report.Failure{Reason: report.ReasonNotFound, Message: "there is no such image"}
	}
	digest := manifests[0].Digest
	if len(manifests) > 1 {
		digest = digestOf(name + " index")
	}
	return &registry.Resolved{Reference: ref, Digest: digest, Registry: "https://r.example", Repository: name, Tag: "1", Manifests: manifests}, nil
}

func (w *world) Resolve(ctx context.Context, ref, platform string, a registry.Access) (*registry.Resolved, error) {
	return w.resolve(ctx, ref, platform, a)
}

func (w *world) ResolveNow(ctx context.Context, ref, platform string, a registry.Access) (*registry.Resolved, error) {
	return w.resolve(ctx, ref, platform, a)
}

func (*world) Authorization(context.Context, *registry.Resolved, registry.Access) (string, error) {
	return "", nil
}

func (*world) Refused(context.Context, *registry.Resolved, registry.Access) {}

func (w *world) Scan(_ context.Context, i backend.Image) (*report.Scan, error) {
	scan, ok := w.scans[i.Digest]
	if !ok {
		return nil, &report.Failure{Reason: report.ReasonUnsupported, Message: "it is <b>no</b> image"}
	}
	return scan, nil
}

func (*world) Sharing(backend.Image) backend.Sharing { return backend.ByDigest }

func digestOf(name string) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	for n := 0; b.Len() < 64; n++ {
		c := byte(n)
		if n < len(name) {
			c += name[n]
		}
		b.WriteByte(hex[c>>4&15])
		b.WriteByte(hex[c&15])
	}
	return "sha256:" + b.String()[:64]
}

func newWorld(t testing.TB, exceptions string, change ...func(*view.Options)) *world {
	t.Helper()
	w := &world{t: t, bucket: bucket.NewMemory(), scans: map[string]*report.Scan{}, images: map[string][]registry.Manifest{}, names: view.NewNames(view.NamesBytes)}
	w.clock.Store(now().Unix())
	o := verdict.Options{Threshold: report.SeverityHigh, Now: w.now}
	if exceptions != "" {
		o.ExceptionsFile = filepath.Join(t.TempDir(), "exceptions.yaml")
		if err := os.WriteFile(o.ExceptionsFile, []byte(exceptions), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if w.judge, err = verdict.New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	if w.reports, err = store.NewReports(store.ReportsOptions{Bucket: w.bucket, Bytes: 1 << 30, CacheBytes: 1 << 20, Timeout: 10 * time.Second}); err != nil {
		t.Fatal(err)
	}
	reports := w.reports
	go func() { _ = reports.Run(ctx); done <- struct{}{} }()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	tags, err := store.NewTags(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	w.service, err = service.New(t.Context(), service.Options{
		Registry: w, Scanner: w, Store: w.reports, Tags: tags, Judge: w.judge, Seen: w.names.Saw,
		Workers: 4, PerRegistry: 4, Queue: 100, Deadline: time.Minute, Attempts: 1, RetryInitial: time.Second, RetryMax: time.Second,
		TransientFor: 5 * time.Second, FailureInitial: 30 * time.Second, FailureMax: 5 * time.Minute, Failures: 100, MaxAge: 7 * 24 * time.Hour, RefreshAfter: 6 * 24 * time.Hour,
		RefreshesPerMinute: 60, Refreshers: 1, YieldAfter: 30 * time.Second, AbandonAfter: 20 * time.Minute, FindingsBytes: 1 << 20, AnswerBytes: 16 << 20,
		Logger: log, Registerer: prometheus.NewRegistry(), Now: w.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.parts = []view.Part{{Name: "store"}, {Name: "scanner", Err: errors.New("it is <i>away</i>"), Needed: true}, {Name: "installation", Err: errors.New("not yet")}}
	w.options = view.Options{
		Reports: w.reports, Scans: w.service, Judge: w.judge, Names: w.names, Logger: log, Now: w.now,
		Ready: func(context.Context) []view.Part { return w.parts },
	}
	for _, f := range change {
		f(&w.options)
	}
	v, err := view.New(w.options)
	w.view = v
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = v.Run(ctx); done <- struct{}{} }()
	t.Cleanup(func() {
		cancel()
		<-done
		<-done
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := w.service.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return w
}

// add adds an image of one platform to the registry.
func (w *world) add(name string, scan *report.Scan) (reference string) {
	d := digestOf(name)
	w.images[name] = append(w.images[name], registry.Manifest{Digest: d, Platform: "linux/amd64"})
	if scan != nil {
		scan.Subject = d
		w.scans[d] = scan
	}
	return "r.example/" + name + ":1"
}

// ask has an image scanned.
func (w *world) ask(reference, namespace string) report.ScanReport {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	return w.service.Reports(ctx, []service.Query{{Reference: reference, View: report.ViewFindings, Access: registry.Access{Namespace: namespace}}})[0]
}

// do asks for a page as a browser does.
func (w *world) do(method, target string, header ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequest(method, target, http.NoBody)
	r.Host = "localhost:8090"
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	w.view.ServeHTTP(rec, r)
	return rec
}

func (w *world) get(target string) *document {
	w.t.Helper()
	rec := w.do(http.MethodGet, target)
	if rec.Code != http.StatusOK {
		w.t.Fatalf("%s: %d %s", target, rec.Code, rec.Body)
	}
	if dir := os.Getenv("VIEW_PAGES"); dir != "" { // to be looked at
		name := strings.NewReplacer("/", "_", "?", "_", ":", "_").Replace(w.t.Name() + target)
		if err := os.WriteFile(filepath.Join(dir, name[:min(len(name), 120)]+".html"), rec.Body.Bytes(), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	return parse(w.t, rec.Body.String())
}

// listed waits until a list has so many rows.
func (w *world) listed(target string, rows int) *document {
	w.t.Helper()
	var d *document
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if d = w.get(target); len(d.table("list")) == rows {
			return d
		}
	}
	w.t.Fatalf("%s has %q, want %d rows", target, d.table("list"), rows)
	return nil
}

// listedAll is how many images are listed.
func (w *world) listedAll() int {
	w.t.Helper()
	var all export
	if err := json.Unmarshal(w.do(http.MethodGet, "/images.json?size=1").Body.Bytes(), &all); err != nil {
		w.t.Fatal(err)
	}
	return all.Total
}

// damage makes the report of a manifest one that nobody can read.
func (w *world) damage(digest string) {
	w.t.Helper()
	if _, err := w.bucket.Put(w.t.Context(), backend.ByDigest.Key(backend.Image{Digest: digest}), []byte("damaged"), bucket.Meta{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) eventually(is func() bool) {
	w.t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatal("it does not come")
		}
	}
}
