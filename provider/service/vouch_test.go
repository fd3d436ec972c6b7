package service_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
	"github.com/imagegate/imagegate/provider/verdict"
)

var (
	oldDigest = "sha256:" + strings.Repeat("0", 64)
	newDigest = "sha256:" + strings.Repeat("1", 64)
)

// tagged is a registry in which every tag means one digest at a time.
type tagged struct {
	now     atomic.Value
	lookups atomic.Int32
	down    atomic.Bool
}

func (r *tagged) resolve(_ context.Context, reference string, _ registry.Access) (*registry.Resolved, error) {
	if _, digest, ok := strings.Cut(reference, "@"); ok {
		return &registry.Resolved{Reference: reference, Digest: digest, Manifests: []registry.Manifest{{Digest: digest}}}, nil
	}
	r.lookups.Add(1)
	if r.down.Load() {
		return nil, &report.Failure{Reason: report.ReasonUnavailable, Message: "down", Err: errors.New("down")}
	}
	digest, _ := r.now.Load().(string)
	return &registry.Resolved{Reference: reference, Tag: "set", Digest: digest, Manifests: []registry.Manifest{{Digest: digest}}}, nil
}

func taggedService(t *testing.T) (*tagged, *service.Service) {
	t.Helper()
	r := &tagged{}
	r.now.Store(oldDigest)
	svc := newService(t, registryFunc(r.resolve), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
		return clean(), nil
	}))
	t.Cleanup(func() { closeService(t, svc) })
	return r, svc
}

func askWith(t *testing.T, svc *service.Service, image, original string) report.ScanReport {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return svc.Reports(ctx, []service.Query{{Reference: image, Original: original}})[0]
}

func pinTag(t *testing.T, svc *service.Service, reference string) {
	t.Helper()
	if _, err := svc.Digest(t.Context(), service.Query{Reference: reference}); err != nil {
		t.Fatal(err)
	}
}

func TestAPinnedTagIsVouchedForAfterItHasMoved(t *testing.T) {
	r, svc := taggedService(t)
	pinTag(t, svc, "r.example/shop:latest")
	r.now.Store(newDigest)
	got := askWith(t, svc, "r.example/shop@"+oldDigest, "r.example/shop:latest")
	if got.ImageAndTag != "r.example/shop:latest" || got.Image != "r.example/shop@"+oldDigest || got.Status != report.Accepted {
		t.Errorf("the report of what the mutator pinned: %+v", got)
	}
	if n := r.lookups.Load(); n != 1 {
		t.Errorf("the tag was looked up %d times, want once by the mutator", n)
	}
}

func TestAShortSpellingIsVouchedForAsItWasWritten(t *testing.T) {
	_, svc := taggedService(t)
	pinTag(t, svc, "nginx:1.27")
	for _, original := range []string{"nginx:1.27", "docker.io/library/nginx:1.27", "DOCKER.io:443/nginx:1.27"} {
		if got := askWith(t, svc, "nginx@"+oldDigest, original); got.ImageAndTag != original {
			t.Errorf("%s: %+v", original, got)
		}
	}
}

func TestATagThatNobodySawIsLookedUp(t *testing.T) {
	r, svc := taggedService(t)
	if got := askWith(t, svc, "r.example/shop@"+oldDigest, "r.example/shop:1"); got.ImageAndTag != "r.example/shop:1" {
		t.Errorf("a tag that means the digest now: %+v", got)
	}
	r.now.Store(newDigest)
	if got := askWith(t, svc, "r.example/shop@"+oldDigest, "r.example/shop:1"); got.ImageAndTag != "r.example/shop:1" {
		t.Errorf("what was looked up was not remembered: %+v", got)
	}
}

func TestAKeepTagReferenceIsVouchedFor(t *testing.T) {
	_, svc := taggedService(t)
	image := "r.example/shop:1@" + oldDigest
	if got := askWith(t, svc, image, "r.example/shop:1"); got.ImageAndTag != "r.example/shop:1" || got.Image != image {
		t.Errorf("got %+v", got)
	}
}

func TestNobodyVouchesForAnOriginalThatIsNotTrue(t *testing.T) {
	for name, tc := range map[string]struct{ image, original string }{
		"another digest":     {"r.example/shop@" + newDigest, "r.example/shop:1"},
		"another repository": {"r.example/copy@" + oldDigest, "r.example/shop:1"},
		"another registry":   {"evil.example/shop@" + oldDigest, "r.example/shop:1"},
		"a digest":           {"r.example/shop@" + oldDigest, "r.example/shop@" + oldDigest},
		"no reference":       {"r.example/shop@" + oldDigest, "r.example/SHOP: 1"},
		"an image by tag":    {"r.example/shop:2", "r.example/shop:1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, svc := taggedService(t)
			pinTag(t, svc, "r.example/shop:1")
			got := askWith(t, svc, tc.image, tc.original)
			if got.ImageAndTag != tc.image || got.Image != tc.image || got.Status != report.Accepted {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestARefutedOriginalIsNotLookedUpForEveryAudit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, svc := taggedService(t)
		for range 5 {
			askWith(t, svc, "r.example/shop@"+newDigest, "r.example/shop:1")
		}
		if n := r.lookups.Load(); n != 1 {
			t.Errorf("looked up %d times", n)
		}
	})
}

func TestARegistryThatIsDownVouchesForNothing(t *testing.T) {
	r, svc := taggedService(t)
	r.down.Store(true)
	image := "r.example/shop@" + oldDigest
	if got := askWith(t, svc, image, "r.example/shop:1"); got.ImageAndTag != image || got.Status != report.Accepted {
		t.Errorf("got %+v", got)
	}
}

func TestWithoutAnOriginalTheReportNamesWhatWasAsked(t *testing.T) {
	_, svc := taggedService(t)
	pinTag(t, svc, "r.example/shop:1")
	image := "r.example/shop@" + oldDigest
	if got := askWith(t, svc, image, ""); got.ImageAndTag != image || got.Image != "" {
		t.Errorf("got %+v", got)
	}
}

// judgeFunc is a scan.Judge.
type judgeFunc func(scan *report.Scan, subject verdict.Subject) verdict.Outcome

func (f judgeFunc) Judge(scan *report.Scan, subject verdict.Subject) verdict.Outcome {
	return f(scan, subject)
}

func (judgeFunc) Until(*report.Scan) time.Time { return time.Time{} }
func (judgeFunc) Generation() uint64           { return 0 }

// An exception for a tag holds for what the tag was pinned to, and for nothing
// that only says so.
func TestTheVerdictIsOnWhatWasWritten(t *testing.T) {
	r := &tagged{}
	r.now.Store(oldDigest)
	svc := newService(t, registryFunc(r.resolve), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
		return clean(), nil
	}), func(o *service.Options) {
		o.Judge = judgeFunc(func(scan *report.Scan, subject verdict.Subject) verdict.Outcome {
			return verdict.Outcome{Status: report.Rejected, Message: subject.Reference, Scan: scan}
		})
	})
	defer closeService(t, svc)
	pinTag(t, svc, "r.example/shop:1")
	image := "r.example/shop@" + oldDigest
	for original, want := range map[string]string{"r.example/shop:1": "r.example/shop:1", "other.example/shop:1": image, "": image} {
		for range 2 { // scanned, then from the store
			if got := askWith(t, svc, image, original); got.Message != want {
				t.Errorf("with original %q the verdict is on %q, want %q", original, got.Message, want)
			}
		}
	}
}
