package service_test

import (
	"context"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
	"github.com/imagegate/imagegate/provider/store"
)

// What is said of an image from what is kept is what was answered about it, and sets
// nothing off.
func TestKeptIsWhatWasAnswered(t *testing.T) {
	index := registryFunc(func(_ context.Context, ref string, _ registry.Access) (*registry.Resolved, error) {
		res := &registry.Resolved{Reference: ref, Digest: "sha256:index", Registry: "https://r", Repository: "a"}
		for _, platform := range strings.Split(ref, ",") {
			res.Manifests = append(res.Manifests, registry.Manifest{Digest: "sha256:" + platform, Platform: platform})
		}
		return res, nil
	})
	var scans atomic.Int32
	// Scans read the clock beside the test, which turns it.
	var ahead atomic.Int64
	start := time.Now()
	memory, err := store.NewMemory(store.MemoryOptions{Reports: 100, Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	var seen []service.Image
	svc := newService(t, index, scannerFunc(func(_ context.Context, i backend.Image) (*report.Scan, error) {
		scans.Add(1)
		switch i.Platform {
		case "bad":
			return vulnerable(), nil
		case "broken":
			return nil, &report.Failure{Reason: report.ReasonUnsupported, Message: "broken"}
		}
		return clean(), nil
	}), func(o *service.Options) {
		o.Store, o.MaxAge, o.Now = memory, time.Hour, func() time.Time { return start.Add(time.Duration(ahead.Load())) }
		o.Seen = func(i service.Image) { seen = append(seen, i) }
	})
	defer closeService(t, svc)
	for _, platforms := range []string{"good", "good,fine", "good,bad", "bad", "bad,broken", "good,broken"} {
		seen = nil
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		want := svc.Reports(ctx, []service.Query{{Reference: platforms, View: report.ViewFindings, Access: registry.Access{Namespace: "shop"}}})[0]
		cancel()
		if len(seen) != 1 || seen[0].Reference != platforms || seen[0].Written != platforms || seen[0].Namespace != "shop" || seen[0].Digest != "sha256:index" {
			t.Fatalf("%s: seen %+v", platforms, seen)
		}
		before := scans.Load()
		kept, err := svc.Kept(t.Context(), seen[0], memory.Get)
		if err != nil {
			t.Fatal(err)
		}
		want.Message, kept.Report.Message = cutWait(want.Message), cutWait(kept.Report.Message)
		if !reflect.DeepEqual(kept.Report, want) {
			t.Errorf("%s: kept %+v\nanswered %+v", platforms, kept.Report, want)
		}
		if got := strings.Join(kept.Platforms, ","); got != platforms {
			t.Errorf("%s: judged %s", platforms, got)
		}
		if scans.Load() != before {
			t.Errorf("%s: a scan was made", platforms)
		}
	}
	good, err := memory.Get(t.Context(), "sha256-good")
	if err != nil || good == nil {
		t.Fatal(good, err)
	}
	if got, want := svc.Ends(good), good.ScannedAt.Add(time.Hour); !got.Equal(want) {
		t.Errorf("it counts until %s, want %s", got, want)
	}
	// Too old: it does not count, and is not made again by being looked at.
	ahead.Store(int64(2 * time.Hour))
	before := scans.Load()
	kept, err := svc.Kept(t.Context(), service.Known("sha256-good", "sha256:good"), memory.Get)
	if err != nil || kept.Report.Status != report.NotAvailable || !strings.Contains(kept.Report.Message, "no longer counts") || kept.Report.Summary != nil {
		t.Errorf("%+v, %v", kept.Report, err)
	}
	time.Sleep(10 * time.Millisecond)
	if scans.Load() != before {
		t.Error("a scan was made")
	}
	if status, message, _ := svc.KeptOne(seen[0], service.ImageManifest{Digest: "sha256:none", Key: "sha256-none"}, nil); status != report.NotAvailable || !strings.Contains(message, "there is no report") {
		t.Errorf("of none: %s, %s", status, message)
	}
}

// cutWait leaves out what a failure says of the time.
func cutWait(s string) string {
	before, _, _ := strings.Cut(s, "; the next attempt")
	return before
}
