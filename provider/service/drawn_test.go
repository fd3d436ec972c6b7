package service_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
	"github.com/imagegate/imagegate/provider/store"
	"github.com/imagegate/imagegate/provider/verdict"
)

// countingJudge counts the verdicts of a real one.
type countingJudge struct {
	inner  *verdict.Judge
	judged atomic.Int64
}

func (j *countingJudge) Judge(s *report.Scan, subject verdict.Subject) verdict.Outcome {
	j.judged.Add(1)
	return j.inner.Judge(s, subject)
}
func (j *countingJudge) Until(s *report.Scan) time.Time { return j.inner.Until(s) }
func (j *countingJudge) Generation() uint64             { return j.inner.Generation() }

// drawings is a service whose clock, exceptions and scans a test changes.
type drawings struct {
	t     *testing.T
	svc   *service.Service
	judge *countingJudge
	store *store.Memory
	file  string
	clock atomic.Int64
	// platforms are those of each image.
	platforms []string
}

func (d *drawings) now() time.Time { return time.Unix(d.clock.Load(), 0) }

func newDrawings(t *testing.T, exceptions string, platforms ...string) *drawings {
	t.Helper()
	d := &drawings{t: t, file: filepath.Join(t.TempDir(), "exceptions.yaml"), platforms: platforms}
	d.clock.Store(time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC).Unix())
	d.except(exceptions)
	judge, err := verdict.New(verdict.Options{Threshold: report.SeverityHigh, ExceptionsFile: d.file, Now: d.now})
	if err != nil {
		t.Fatal(err)
	}
	d.judge = &countingJudge{inner: judge}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- judge.Start(ctx) }()
	if d.store, err = store.NewMemory(store.MemoryOptions{Reports: 100, Bytes: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	resolve := func(_ context.Context, reference string, _ registry.Access) (*registry.Resolved, error) {
		r := &registry.Resolved{Reference: reference, Digest: "sha256:index", Repository: "shop"}
		for _, p := range d.platforms {
			r.Manifests = append(r.Manifests, registry.Manifest{Digest: "sha256:" + p, Platform: p})
		}
		return r, nil
	}
	scan := scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) { return d.scan(vulnerable()), nil })
	d.svc = newService(t, registryFunc(resolve), scan, func(o *service.Options) {
		o.Judge, o.Store, o.Now, o.MaxAge, o.RefreshAfter = d.judge, d.store, d.now, 48*time.Hour, 24*time.Hour
	})
	t.Cleanup(func() {
		closeService(t, d.svc)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *drawings) scan(s *report.Scan) *report.Scan {
	s.ScannedAt, s.ReceivedAt = d.now(), d.now()
	return s
}

func (d *drawings) except(text string) {
	d.t.Helper()
	if err := os.WriteFile(d.file, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// asks asks in a namespace and says how many verdicts were drawn for that.
func (d *drawings) asks(namespace, image string, view report.View) (r report.ScanReport, judged int64) {
	d.t.Helper()
	before := d.judge.judged.Load()
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	r = d.svc.Reports(ctx, []service.Query{{Reference: image, View: view, Access: registry.Access{Namespace: namespace}}})[0]
	return r, d.judge.judged.Load() - before
}

// settled asks until nothing is drawn any more.
func (d *drawings) settled(namespace, image string) report.ScanReport {
	d.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if r, judged := d.asks(namespace, image, report.ViewSummary); judged == 0 {
			return r
		}
	}
	d.t.Fatal("it is judged again and again")
	return report.ScanReport{}
}

const (
	noException   = "[]\n"
	shopException = "- {cve: CVE-1, images: ['*'], namespaces: [shop], expires: 2026-11-27T13:00:00Z, reason: an hour}\n"
)

// What was drawn is given again, to each by the name that he has asked by, and to no
// other namespace.
func TestAVerdictIsDrawnOnce(t *testing.T) {
	for name, platforms := range map[string][]string{"one platform": {"linux/amd64"}, "two": {"linux/amd64", "linux/arm64"}} {
		t.Run(name, func(t *testing.T) {
			d := newDrawings(t, shopException, platforms...)
			first, _ := d.asks("shop", "r.example/shop:1", report.ViewSummary)
			again := d.settled("shop", "r.example/shop:1")
			if again.Status != report.Accepted || again.Message != first.Message || again.Summary == nil || again.Summary.Suppressed != 1 || again.ImageAndTag != "r.example/shop:1" {
				t.Errorf("%+v, first %+v", again, first)
			}
			other, judged := d.asks("pay", "r.example/shop:1", report.ViewSummary)
			if other.Status != report.Rejected || judged != int64(len(platforms)) {
				t.Errorf("another namespace: %+v, %d verdicts", other, judged)
			}
			if r := d.settled("shop", "r.example/shop:2"); r.ImageAndTag != "r.example/shop:2" || r.Status != report.Accepted {
				t.Errorf("another name: %+v", r)
			}
			if r, _ := d.asks("shop", "r.example/shop:1", report.ViewFindings); len(r.Vulnerabilities) == 0 || r.Vulnerabilities[0].Suppressed == "" {
				t.Errorf("the findings: %+v", r)
			}
			if r := d.settled("pay", "r.example/shop:1"); r.Status != report.Rejected {
				t.Errorf("another namespace, again: %+v", r)
			}
		})
	}
}

// A verdict ends with whatever it was drawn from.
func TestAVerdictIsDrawnAnewOnceItMayBeAnother(t *testing.T) {
	const image = "r.example/shop:1"
	for name, tc := range map[string]struct {
		exceptions string
		platforms  []string
		change     func(d *drawings)
		status     report.Status
		message    string
	}{
		"an exception ends": {shopException, nil, func(d *drawings) { d.clock.Add(3600) }, report.Rejected, "its exception ended"},
		"the file is another": {noException, nil, func(d *drawings) {
			d.except(shopException)
			before := d.judge.Generation()
			for end := time.Now().Add(20 * time.Second); d.judge.Generation() == before && time.Now().Before(end); {
				time.Sleep(5 * time.Millisecond)
			}
		}, report.Accepted, "suppressed"},
		"another scan is there": {noException, nil, func(d *drawings) { d.put("linux/amd64", clean()) }, report.Accepted, ""},
		"one of two is there":   {noException, []string{"linux/amd64", "linux/arm64"}, func(d *drawings) { d.put("linux/amd64", clean()) }, report.Rejected, "linux/arm64"},
		"it has got old":        {noException, nil, func(d *drawings) { d.clock.Add(49 * 3600) }, report.Rejected, "CVE-1"}, // scanned again
		"it is to be renewed":   {noException, nil, func(d *drawings) { d.clock.Add(25 * 3600) }, report.Rejected, "CVE-1"},
		"more of it is judged": {noException, nil, func(d *drawings) {
			d.platforms = []string{"linux/amd64", "linux/arm64"}
			d.put("linux/arm64", clean())
		}, report.Rejected, "linux/amd64"},
		"the image has changed": {noException, nil, func(d *drawings) { d.platforms = []string{"linux/s390x"}; d.put("linux/s390x", clean()) }, report.Accepted, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.platforms == nil {
				tc.platforms = []string{"linux/amd64"}
			}
			d := newDrawings(t, tc.exceptions, tc.platforms...)
			d.asks("shop", image, report.ViewSummary)
			d.settled("shop", image)
			tc.change(d)
			r, judged := d.asks("shop", image, report.ViewSummary)
			if r.Status != tc.status || !strings.Contains(r.Message, tc.message) || judged == 0 {
				t.Errorf("%+v, %d verdicts", r, judged)
			}
			if r := d.settled("shop", image); r.Status != tc.status {
				t.Errorf("again: %+v", r)
			}
		})
	}
}

// Of several platforms the verdict ends with that of the first which ends.
func TestAVerdictEndsWithThatOfOnePlatform(t *testing.T) {
	for _, first := range []string{"linux/amd64", "linux/arm64"} {
		d := newDrawings(t, noException, "linux/amd64", "linux/arm64")
		for _, p := range d.platforms {
			ends := 10 * time.Hour
			if p == first {
				ends = time.Hour
			}
			s := clean()
			s.Coverage = &report.Coverage{Packages: 1, EndOfLife: d.now().Add(ends)}
			d.put(p, s)
		}
		if r := d.settled("shop", "r.example/shop:1"); r.Status != report.Accepted {
			t.Fatalf("%+v", r)
		}
		d.clock.Add(2 * 3600)
		if r, judged := d.asks("shop", "r.example/shop:1", report.ViewSummary); r.Status != report.ScanFailed || judged == 0 {
			t.Errorf("%s ended: %+v, %d verdicts", first, r, judged)
		}
	}
}

// put has a scan in the place of a platform's.
func (d *drawings) put(platform string, s *report.Scan) {
	d.t.Helper()
	s = d.scan(s)
	s.Subject = "sha256:" + platform
	if s.Coverage == nil {
		s.Coverage = &report.Coverage{Packages: 1}
	}
	if _, err := d.store.Put(d.t.Context(), "shop", backend.ByDigest.Key(backend.Image{Digest: s.Subject}), s); err != nil {
		d.t.Fatal(err)
	}
}
