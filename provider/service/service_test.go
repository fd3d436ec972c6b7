package service_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/owner"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
	"github.com/imagegate/imagegate/provider/store"
	"github.com/imagegate/imagegate/provider/verdict"
)

// The ports are played by functions here; the real ones are tested in their
// own packages and together in the e2e module.

type registryFunc func(ctx context.Context, reference string, access registry.Access) (*registry.Resolved, error)

func (f registryFunc) ResolveNow(ctx context.Context, reference, platform string, access registry.Access) (*registry.Resolved, error) {
	return f.Resolve(ctx, reference, platform, access)
}

func (f registryFunc) Resolve(ctx context.Context, reference, _ string, access registry.Access) (*registry.Resolved, error) {
	return f(ctx, reference, access)
}

func (registryFunc) Authorization(_ context.Context, _ *registry.Resolved, access registry.Access) (string, error) {
	return "Basic " + access.Namespace, nil
}

func (registryFunc) Refused(context.Context, *registry.Resolved, registry.Access) {}

type scannerFunc func(ctx context.Context, image backend.Image) (*report.Scan, error)

// Scan completes what the function returns: most tests are not about what a
// complete report is.
func (f scannerFunc) Scan(ctx context.Context, image backend.Image) (*report.Scan, error) {
	s, err := f(ctx, image)
	if s == nil {
		return nil, err
	}
	out := *s
	if out.Subject == "" {
		out.Subject = image.Digest
	}
	if out.ScannedAt.IsZero() {
		out.ScannedAt = time.Now()
	}
	if out.Coverage == nil {
		out.Coverage = &report.Coverage{Packages: 1}
	}
	return &out, err
}

func (scannerFunc) Sharing(backend.Image) backend.Sharing { return backend.ByDigest }

// sharing is a scanner whose scans count as far as it says.
type sharing struct {
	scannerFunc
	how backend.Sharing
}

func (s sharing) Sharing(backend.Image) backend.Sharing { return s.how }

// oneManifest resolves every reference to a digest made of it.
func oneManifest(_ context.Context, reference string, _ registry.Access) (*registry.Resolved, error) {
	digest := "sha256:" + reference
	return &registry.Resolved{Reference: reference, Digest: digest, Repository: reference, Manifests: []registry.Manifest{{Digest: digest}}}, nil
}

func clean() *report.Scan { return &report.Scan{Scanner: "test"} }

func vulnerable() *report.Scan {
	return &report.Scan{Scanner: "test", Vulnerabilities: []report.Vulnerability{
		{ID: "CVE-1", Package: "p", Installed: "1", Fixed: "2", Severity: report.SeverityHigh},
	}}
}

func newService(t *testing.T, r service.Registry, s service.Scanner, change ...func(*service.Options)) *service.Service {
	t.Helper()
	memory, err := store.NewMemory(store.MemoryOptions{Reports: 1000, Bytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	tags, err := store.NewTags(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	judge, err := verdict.New(verdict.Options{Threshold: report.SeverityHigh})
	if err != nil {
		t.Fatal(err)
	}
	o := service.Options{
		Registry: r, Scanner: s, Store: memory, Tags: tags,
		Judge:   judge,
		Workers: 4, PerRegistry: 4, Queue: 10, // of which one namespace may have three
		Deadline: time.Minute, Attempts: 3,
		RetryInitial: time.Second, RetryMax: 4 * time.Second,
		TransientFor: 5 * time.Second, FailureInitial: 30 * time.Second, FailureMax: 5 * time.Minute,
		RefreshesPerMinute: 60, Refreshers: 1,
		YieldAfter: 30 * time.Second, AbandonAfter: 20 * time.Minute,
		Failures: 100, FindingsBytes: 1 << 20, AnswerBytes: 16 << 20,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Registerer: prometheus.NewRegistry(),
	}
	for _, c := range change {
		c(&o)
	}
	svc, err := service.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return svc
}

func closeService(t *testing.T, svc *service.Service) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := svc.Close(ctx); err != nil {
		t.Error(err)
	}
}

// ask returns the report that is there after at most budget.
func ask(t *testing.T, svc *service.Service, image string, budget time.Duration) report.ScanReport {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), budget)
	defer cancel()
	return svc.Reports(ctx, []service.Query{{Reference: image}})[0]
}

func TestVerdicts(t *testing.T) {
	svc := newService(t, registryFunc(oneManifest), scannerFunc(func(_ context.Context, i backend.Image) (*report.Scan, error) {
		if i.Repository == "bad" {
			return vulnerable(), nil
		}
		return clean(), nil
	}))
	defer closeService(t, svc)
	good, bad := ask(t, svc, "good", time.Minute), ask(t, svc, "bad", time.Minute)
	if good.Status != report.Accepted || good.Digest != "sha256:good" || good.ImageAndTag != "good" {
		t.Errorf("clean image: %+v", good)
	}
	if bad.Status != report.Rejected || !strings.HasPrefix(bad.Message, "CVE-1 (High) in p 1, fixed in 2") {
		t.Errorf("vulnerable image: %+v", bad)
	}
}

func TestOneScanHoweverManyAskAndNoneOfThemStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scans atomic.Int32
		svc := newService(t, registryFunc(oneManifest), scannerFunc(func(ctx context.Context, _ backend.Image) (*report.Scan, error) {
			scans.Add(1)
			select {
			case <-time.After(8 * time.Second):
				return clean(), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}))
		defer closeService(t, svc)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if r := ask(t, svc, "slow", 800*time.Millisecond); r.Status != report.NotAvailable {
					t.Errorf("within the budget: %+v", r)
				}
			})
		}
		wg.Wait()
		if r := ask(t, svc, "slow", 10*time.Second); r.Status != report.Accepted {
			t.Errorf("after the scan: %+v", r)
		}
		if n := scans.Load(); n != 1 {
			t.Errorf("%d scans, want 1", n)
		}
	})
}

func TestTransientFailureIsRetriedAndThenRememberedShortly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		var up atomic.Bool
		svc := newService(t, registryFunc(oneManifest), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
			calls.Add(1)
			if up.Load() {
				return clean(), nil
			}
			return nil, &report.Failure{Reason: report.ReasonUnavailable, Message: "the scanner is down"}
		}))
		defer closeService(t, svc)
		first := ask(t, svc, "a", time.Millisecond)
		time.Sleep(100 * time.Millisecond)
		second := ask(t, svc, "a", time.Millisecond)
		if first.Status != report.NotAvailable || second.Status != report.NotAvailable || !strings.Contains(second.Message, "the scanner is down") {
			t.Errorf("while it is tried again: %+v", second)
		}
		if r := ask(t, svc, "a", time.Minute); r.Status != report.ScanFailed || !strings.Contains(r.Message, "the scanner is down") {
			t.Errorf("after the attempts: %+v", r)
		}
		if n := calls.Load(); n != 3 {
			t.Errorf("%d attempts, want 3", n)
		}
		up.Store(true)
		if r := ask(t, svc, "a", time.Minute); r.Status != report.ScanFailed {
			t.Errorf("within the memory of the failure: %+v", r)
		}
		time.Sleep(6 * time.Second)
		if r := ask(t, svc, "a", time.Minute); r.Status != report.Accepted {
			t.Errorf("after recovery: %+v", r)
		}
	})
}

func TestPoisonImageIsScannedEverMoreRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		svc := newService(t, registryFunc(oneManifest), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
			calls.Add(1)
			return nil, &report.Failure{Reason: report.ReasonTooLarge, Message: "the image unpacks to over 4 GiB"}
		}))
		defer closeService(t, svc)
		for range 3600 { // asked every second for an hour
			if r := ask(t, svc, "bomb", time.Minute); r.Status != report.ScanFailed || !strings.Contains(r.Message, "over 4 GiB") {
				t.Fatalf("%+v", r)
			}
			time.Sleep(time.Second)
		}
		// 30s, 1m, 2m, 4m, then every 5 minutes.
		if n := calls.Load(); n < 12 || n > 16 {
			t.Errorf("%d scans in an hour", n)
		}
	})
}

func TestScanThatOutlastsItsDeadlineFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := newService(t, registryFunc(oneManifest), scannerFunc(func(ctx context.Context, _ backend.Image) (*report.Scan, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		defer closeService(t, svc)
		r := ask(t, svc, "stuck", time.Hour)
		if r.Status != report.ScanFailed || !strings.Contains(r.Message, "did not end within 1m0s") {
			t.Errorf("%+v", r)
		}
	})
}

func TestFullQueueIsPendingNotFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int32
		svc := newService(t, registryFunc(oneManifest), scannerFunc(func(ctx context.Context, _ backend.Image) (*report.Scan, error) {
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer running.Add(-1)
			select {
			case <-time.After(10 * time.Second):
			case <-ctx.Done():
			}
			return clean(), nil
		}), func(o *service.Options) { o.Workers, o.Queue = 3, 2 })
		defer closeService(t, svc)
		for _, image := range []string{"a", "b", "c", "d", "e"} {
			ask(t, svc, image, time.Millisecond)
		}
		r := ask(t, svc, "f", time.Minute)
		if r.Status != report.NotAvailable || !strings.Contains(r.Message, "too many scans") {
			t.Errorf("beyond the queue: %+v", r)
		}
		time.Sleep(time.Minute)
		if r := ask(t, svc, "f", time.Minute); r.Status != report.Accepted {
			t.Errorf("after the queue has drained: %+v", r)
		}
		if n := most.Load(); n != 2 {
			t.Errorf("%d scans of one namespace ran at once, want 2 of 3", n)
		}
	})
}

func TestRegistryFailuresAndSlowRegistryAreToldApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := newService(t, registryFunc(func(ctx context.Context, ref string, _ registry.Access) (*registry.Resolved, error) {
			if ref == "slow" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return nil, &report.Failure{Reason: report.ReasonUnauthorized, Message: "no pull access"}
		}), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) { return clean(), nil }))
		defer closeService(t, svc)
		if r := ask(t, svc, "slow", time.Second); r.Status != report.NotAvailable {
			t.Errorf("slow registry: %+v", r)
		}
		if r := ask(t, svc, "private", time.Second); r.Status != report.ScanFailed || r.Message != "no pull access" {
			t.Errorf("private image: %+v", r)
		}
	})
}

func TestAStoredReportIsNotShownWithoutAccess(t *testing.T) {
	svc := newService(t, registryFunc(func(ctx context.Context, ref string, a registry.Access) (*registry.Resolved, error) {
		if a.Namespace != "team" {
			return nil, &report.Failure{Reason: report.ReasonUnauthorized, Message: "no pull access"}
		}
		return oneManifest(ctx, ref, a)
	}), scannerFunc(func(_ context.Context, i backend.Image) (*report.Scan, error) {
		if i.Authorization != "Basic team" {
			return nil, errors.New("scanned with " + i.Authorization)
		}
		return clean(), nil
	}))
	defer closeService(t, svc)
	queries := []service.Query{{Reference: "a", Access: registry.Access{Namespace: "team"}}}
	if r := svc.Reports(t.Context(), queries)[0]; r.Status != report.Accepted {
		t.Fatalf("with access: %+v", r)
	}
	queries[0].Access.Namespace = "other"
	if r := svc.Reports(t.Context(), queries)[0]; r.Status != report.ScanFailed || r.Digest != "" || r.Summary != nil {
		t.Errorf("without access: %+v", r)
	}
}

// TestAForeignRegistryCannotSpoilADigest: somebody serves a manifest that
// others use from a registry of their own, where its layers never come or are
// missing.
func TestAForeignRegistryCannotSpoilADigest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		same := registryFunc(func(_ context.Context, ref string, _ registry.Access) (*registry.Resolved, error) {
			return &registry.Resolved{Digest: "sha256:same", Repository: ref, Manifests: []registry.Manifest{{Digest: "sha256:same"}}}, nil
		})
		svc := newService(t, same, scannerFunc(func(ctx context.Context, i backend.Image) (*report.Scan, error) {
			switch i.Repository {
			case "hangs":
				<-ctx.Done()
				return nil, ctx.Err()
			case "broken":
				return nil, &report.Failure{Reason: report.ReasonInternal, Message: "a layer is missing"}
			}
			return clean(), nil
		}))
		defer closeService(t, svc)
		ask(t, svc, "hangs", time.Millisecond)
		if r := ask(t, svc, "broken", time.Second); r.Status != report.ScanFailed {
			t.Errorf("the broken registry: %+v", r)
		}
		if r := ask(t, svc, "good", time.Second); r.Status != report.Accepted {
			t.Errorf("the good registry: %+v", r)
		}
		if r := ask(t, svc, "broken", time.Second); r.Status != report.Accepted {
			t.Errorf("a finished scan counts for its digest wherever it is: %+v", r)
		}
	})
}

// TestARegistryCannotTakeAllWorkers: all layers of one registry never come.
func TestARegistryCannotTakeAllWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hosted := registryFunc(func(ctx context.Context, ref string, access registry.Access) (*registry.Resolved, error) {
			res, err := oneManifest(ctx, ref, access)
			res.Registry, _, _ = strings.Cut(ref, "/")
			return res, err
		})
		svc := newService(t, hosted, scannerFunc(func(ctx context.Context, i backend.Image) (*report.Scan, error) {
			if i.Registry == "hangs" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return clean(), nil
		}), func(o *service.Options) { o.PerRegistry = 1 })
		defer closeService(t, svc)
		for _, image := range []string{"hangs/a", "hangs/b", "hangs/c"} {
			ask(t, svc, image, time.Millisecond)
		}
		if r := ask(t, svc, "good/a", time.Second); r.Status != report.Accepted {
			t.Errorf("an image of another registry: %+v", r)
		}
		// The turn goes round: the deadlines pass one after another.
		time.Sleep(2*time.Minute + time.Second)
		if r := ask(t, svc, "hangs/b", time.Millisecond); r.Status != report.ScanFailed || !strings.Contains(r.Message, "did not end within 1m") {
			t.Errorf("the second of the registry that hangs: %+v", r)
		}
	})
}

// TestAPanicIsOneImagesFailure: each port panics for one image, in goroutines
// that the server's own guard does not see.
func TestAPanicIsOneImagesFailure(t *testing.T) {
	var logged strings.Builder
	svc := newService(t, registryFunc(func(ctx context.Context, ref string, access registry.Access) (*registry.Resolved, error) {
		if ref == "registry" {
			panic("from the registry")
		}
		return oneManifest(ctx, ref, access)
	}), scannerFunc(func(_ context.Context, i backend.Image) (*report.Scan, error) {
		switch i.Repository {
		case "scanner":
			panic("from the scanner")
		case "judge":
			return &report.Scan{Scanner: "judge"}, nil
		}
		return clean(), nil
	}), func(o *service.Options) {
		o.Judge = panickingJudge{o.Judge}
		o.Logger = slog.New(slog.NewTextHandler(&synced{w: &logged}, nil))
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	images := []string{"registry", "scanner", "judge", "good"}
	queries := make([]service.Query, len(images))
	for i, image := range images {
		queries[i].Reference = image
	}
	for _, r := range svc.Reports(ctx, queries) {
		want := report.ScanFailed
		if r.ImageAndTag == "good" {
			want = report.Accepted
		}
		if r.Status != want || want == report.ScanFailed && !strings.Contains(r.Message, "internal error of the provider") {
			t.Errorf("%s: %+v", r.ImageAndTag, r)
		}
	}
	if _, err := svc.Digest(ctx, service.Query{Reference: "registry"}); err == nil || !strings.Contains(err.Error(), "internal error") {
		t.Errorf("digest: %v", err)
	}
	closeService(t, svc)
	for _, want := range []string{"panic: from the registry", "panic: from the scanner", "panic: from the judge", "service_test.go"} {
		if !strings.Contains(logged.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
}

type panickingJudge struct{ inner service.Judge }

func (j panickingJudge) Until(s *report.Scan) time.Time { return j.inner.Until(s) }
func (j panickingJudge) Generation() uint64             { return j.inner.Generation() }

func (j panickingJudge) Judge(s *report.Scan, subject verdict.Subject) verdict.Outcome {
	if s.Scanner == "judge" {
		panic("from the judge")
	}
	return j.inner.Judge(s, subject)
}

// synced lets goroutines share a writer.
type synced struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *synced) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// TestALongPauseHoldsNoWorker: a scanner asks to be left alone for longer than
// a scan pauses between attempts.
func TestALongPauseHoldsNoWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		svc := newService(t, registryFunc(oneManifest), scannerFunc(func(_ context.Context, i backend.Image) (*report.Scan, error) {
			if i.Repository == "busy" && calls.Add(1) == 1 {
				return nil, &report.Failure{Reason: report.ReasonUnavailable, Message: "the scanner is busy", RetryAfter: 24 * time.Hour}
			}
			return clean(), nil
		}), func(o *service.Options) { o.Workers = 1 })
		defer closeService(t, svc)
		r := ask(t, svc, "busy", time.Second)
		if r.Status != report.ScanFailed || !strings.Contains(r.Message, "the scanner is busy; the next attempt is made when asked in 5m0s") {
			t.Errorf("%+v", r)
		}
		if r := ask(t, svc, "other", time.Second); r.Status != report.Accepted {
			t.Errorf("another image: %+v", r)
		}
		time.Sleep(4 * time.Minute)
		if r := ask(t, svc, "busy", time.Second); r.Status != report.ScanFailed || calls.Load() != 1 {
			t.Errorf("before the pause is over, after %d calls: %+v", calls.Load(), r)
		}
		time.Sleep(time.Minute)
		if r := ask(t, svc, "busy", time.Second); r.Status != report.Accepted {
			t.Errorf("after the pause: %+v", r)
		}
	})
}

// TestAVerdictCountsWhenAnotherPlatformTakesAllTheTime: the rejection is there
// before the time is up, though it is looked at last.
func TestAVerdictCountsWhenAnotherPlatformTakesAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for i := range 20 { // a select would pick either
			ref := strings.Repeat("x", i+1)
			index := registryFunc(func(context.Context, string, registry.Access) (*registry.Resolved, error) {
				return &registry.Resolved{Digest: "sha256:index", Manifests: []registry.Manifest{
					{Digest: "sha256:slow" + ref, Platform: "slow"}, {Digest: "sha256:bad" + ref, Platform: "bad"},
				}}, nil
			})
			svc := newService(t, index, scannerFunc(func(ctx context.Context, i backend.Image) (*report.Scan, error) {
				if i.Platform == "slow" {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return vulnerable(), nil
			}))
			if r := ask(t, svc, ref, 200*time.Millisecond); r.Status != report.Rejected {
				t.Errorf("the first ask: %+v", r)
			}
			closeService(t, svc)
		}
	})
}

func TestIndexIsAsGoodAsItsWorstPlatform(t *testing.T) {
	index := registryFunc(func(_ context.Context, ref string, _ registry.Access) (*registry.Resolved, error) {
		res := &registry.Resolved{Digest: "sha256:index"}
		for _, platform := range strings.Split(ref, ",") {
			res.Manifests = append(res.Manifests, registry.Manifest{Digest: "sha256:" + platform, Platform: platform})
		}
		return res, nil
	})
	svc := newService(t, index, scannerFunc(func(ctx context.Context, i backend.Image) (*report.Scan, error) {
		switch i.Platform {
		case "bad":
			return vulnerable(), nil
		case "broken":
			return nil, &report.Failure{Reason: report.ReasonInternal, Message: "broken"}
		case "slow":
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return clean(), nil
	}))
	defer closeService(t, svc)
	for _, tc := range []struct {
		platforms string
		want      report.Status
		message   string
	}{
		{"good,fine", report.Accepted, "platform"},
		{"good,bad", report.Rejected, "(platform bad)"},
		{"bad,broken", report.Rejected, "(platform bad)"},
		{"slow,broken", report.ScanFailed, "(platform broken)"},
		{"slow,good", report.NotAvailable, "(platform slow)"},
		{"slow,bad", report.Rejected, "(platform bad)"},
	} {
		r := ask(t, svc, tc.platforms, 200*time.Millisecond)
		if r.Status != tc.want || !strings.Contains(r.Message, tc.message) || r.Digest != "sha256:index" {
			t.Errorf("%s: %s %q of %s, want %s", tc.platforms, r.Status, r.Message, r.Digest, tc.want)
		}
	}
}

func TestIndexTellsTheFindingsOfAllItsPlatforms(t *testing.T) {
	index := registryFunc(func(_ context.Context, ref string, _ registry.Access) (*registry.Resolved, error) {
		res := &registry.Resolved{Digest: "sha256:index"}
		for _, platform := range strings.Split(ref, ",") {
			res.Manifests = append(res.Manifests, registry.Manifest{Digest: "sha256:" + platform, Platform: platform})
		}
		return res, nil
	})
	svc := newService(t, index, scannerFunc(func(ctx context.Context, i backend.Image) (*report.Scan, error) {
		if i.Platform == "slow" {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		found := report.Vulnerability{ID: "CVE-of-" + i.Platform, Package: "p", Installed: "1", Severity: report.SeverityMedium}
		if i.Platform == "bad" {
			found.Severity = report.SeverityCritical
		}
		both := report.Vulnerability{ID: "CVE-of-both", Package: "q", Installed: "1", Severity: report.SeverityLow}
		return &report.Scan{Scanner: "test", Vulnerabilities: []report.Vulnerability{found, both}}, nil
	}))
	defer closeService(t, svc)
	for platforms, want := range map[string]string{
		"amd64,arm64": "accepted CVE-of-arm64 CVE-of-amd64 CVE-of-both",
		"amd64,bad":   "rejected CVE-of-bad CVE-of-amd64 CVE-of-both",
		"bad,slow":    "rejected", // no list: it would not be the whole image's
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		r := svc.Reports(ctx, []service.Query{{Reference: platforms, View: report.ViewFindings}})[0]
		cancel()
		got := string(r.Status)
		for _, v := range r.Vulnerabilities {
			got += " " + v.ID
		}
		if got != want || (r.Summary == nil) != (platforms == "bad,slow") {
			t.Errorf("%s: %s, summary %+v; want %s", platforms, got, r.Summary, want)
		}
	}
}

func TestOnlyThePatientWaitForAScanThatBeganLongAgo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := newService(t, registryFunc(oneManifest), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
			time.Sleep(5 * time.Second)
			return clean(), nil
		}))
		defer closeService(t, svc)
		took := func(patient bool) (time.Duration, report.Status) {
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 800*time.Millisecond)
			defer cancel()
			r := svc.Reports(ctx, []service.Query{{Reference: "a", Patient: patient}})[0]
			return time.Since(began), r.Status
		}
		if d, s := took(false); d != 800*time.Millisecond || s != report.NotAvailable {
			t.Errorf("the first waited %s for %s", d, s)
		}
		if d, s := took(false); d != 0 || s != report.NotAvailable {
			t.Errorf("the next waited %s for %s", d, s)
		}
		if d, _ := took(true); d != 800*time.Millisecond {
			t.Errorf("a patient one waited %s", d)
		}
		time.Sleep(5 * time.Second)
		if d, s := took(false); d != 0 || s != report.Accepted {
			t.Errorf("after the scan: waited %s for %s", d, s)
		}
	})
}

func TestAVerdictByNameIsNotAnothersVerdict(t *testing.T) {
	same := registryFunc(func(_ context.Context, ref string, _ registry.Access) (*registry.Resolved, error) {
		return &registry.Resolved{Digest: "sha256:same", Repository: ref, Manifests: []registry.Manifest{{Digest: "sha256:same"}}}, nil
	})
	byName := scannerFunc(func(_ context.Context, i backend.Image) (*report.Scan, error) {
		if i.Repository == "sandbox" {
			return &report.Scan{Scanner: "test", Judgement: report.JudgementPass}, nil
		}
		return &report.Scan{Scanner: "test", Judgement: report.JudgementFail}, nil
	})
	svc := newService(t, same, sharing{byName, backend.ByName})
	defer closeService(t, svc)
	if r := ask(t, svc, "sandbox", time.Second); r.Status != report.Accepted {
		t.Errorf("sandbox: %+v", r)
	}
	if r := ask(t, svc, "production", time.Second); r.Status != report.Rejected {
		t.Errorf("production: %+v", r)
	}
}

// TestAReportOfAForeignScannerIsNotAnotherRegistrys: evil.example/app@D was
// asked for first, by a registry that serves the real manifest with other
// layers, and read accepted; the vulnerable registry.example.com/shop@D then
// read accepted without a scan.
func TestAReportOfAForeignScannerIsNotAnotherRegistrys(t *testing.T) {
	same := registryFunc(func(_ context.Context, ref string, _ registry.Access) (*registry.Resolved, error) {
		host, repository, _ := strings.Cut(ref, "/")
		return &registry.Resolved{Digest: "sha256:d", Registry: "https://" + host, Repository: repository, Manifests: []registry.Manifest{{Digest: "sha256:d"}}}, nil
	})
	for how, want := range map[backend.Sharing]struct {
		shop  report.Status
		scans int32
	}{
		backend.ByName:       {report.Rejected, 3},
		backend.ByRepository: {report.Rejected, 3},
		// Only a scanner that compares every byte may say so.
		backend.ByDigest: {report.Accepted, 1},
	} {
		var scans atomic.Int32
		svc := newService(t, same, sharing{func(_ context.Context, i backend.Image) (*report.Scan, error) {
			scans.Add(1)
			if i.Registry == "https://evil.example" {
				return clean(), nil
			}
			return vulnerable(), nil
		}, how})
		for range 2 {
			if r := ask(t, svc, "evil.example/app", time.Second); r.Status != report.Accepted {
				t.Errorf("sharing %d: evil.example/app: %+v", how, r)
			}
			for _, ref := range []string{"registry.example.com/shop", "registry.example.com/copy"} {
				if r := ask(t, svc, ref, time.Second); r.Status != want.shop {
					t.Errorf("sharing %d: %s: %+v", how, ref, r)
				}
			}
		}
		if got := scans.Load(); got != want.scans {
			t.Errorf("sharing %d: %d scans, want %d", how, got, want.scans)
		}
		closeService(t, svc)
	}
}

func TestCloseEndsRunningScans(t *testing.T) {
	started := make(chan struct{})
	svc := newService(t, registryFunc(oneManifest), scannerFunc(func(ctx context.Context, _ backend.Image) (*report.Scan, error) {
		close(started)
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	ask(t, svc, "a", time.Millisecond)
	<-started
	closeService(t, svc)
	if r := ask(t, svc, "b", time.Second); r.Status != report.NotAvailable || !strings.Contains(r.Message, "shutting down") {
		t.Errorf("after Close: %+v", r)
	}
}

func TestDigestKeepsTheSpelling(t *testing.T) {
	const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	svc := newService(t, registryFunc(func(context.Context, string, registry.Access) (*registry.Resolved, error) {
		return &registry.Resolved{Digest: digest}, nil
	}), scannerFunc(nil))
	defer closeService(t, svc)
	for ref, want := range map[string]string{
		"nginx":                            "nginx@" + digest,
		"nginx:latest":                     "nginx@" + digest,
		"airadier/test:bad":                "airadier/test@" + digest,
		"localhost:5000/a/b":               "localhost:5000/a/b@" + digest,
		"localhost:5000/a/b:c":             "localhost:5000/a/b@" + digest,
		"docker.io/library/nginx:1":        "docker.io/library/nginx@" + digest,
		"nginx@" + digest:                  "nginx@" + digest,
		"nginx:1@" + digest:                "nginx:1@" + digest,
		"registry.example.com/latest":      "registry.example.com/latest@" + digest,
		"registry.example.com:5000/latest": "registry.example.com:5000/latest@" + digest,
	} {
		got, err := svc.Digest(t.Context(), service.Query{Reference: ref})
		if err != nil || got != want {
			t.Errorf("Digest(%s) = %s, %v, want %s", ref, got, err, want)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	_, err := service.New(t.Context(), service.Options{})
	if err == nil || !strings.Contains(err.Error(), "Deadline") || !strings.Contains(err.Error(), "Registry") {
		t.Errorf("error %v does not name the missing options", err)
	}
}

// Who tries again has no part in what is scanned: another owner's question is the
// same question.
func TestOwnersShareAScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scans atomic.Int32
		svc := newService(t, registryFunc(oneManifest), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
			scans.Add(1)
			time.Sleep(time.Second)
			return clean(), nil
		}))
		defer closeService(t, svc)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		q := service.Query{Reference: "app", Access: registry.Access{Namespace: "shop"}}
		queries := []service.Query{q, q, q}
		queries[0].Owner = owner.Reference{Kind: owner.ReplicaSet, Name: "web", UID: "u-1"}
		queries[1].Owner = owner.Reference{Kind: owner.Job, Name: "job", UID: "u-2"}
		for range 2 {
			for _, r := range svc.Reports(ctx, queries) {
				if r.Status != report.Accepted {
					t.Errorf("%+v", r)
				}
			}
		}
		if n := scans.Load(); n != 1 {
			t.Errorf("%d scans, want 1", n)
		}
	})
}

// away is a store that keeps nothing for a while.
type away struct {
	service.Store
	until time.Time
}

func (a away) Put(ctx context.Context, namespace, key string, s *report.Scan) (uint64, error) {
	select {
	case <-time.After(time.Until(a.until)):
		return a.Store.Put(ctx, namespace, key, s)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// TestAScanOutlastsAStoreThatIsAwayForAMoment, and no longer than that, nor does
// it hold up who shuts down.
func TestAScanOutlastsAStoreThatIsAwayForAMoment(t *testing.T) {
	for _, tc := range []struct {
		gone, stopped time.Duration
		want          report.Status
		after         time.Duration
	}{
		{gone: 25 * time.Second, want: report.Accepted, after: 25 * time.Second},
		{gone: time.Hour, want: report.ScanFailed, after: 30 * time.Second},
		{gone: time.Hour, stopped: time.Second, want: report.NotAvailable, after: 11 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			var scans atomic.Int32
			svc := newService(t, registryFunc(oneManifest), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
				scans.Add(1)
				return clean(), nil
			}), func(o *service.Options) { o.Store = away{o.Store, began.Add(tc.gone)} })
			var ended time.Duration
			var stopping sync.WaitGroup
			if tc.stopped > 0 {
				stopping.Go(func() {
					time.Sleep(tc.stopped)
					if err := svc.Close(context.Background()); err != nil {
						t.Error(err)
					}
					ended = time.Since(began)
				})
			}
			r := ask(t, svc, "a", 10*time.Minute)
			if tc.stopped == 0 {
				ended = time.Since(began)
				closeService(t, svc)
			}
			stopping.Wait()
			time.Sleep(time.Minute)
			if r.Status != tc.want || ended != tc.after || scans.Load() != 1 {
				t.Errorf("away for %s: %s %q after %s and %d scans, want %s after %s", tc.gone, r.Status, r.Message, ended, scans.Load(), tc.want, tc.after)
			}
		})
	}
}

// slow is a store that answers no look for a while.
type slow struct {
	service.Store
	until time.Time
}

func (s slow) Look(ctx context.Context, key string, revision uint64) (*report.Scan, error) {
	if time.Now().Before(s.until) {
		return nil, errors.New("no answer in time")
	}
	return s.Store.Look(ctx, key, revision)
}

// TestWhoCannotTellWhetherAScanIsNeededWaits, but not for ever.
func TestWhoCannotTellWhetherAScanIsNeededWaits(t *testing.T) {
	for gone, want := range map[time.Duration]time.Duration{4 * time.Second: 4 * time.Second, time.Hour: 10 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			var scanned time.Duration
			svc := newService(t, registryFunc(oneManifest), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
				scanned = time.Since(began)
				return clean(), nil
			}), func(o *service.Options) { o.Store = slow{o.Store, began.Add(gone)} })
			defer closeService(t, svc)
			ask(t, svc, "a", time.Minute)
			if scanned < want || scanned > want+time.Second {
				t.Errorf("away for %s: scanned after %s, want %s", gone, scanned, want)
			}
		})
	}
}
