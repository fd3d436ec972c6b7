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
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
)

func TestStaleReportIsServedAndMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scans atomic.Int32
		svc := newService(t, registryFunc(oneManifest), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
			if scans.Add(1) == 1 {
				return clean(), nil
			}
			time.Sleep(3 * time.Second)
			return vulnerable(), nil
		}), func(o *service.Options) { o.RefreshAfter, o.MaxAge = time.Hour, 24*time.Hour })
		defer closeService(t, svc)
		ask(t, svc, "a", time.Second)
		time.Sleep(59 * time.Minute)
		ask(t, svc, "a", time.Second)
		synctest.Wait()
		if n := scans.Load(); n != 1 {
			t.Fatalf("%d scans of a fresh report", n)
		}
		time.Sleep(2 * time.Minute)
		if r := ask(t, svc, "a", time.Millisecond); r.Status != report.Accepted {
			t.Errorf("while it is made again: %+v", r)
		}
		time.Sleep(5 * time.Second)
		if r := ask(t, svc, "a", time.Millisecond); r.Status != report.Rejected {
			t.Errorf("after it was made again: %+v", r)
		}
	})
}

func TestExpiredReportNoLongerCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		svc := newService(t, registryFunc(oneManifest), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
			if down.Load() {
				return nil, &report.Failure{Reason: report.ReasonUnavailable, Message: "the scanner is down"}
			}
			return clean(), nil
		}), func(o *service.Options) { o.MaxAge = 24 * time.Hour })
		defer closeService(t, svc)
		ask(t, svc, "a", time.Second)
		down.Store(true)
		time.Sleep(25 * time.Hour)
		if r := ask(t, svc, "a", time.Millisecond); r.Status != report.NotAvailable || !strings.Contains(r.Message, "no longer counts") {
			t.Errorf("an expired report reads %+v", r)
		}
		if r := ask(t, svc, "a", time.Minute); r.Status != report.ScanFailed {
			t.Errorf("an expired report whose scanner is down reads %+v", r)
		}
	})
}

func TestNewDatabaseMakesReportsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var built atomic.Int64
		var up atomic.Bool
		up.Store(true)
		at := func() time.Time { return time.Unix(built.Load(), 0) }
		var scans atomic.Int32
		svc := newService(t, registryFunc(oneManifest), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
			scans.Add(1)
			return &report.Scan{Scanner: "test", DatabaseBuiltAt: at()}, nil
		}), func(o *service.Options) {
			o.GenerationEvery = time.Minute
			o.Generations = func(context.Context) ([]backend.Generation, error) {
				if !up.Load() {
					return nil, errors.New("down")
				}
				return []backend.Generation{{Scanner: "test", DatabaseBuiltAt: at()}}, nil
			}
		})
		defer closeService(t, svc)
		askFor := func(d time.Duration) {
			for range int(d / time.Second) {
				ask(t, svc, "a", time.Second)
				time.Sleep(time.Second)
			}
		}
		askFor(5 * time.Minute)
		if n := scans.Load(); n != 1 {
			t.Fatalf("%d scans on one database", n)
		}
		built.Add(3600)
		askFor(5 * time.Minute)
		if n := scans.Load(); n != 2 {
			t.Errorf("%d scans after a new database, want 2", n)
		}
		up.Store(false)
		askFor(5 * time.Minute)
		if n := scans.Load(); n != 2 {
			t.Errorf("%d scans while the scanner does not tell, want 2", n)
		}
	})
}

func TestAnAttachedReportIsNotOutdatedByADatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scans atomic.Int32
		svc := newService(t, registryFunc(oneManifest), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
			scans.Add(1)
			return &report.Scan{Scanner: "attached: grype", Attached: true}, nil
		}), func(o *service.Options) {
			o.RefreshAfter, o.GenerationEvery = time.Hour, time.Minute
			o.Generations = func(context.Context) ([]backend.Generation, error) {
				return []backend.Generation{{Scanner: "test", DatabaseBuiltAt: time.Now()}}, nil
			}
		})
		defer closeService(t, svc)
		for range 59 {
			ask(t, svc, "a", time.Second)
			time.Sleep(time.Minute)
		}
		if n := scans.Load(); n != 1 {
			t.Errorf("%d look-ups within the hour, want 1", n)
		}
		time.Sleep(2 * time.Minute)
		ask(t, svc, "a", time.Second)
		synctest.Wait()
		if n := scans.Load(); n != 2 {
			t.Errorf("%d look-ups after the hour, want 2", n)
		}
	})
}

func TestAnAttachedReportEndsWithItsOwnAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(time.Hour)
		var scans atomic.Int32
		svc := newService(t, registryFunc(oneManifest), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
			if scans.Add(1) == 1 {
				return &report.Scan{Scanner: "attached: grype", Attached: true, ValidUntil: end}, nil
			}
			return vulnerable(), nil
		}))
		defer closeService(t, svc)
		ask(t, svc, "a", time.Second)
		time.Sleep(59 * time.Minute)
		if r := ask(t, svc, "a", time.Second); r.Status != report.Accepted {
			t.Errorf("within its age: %+v", r)
		}
		time.Sleep(2 * time.Minute)
		if r := ask(t, svc, "a", time.Second); r.Status != report.Rejected {
			t.Errorf("after it: %+v", r)
		}
	})
}

func TestRefreshesStayWithinTheirRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scans atomic.Int32
		svc := newService(t, registryFunc(oneManifest), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
			scans.Add(1)
			return clean(), nil
		}), func(o *service.Options) { o.RefreshAfter, o.RefreshesPerMinute = time.Minute, 6 })
		defer closeService(t, svc)
		images := strings.Fields(strings.Repeat("x ", 100))
		for i := range images {
			images[i] = strings.Repeat("x", i+1)
			ask(t, svc, images[i], time.Second)
		}
		scans.Store(0)
		for range 20 * 6 { // an audit of all images every 10 seconds for 20 minutes
			time.Sleep(10 * time.Second)
			for _, image := range images {
				ask(t, svc, image, time.Second)
			}
		}
		// 6 a minute for about 19 minutes, and the first burst.
		if n := scans.Load(); n < 100 || n > 130 {
			t.Errorf("%d scans made again in 20 minutes at 6 a minute", n)
		}
	})
}

func TestAScanThatAsksForItIsMadeAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scans atomic.Int32
		svc := newService(t, registryFunc(oneManifest), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
			if scans.Add(1) == 1 {
				s := clean()
				s.RefreshAt = time.Now().Add(5 * time.Minute)
				return s, nil
			}
			return vulnerable(), nil
		}), func(o *service.Options) { o.RefreshAfter, o.MaxAge = 24*time.Hour, 48*time.Hour })
		defer closeService(t, svc)
		ask(t, svc, "a", time.Second)
		time.Sleep(4 * time.Minute)
		ask(t, svc, "a", time.Second)
		synctest.Wait()
		if n := scans.Load(); n != 1 {
			t.Fatalf("%d scans before the time", n)
		}
		time.Sleep(2 * time.Minute)
		if r := ask(t, svc, "a", time.Millisecond); r.Status != report.Accepted {
			t.Errorf("while it is made again: %+v", r)
		}
		synctest.Wait()
		if r := ask(t, svc, "a", time.Millisecond); r.Status != report.Rejected || scans.Load() != 2 {
			t.Errorf("after %d scans: %+v", scans.Load(), r)
		}
	})
}

// A route whose scanner is down makes none of its own scans stale, and keeps
// none of the others' from being made again.
func TestAScannerThatIsDownConcernsItsOwnImages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var built atomic.Int64
		down := errors.New("down")
		at := func() time.Time { return time.Unix(built.Load(), 0) }
		var scans atomic.Int32
		of := func(name string) func(o *service.Options) {
			return func(o *service.Options) {
				o.Scanner = scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
					scans.Add(1)
					return &report.Scan{Scanner: name, DatabaseBuiltAt: at()}, nil
				})
				o.GenerationEvery = time.Minute
				o.Generations = func(context.Context) ([]backend.Generation, error) {
					return []backend.Generation{{}, {Scanner: "up", DatabaseBuiltAt: at()}}, down
				}
			}
		}
		for name, want := range map[string]int32{"up": 2, "down": 1} {
			scans.Store(0)
			svc := newService(t, registryFunc(oneManifest), nil, of(name))
			for range 4 {
				ask(t, svc, "a", time.Second)
				time.Sleep(2 * time.Minute)
			}
			if n := scans.Load(); n != 1 {
				t.Errorf("%s: %d scans on one database", name, n)
			}
			built.Add(3600)
			for range 4 {
				time.Sleep(2 * time.Minute)
				ask(t, svc, "a", time.Second)
			}
			synctest.Wait()
			if n := scans.Load(); n != want {
				t.Errorf("%s: %d scans after a new database, want %d", name, n, want)
			}
			closeService(t, svc)
		}
	})
}
