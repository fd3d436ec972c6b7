package service_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
)

// hosted resolves host/repository; the pull secret, if there is one, is the
// credential.
func hosted(_ context.Context, ref string, access registry.Access) (*registry.Resolved, error) {
	host, repository, _ := strings.Cut(ref, "/")
	digest := "sha256:" + repository
	res := &registry.Resolved{Reference: ref, Registry: host, Repository: repository, Digest: digest, Manifests: []registry.Manifest{{Digest: digest}}}
	if len(access.PullSecrets) > 0 {
		res.Credential = access.PullSecrets[0]
		res.Holder = res.Credential
	}
	return res, nil
}

// evilHangs scans what is not of a registry called evil in the given time.
func evilHangs(took time.Duration) scannerFunc {
	return func(ctx context.Context, i backend.Image) (*report.Scan, error) {
		if strings.HasPrefix(i.Registry, "evil") {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		select {
		case <-time.After(took):
			return clean(), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// realNumbers are the defaults of the configuration.
func realNumbers(o *service.Options) {
	o.Workers, o.PerRegistry, o.Queue, o.Deadline = 4, 3, 1000, 10*time.Minute
	o.YieldAfter, o.AbandonAfter = 30*time.Second, 20*time.Minute
	o.Refreshers, o.RefreshesPerMinute = 3, 20
}

// askAs is ask for a namespace with a pull secret, which may be none.
func askAs(t *testing.T, svc *service.Service, namespace, secret, image string, budget time.Duration) report.ScanReport {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), budget)
	defer cancel()
	q := service.Query{Reference: image, Access: registry.Access{Namespace: namespace}}
	if secret != "" {
		q.Access.PullSecrets = []string{secret}
	}
	return svc.Reports(ctx, []service.Query{q})[0]
}

// attack asks in the namespace evil for 2000 images of a hundred registries that
// hang.
func attack(t *testing.T, svc *service.Service) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nobody stays
	var queries []service.Query
	for host := range 100 {
		for i := range 20 {
			queries = append(queries, service.Query{Reference: fmt.Sprintf("evil-%d/app-%d-%d", host, host, i), Access: registry.Access{Namespace: "evil"}})
		}
	}
	svc.Reports(ctx, queries)
	synctest.Wait()
}

// TestAHundredHangingRegistriesDelayNoOther: the two times of one image of
// another namespace, in an idle system and under attack, on a clock that moves
// only when all wait. The attacker asks for the good image as well.
func TestAHundredHangingRegistriesDelayNoOther(t *testing.T) {
	times := map[bool]time.Duration{}
	for _, attacked := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			svc := newService(t, registryFunc(hosted), evilHangs(2*time.Second), realNumbers)
			defer closeService(t, svc)
			if attacked {
				attack(t, svc)
				askAs(t, svc, "evil", "", "good.example/app", time.Millisecond)
				time.Sleep(time.Minute)
			}
			began := time.Now()
			if r := askAs(t, svc, "good", "", "good.example/app", time.Hour); r.Status != report.Accepted {
				t.Errorf("%+v", r)
			}
			times[attacked] = time.Since(began)
		})
	}
	t.Logf("one image: %s in an idle system, %s beside a hundred registries that hang", times[false], times[true])
	if times[true] > 2*times[false] {
		t.Errorf("%s became %s", times[false], times[true])
	}
}

// TestAStormOfOthersBesideAHangingNamespace: 200 images of 20 namespaces at once.
func TestAStormOfOthersBesideAHangingNamespace(t *testing.T) {
	times := map[bool]time.Duration{}
	for _, attacked := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			svc := newService(t, registryFunc(hosted), evilHangs(time.Second), realNumbers)
			defer closeService(t, svc)
			if attacked {
				attack(t, svc)
			}
			began := time.Now()
			var wg sync.WaitGroup
			for namespace := range 20 {
				for i := range 10 {
					wg.Go(func() {
						name := fmt.Sprint("team-", namespace)
						if r := askAs(t, svc, name, "", fmt.Sprintf("%s.example/app-%d-%d", name, namespace, i), time.Hour); r.Status != report.Accepted {
							t.Errorf("%+v", r)
						}
					})
				}
			}
			wg.Wait()
			times[attacked] = time.Since(began)
		})
	}
	t.Logf("200 images of 20 namespaces: %s in an idle system, %s beside one that hangs", times[false], times[true])
	if times[true] > 2*times[false] {
		t.Errorf("%s became %s", times[false], times[true])
	}
}

// TestTwoNamespacesThatAskForTheSameHoldNoTurnsLonger: what two asked for was
// never stopped, and two tenants' namespaces held all workers to the deadline.
func TestTwoNamespacesThatAskForTheSameHoldNoTurnsLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := newService(t, registryFunc(hosted), evilHangs(2*time.Second), realNumbers)
		defer closeService(t, svc)
		for i := range 20 {
			for _, namespace := range []string{"evil", "evil-too"} {
				askAs(t, svc, namespace, "", fmt.Sprintf("evil-%d/app-%d", i, i), time.Millisecond)
			}
		}
		time.Sleep(time.Minute)
		began := time.Now()
		if r := askAs(t, svc, "good", "", "good.example/app", time.Hour); r.Status != report.Accepted {
			t.Errorf("%+v", r)
		}
		took := time.Since(began)
		t.Logf("one image: %s beside two namespaces that ask for the same images that hang", took)
		if took > time.Minute {
			t.Errorf("it took %s", took)
		}
	})
}

// TestAnHonestLongScanIsNotStoppedForEver: it gives way, and is finished once it
// is within its namespace's share.
func TestAnHonestLongScanIsNotStoppedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := newService(t, registryFunc(hosted), scannerFunc(func(ctx context.Context, i backend.Image) (*report.Scan, error) {
			took := time.Second
			if i.Registry == "large.example" {
				took = 5 * time.Minute
			}
			select {
			case <-time.After(took):
				return clean(), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}), realNumbers)
		defer closeService(t, svc)
		var wg sync.WaitGroup
		for i := range 2 {
			wg.Go(func() {
				if r := askAs(t, svc, "large", "", fmt.Sprint("large.example/", i), time.Hour); r.Status != report.Accepted {
					t.Errorf("%+v", r)
				}
			})
		}
		time.Sleep(time.Second)
		stop := time.Now().Add(20 * time.Minute)
		for team := range 6 {
			wg.Go(func() {
				for i := 0; time.Now().Before(stop); i++ {
					name := fmt.Sprint("team-", team)
					if r := askAs(t, svc, name, "", fmt.Sprintf("%s.example/app-%d-%d", name, team, i), time.Hour); r.Status != report.Accepted {
						t.Errorf("%+v", r)
					}
				}
			})
		}
		wg.Wait()
	})
}

// TestAFullQueueLetsOthersIn: one registry fills it.
func TestAFullQueueLetsOthersIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := newService(t, registryFunc(hosted), evilHangs(time.Second), realNumbers, func(o *service.Options) { o.Queue = 20 })
		defer closeService(t, svc)
		refused := 0
		for i := range 100 {
			if r := askAs(t, svc, "evil", "", fmt.Sprintf("evil/app-%d", i), time.Millisecond); strings.Contains(r.Message, "too many scans") {
				refused++
			}
		}
		if refused == 0 {
			t.Error("the queue has no end")
		}
		// All at once, more than there is room for beside the attacker's.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var queries []service.Query
		for i := range 10 {
			queries = append(queries, service.Query{Reference: fmt.Sprintf("good.example/b-%d", i), Access: registry.Access{Namespace: "good"}})
		}
		for _, r := range svc.Reports(ctx, queries) {
			if r.Status != report.Accepted {
				t.Errorf("%+v", r)
			}
		}
	})
}

// TestAHangingRefreshLeavesTheOthers: twelve images of one namespace hang when
// they are scanned again, and another's acceptance is outdated.
func TestAHangingRefreshLeavesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var built atomic.Int64
		svc := newService(t, registryFunc(hosted), scannerFunc(func(ctx context.Context, i backend.Image) (*report.Scan, error) {
			at := time.Unix(built.Load(), 0)
			if built.Load() == 0 {
				return &report.Scan{Scanner: "test", DatabaseBuiltAt: at}, nil
			}
			if strings.HasPrefix(i.Registry, "evil") {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			found := vulnerable()
			found.DatabaseBuiltAt = at
			return found, nil
		}), realNumbers, func(o *service.Options) {
			o.GenerationEvery = time.Minute
			o.Generations = func(context.Context) ([]backend.Generation, error) {
				return []backend.Generation{{Scanner: "test", DatabaseBuiltAt: time.Unix(built.Load(), 0)}}, nil
			}
		})
		defer closeService(t, svc)
		audit := func() (good, own report.ScanReport) {
			for i := range 12 {
				askAs(t, svc, "evil", "", fmt.Sprintf("evil-%d/app-%d", i, i), time.Second)
			}
			own = askAs(t, svc, "evil", "", "own.example/own", time.Second)
			// The attacker runs the good image too, and asks for it first.
			askAs(t, svc, "evil", "", "good.example/app", time.Second)
			return askAs(t, svc, "good", "", "good.example/app", time.Second), own
		}
		if good, own := audit(); good.Status != report.Accepted || own.Status != report.Accepted {
			t.Fatalf("%+v, %+v", good, own)
		}
		built.Store(3600)
		time.Sleep(2 * time.Minute)
		outdated := 0
		for {
			good, _ := audit()
			if good.Status == report.Rejected {
				break
			}
			if outdated++; outdated > 12*60 {
				t.Fatal("an outdated acceptance stays for half a day")
			}
			time.Sleep(time.Minute)
		}
		t.Logf("the outdated acceptance was served in %d audits after the new database was known", outdated)
		if outdated > 3 {
			t.Errorf("the outdated acceptance was served in %d audits", outdated)
		}
	})
}

// TestAScanThatNobodyAsksForIsGivenUp, one that waits and one under way.
func TestAScanThatNobodyAsksForIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, begun atomic.Int32
		svc := newService(t, registryFunc(hosted), scannerFunc(func(ctx context.Context, _ backend.Image) (*report.Scan, error) {
			begun.Add(1)
			running.Add(1)
			defer running.Add(-1)
			<-ctx.Done()
			return nil, ctx.Err()
		}), func(o *service.Options) { o.Workers, o.Deadline, o.AbandonAfter = 1, 3*time.Hour, 10*time.Minute })
		defer closeService(t, svc)
		askAs(t, svc, "a", "", "x/running", time.Millisecond)
		askAs(t, svc, "a", "", "x/waiting", time.Millisecond)
		for range 30 { // as long as somebody comes back, both stay
			time.Sleep(time.Minute)
			askAs(t, svc, "a", "", "x/running", time.Millisecond)
			if r := askAs(t, svc, "a", "", "x/waiting", time.Millisecond); r.Status != report.NotAvailable {
				t.Fatalf("%+v", r)
			}
		}
		if running.Load() != 1 || begun.Load() != 1 {
			t.Fatalf("%d run of %d begun", running.Load(), begun.Load())
		}
		time.Sleep(10*time.Minute + 2*time.Second)
		if running.Load() != 0 || begun.Load() != 1 {
			t.Errorf("%d run of %d begun long after the last ask", running.Load(), begun.Load())
		}
		// Giving up is no failure: the next ask begins anew.
		if r := askAs(t, svc, "a", "", "x/running", time.Millisecond); r.Status != report.NotAvailable || begun.Load() != 2 {
			t.Errorf("%+v", r)
		}
	})
}

// TestWhoeverWaitsKeepsAScan: an asker that stays needs no second ask.
func TestWhoeverWaitsKeepsAScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := newService(t, registryFunc(hosted), evilHangs(2*time.Hour), func(o *service.Options) {
			o.Deadline, o.AbandonAfter = 3*time.Hour, 10*time.Minute
		})
		defer closeService(t, svc)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Hour)
		defer cancel()
		if r := svc.Reports(ctx, []service.Query{{Reference: "x/long", Patient: true}})[0]; r.Status != report.Accepted {
			t.Errorf("%+v", r)
		}
	})
}
