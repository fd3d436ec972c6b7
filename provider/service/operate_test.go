package service_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/queue"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
)

// askFor returns the report of the namespace's image that is there after budget.
func askFor(t *testing.T, svc *service.Service, namespace, image string, budget time.Duration) report.ScanReport {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), budget)
	defer cancel()
	return svc.Reports(ctx, []service.Query{{Reference: image, Access: registry.Access{Namespace: namespace, PullSecrets: []string{"pull"}}}})[0]
}

// TestAFailureIsTriedAgainByHand from a replica that scans nothing itself, in
// the words of whoever asked for it.
func TestAFailureIsTriedAgainByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		var broken atomic.Bool
		broken.Store(true)
		var scanned atomic.Pointer[backend.Image]
		work := scannerFunc(func(_ context.Context, i backend.Image) (*report.Scan, error) {
			scanned.Store(&i)
			if broken.Load() {
				return nil, &report.Failure{Reason: report.ReasonUnsupported, Message: "what is this"}
			}
			return clean(), nil
		})
		hours := func(o *service.Options) { o.FailureInitial, o.FailureMax = time.Hour, 24*time.Hour }
		api := c.replica(t, "api", 0, registryFunc(byName), work, hours)
		worker := c.replica(t, "worker", 1, registryFunc(byName), work, hours)
		defer closeService(t, api)
		defer closeService(t, worker)
		if r := askFor(t, api, "team", "r/app:1", time.Minute); r.Status != report.ScanFailed {
			t.Fatalf("%+v", r)
		}
		list := api.Failed()
		if len(list) != 1 || list[0].Message != "what is this" || list[0].Reason != report.ReasonUnsupported || list[0].Row != 1 ||
			list[0].Until.Sub(list[0].At) != time.Hour || list[0].Order.Namespace != "team" || list[0].Order.PullSecrets[0] != "pull" || list[0].Order.Tag != "1" {
			t.Fatalf("remembered is %+v", list)
		}
		broken.Store(false)
		if err := api.Retry(t.Context(), list[0]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if n := len(api.Failed()) + len(worker.Failed()); n != 0 {
			t.Errorf("%d failures are remembered after the retry", n)
		}
		if got := scanned.Load(); got.Authorization != "Basic team" || got.Share != "team" {
			t.Errorf("the retry scanned with %+v", got)
		}
		if r := askFor(t, api, "team", "r/app:1", time.Second); r.Status != report.Accepted {
			t.Errorf("after the retry: %+v", r)
		}
	})
}

// TestARetryGetsPastWhatIsStillRemembered: the replica that scans may hear of
// the order before it hears that the failure is forgotten.
func TestARetryGetsPastWhatIsStillRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		var scans atomic.Int32
		work := scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
			if scans.Add(1) == 1 {
				return nil, &report.Failure{Reason: report.ReasonUnsupported, Message: "what is this"}
			}
			return clean(), nil
		})
		hours := func(o *service.Options) { o.FailureInitial, o.FailureMax = time.Hour, 24*time.Hour }
		api := c.replica(t, "api", 0, registryFunc(byName), work, hours)
		deaf := c.replica(t, "worker", 1, registryFunc(byName), work, hours, func(o *service.Options) {
			o.Shared.Failures = &deafened{Memory: c.failures}
		})
		defer closeService(t, api)
		defer closeService(t, deaf)
		askFor(t, api, "team", "r/app:1", time.Minute)
		if err := api.Retry(t.Context(), api.Failed()[0]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if r := askFor(t, api, "team", "r/app:1", time.Second); r.Status != report.Accepted || scans.Load() != 2 {
			t.Errorf("%+v after %d scans", r, scans.Load())
		}
	})
}

// TestForgottenIsScannedWhenAskedFor, and not before.
func TestForgottenIsScannedWhenAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		var scans atomic.Int32
		work := scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
			scans.Add(1)
			return nil, &report.Failure{Reason: report.ReasonUnsupported, Message: "what is this"}
		})
		a := c.replica(t, "a", 1, registryFunc(byName), work)
		b := c.replica(t, "b", 1, registryFunc(byName), work)
		defer closeService(t, a)
		defer closeService(t, b)
		askFor(t, a, "team", "r/app:1", time.Minute)
		time.Sleep(time.Second)
		if err := b.Forget(t.Context(), b.Failed()[0]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if n := len(a.Failed()) + len(b.Failed()); n != 0 || scans.Load() != 1 {
			t.Errorf("%d failures are remembered, and %d scans were made", n, scans.Load())
		}
		r := askFor(t, a, "team", "r/app:1", time.Second)
		if scans.Load() != 2 {
			t.Errorf("%d scans: %+v", scans.Load(), r)
		}
	})
}

// TestAnAuthorHearsThatNobodyScans, until somebody does.
func TestAnAuthorHearsThatNobodyScans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		work := scannerFunc(func(ctx context.Context, _ backend.Image) (*report.Scan, error) {
			select {
			case <-time.After(time.Minute):
			case <-ctx.Done():
			}
			return clean(), ctx.Err()
		})
		const none = "no scan worker is running"
		api := c.replica(t, "api", 0, registryFunc(byName), work)
		defer closeService(t, api)
		if r := askFor(t, api, "team", "r/app:1", time.Second); r.Status != report.NotAvailable || !strings.Contains(r.Message, none) {
			t.Errorf("without a worker: %+v", r)
		}
		worker := c.replica(t, "worker", 1, registryFunc(byName), work)
		time.Sleep(time.Second)
		if r := askFor(t, api, "team", "r/app:1", time.Second); r.Status != report.NotAvailable || strings.Contains(r.Message, none) {
			t.Errorf("with a worker: %+v", r)
		}
		if list := api.Queue().List(); len(list) != 1 || list[0].Holder != "worker" || list[0].Since.IsZero() {
			t.Errorf("the queue is %+v", list)
		}
		closeService(t, worker)
		synctest.Wait() // until the other has heard of it
		if r := askFor(t, api, "team", "r/app:1", time.Second); !strings.Contains(r.Message, none) {
			t.Errorf("the worker gone: %+v", r)
		}
	})
}

// TestAReplicaThatOnlyAsksKnowsTheScanners by what the workers tell: a report of
// a database that none of them has any more is made again.
func TestAReplicaThatOnlyAsksKnowsTheScanners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		var scans, built atomic.Int64
		work := scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
			scans.Add(1)
			return &report.Scan{Scanner: "test", DatabaseBuiltAt: time.Unix(built.Load(), 0)}, nil
		})
		every := func(o *service.Options) { o.GenerationEvery = time.Minute }
		old := func(o *service.Options) {
			o.Generations = func(context.Context) ([]backend.Generation, error) {
				return []backend.Generation{{Scanner: "test", DatabaseBuiltAt: time.Unix(0, 0)}}, nil
			}
		}
		current := func(o *service.Options) {
			o.Generations = func(context.Context) ([]backend.Generation, error) {
				return []backend.Generation{{Scanner: "test", DatabaseBuiltAt: time.Unix(built.Load(), 0)}}, nil
			}
		}
		api := c.replica(t, "api", 0, registryFunc(byName), work, every)
		first := c.replica(t, "first", 1, registryFunc(byName), work, every, current)
		second := c.replica(t, "second", 1, registryFunc(byName), work, every, old)
		defer closeService(t, api)
		defer closeService(t, first)
		askFor(t, api, "team", "r/app:1", time.Minute)
		built.Store(1)
		time.Sleep(3 * time.Minute)
		askFor(t, api, "team", "r/app:1", time.Second)
		time.Sleep(time.Minute)
		if n := scans.Load(); n != 1 {
			t.Errorf("%d scans, although a worker with the old database might have made them", n)
		}
		closeService(t, second)
		time.Sleep(2 * time.Minute)
		askFor(t, api, "team", "r/app:1", time.Second)
		time.Sleep(time.Minute)
		if n := scans.Load(); n != 2 {
			t.Errorf("%d scans once all workers have the new database, want 2", n)
		}
	})
}

// TestWhatIsPurgedIsNotMade, whichever replica has it taken off.
func TestWhatIsPurgedIsNotMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		stopped := make(chan error, 1)
		work := scannerFunc(func(ctx context.Context, _ backend.Image) (*report.Scan, error) {
			<-ctx.Done()
			stopped <- context.Cause(ctx)
			return nil, ctx.Err()
		})
		api := c.replica(t, "api", 0, registryFunc(byName), work)
		worker := c.replica(t, "worker", 1, registryFunc(byName), work)
		defer closeService(t, api)
		defer closeService(t, worker)
		askFor(t, api, "team", "r/app:1", time.Second)
		if n := api.Queue().Purge(func(queue.Item) bool { return true }); n != 1 {
			t.Errorf("%d were purged", n)
		}
		if err := <-stopped; err == nil {
			t.Error("the scan went on")
		}
		time.Sleep(time.Second)
		if n := len(worker.Queue().List()) + len(worker.Failed()); n != 0 {
			t.Errorf("%d are left", n)
		}
	})
}
