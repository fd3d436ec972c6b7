package service_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// guarded is a registry that remembers whom it let in, as the real one does.
type guarded struct {
	mu      sync.Mutex
	dead    map[string]bool // credentials that are refused when asked again
	proved  map[string]bool
	refused int
	gone    map[string]bool // namespaces whose Secrets were deleted
}

func (g *guarded) Resolve(ctx context.Context, ref, _ string, access registry.Access) (*registry.Resolved, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	res, err := hosted(ctx, ref, access)
	if !g.proved[res.Credential] && g.dead[res.Credential] {
		return nil, &report.Failure{Reason: report.ReasonUnauthorized, Message: "refused the credentials of pull secret " + access.Namespace + "/" + res.Credential}
	}
	return res, err
}

func (g *guarded) ResolveNow(ctx context.Context, ref, platforms string, access registry.Access) (*registry.Resolved, error) {
	return g.Resolve(ctx, ref, platforms, access)
}

func (g *guarded) Authorization(_ context.Context, res *registry.Resolved, access registry.Access) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone[access.Namespace] {
		return "", &report.Failure{Reason: report.ReasonUnauthorized, Message: "no longer there"}
	}
	return "Basic " + res.Credential, nil
}

func (g *guarded) Refused(_ context.Context, res *registry.Resolved, _ registry.Access) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.proved, res.Credential)
	g.refused++
}

// needs scans with any credential but those.
func needs(scans *atomic.Int32, dead ...string) scannerFunc {
	return func(_ context.Context, i backend.Image) (*report.Scan, error) {
		scans.Add(1)
		for _, d := range dead {
			if i.Authorization == "Basic "+d {
				return nil, &report.Failure{Reason: report.ReasonUnauthorized, Message: "the registry refused the scanner"}
			}
		}
		time.Sleep(8 * time.Second)
		return clean(), nil
	}
}

// TestADeadTokenIsItsOwnersFailure: somebody's token opened the image and then
// died, and they keep asking.
func TestADeadTokenIsItsOwnersFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scans atomic.Int32
		reg := &guarded{dead: map[string]bool{"token": true}, proved: map[string]bool{"token": true}}
		svc := newService(t, reg, needs(&scans, "token"))
		defer closeService(t, svc)
		for range 120 {
			if r := askAs(t, svc, "evil", "token", "x/app", time.Second); r.Status != report.ScanFailed {
				t.Fatalf("with the dead token: %+v", r)
			}
			time.Sleep(time.Second)
		}
		if reg.refused == 0 || reg.proved["token"] {
			t.Error("the refusal did not end the proof of access")
		}
		if r := askAs(t, svc, "good", "good", "x/app", time.Minute); r.Status != report.Accepted {
			t.Errorf("with good credentials: %+v", r)
		}
		if r := askAs(t, svc, "evil", "token", "x/app", time.Minute); r.Status != report.ScanFailed || strings.Contains(r.Message, "good") {
			t.Errorf("with the dead token after the scan: %+v", r)
		}
	})
}

// TestManyCredentialsAreOneScan, as long as it succeeds, and one after another
// until it does.
func TestManyCredentialsAreOneScan(t *testing.T) {
	for _, tc := range []struct {
		dead []string
		want int32
	}{{nil, 1}, {[]string{"0"}, 2}, {[]string{"0", "1", "2"}, 4}} {
		synctest.Test(t, func(t *testing.T) {
			var scans atomic.Int32
			svc := newService(t, &guarded{}, needs(&scans, tc.dead...), func(o *service.Options) { o.Workers, o.PerRegistry = 64, 64 })
			defer closeService(t, svc)
			var wg sync.WaitGroup
			for i := range 10 {
				wg.Go(func() {
					secret := fmt.Sprint(i)
					want := report.Accepted
					for _, d := range tc.dead {
						if d == secret {
							want = report.ScanFailed
						}
					}
					if r := askAs(t, svc, "team-"+secret, secret, "x/app", time.Hour); r.Status != want {
						t.Errorf("%s: %+v", secret, r)
					}
				})
				synctest.Wait()
			}
			wg.Wait()
			if n := scans.Load(); n > tc.want {
				t.Errorf("%d scans with %d dead of ten credentials, want %d", n, len(tc.dead), tc.want)
			}
		})
	}
}

// TestAFailureOfTheImageIsEverybodys: ten credentials do not scan it ten times.
func TestAFailureOfTheImageIsEverybodys(t *testing.T) {
	for reason, want := range map[report.Reason]int32{
		report.ReasonTooLarge: 1, report.ReasonUnsupported: 1, report.ReasonIncomplete: 1,
		report.ReasonNotFound: 10, report.ReasonUnauthorized: 10, report.ReasonInternal: 10, report.ReasonTimeout: 10,
	} {
		synctest.Test(t, func(t *testing.T) {
			var scans atomic.Int32
			svc := newService(t, &guarded{}, scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
				scans.Add(1)
				return nil, &report.Failure{Reason: reason, Message: "no"}
			}))
			defer closeService(t, svc)
			for i := range 10 {
				if r := askAs(t, svc, "team", fmt.Sprint(i), "x/app", time.Minute); r.Status != report.ScanFailed {
					t.Errorf("%+v", r)
				}
			}
			if n := scans.Load(); n != want {
				t.Errorf("%s: %d scans for ten credentials, want %d", reason, n, want)
			}
		})
	}
}

// TestACredentialThatHangsHoldsUpNoOther for long.
func TestACredentialThatHangsHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := newService(t, &guarded{}, scannerFunc(func(ctx context.Context, i backend.Image) (*report.Scan, error) {
			if i.Authorization == "Basic slow" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return clean(), nil
		}), func(o *service.Options) { o.Deadline = time.Hour })
		defer closeService(t, svc)
		askAs(t, svc, "evil", "slow", "x/app", time.Millisecond)
		if r := askAs(t, svc, "good", "good", "x/app", time.Minute); r.Status != report.Accepted {
			t.Errorf("%+v", r)
		}
	})
}

// TestWhoAskedFirstMayLoseTheSecret: the scan goes on through the other's.
func TestWhoAskedFirstMayLoseTheSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := &guarded{gone: map[string]bool{"evil": true}}
		var scans atomic.Int32
		svc := newService(t, reg, needs(&scans), func(o *service.Options) { o.Workers = 1 })
		defer closeService(t, svc)
		askAs(t, svc, "busy", "", "x/other", time.Millisecond) // keeps the worker
		askAs(t, svc, "evil", "same", "x/app", time.Millisecond)
		if r := askAs(t, svc, "good", "same", "x/app", time.Minute); r.Status != report.Accepted {
			t.Errorf("%+v", r)
		}
	})
}

// TestAFailureDoesNotOutliveItsCause: whatever is not the image's own is tried
// again soon, however long it has failed.
func TestAFailureDoesNotOutliveItsCause(t *testing.T) {
	for _, reason := range []report.Reason{
		report.ReasonInternal, report.ReasonTimeout, report.ReasonUnauthorized, report.ReasonDatabase, report.ReasonUnavailable,
	} {
		synctest.Test(t, func(t *testing.T) {
			var up atomic.Bool
			svc := newService(t, registryFunc(hosted), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
				if up.Load() {
					return clean(), nil
				}
				return nil, &report.Failure{Reason: reason, Message: "down"}
			}), realNumbers)
			defer closeService(t, svc)
			for range 3600 { // an hour
				ask(t, svc, "x/app", time.Minute)
				time.Sleep(time.Second)
			}
			up.Store(true)
			time.Sleep(30 * time.Second)
			if r := ask(t, svc, "x/app", time.Minute); r.Status != report.Accepted {
				t.Errorf("%s, 30 s after the end of its cause: %+v", reason, r)
			}
		})
	}
}

// TestAScannerThatComesBackClearsItsFailures, lasting ones too, and one of a new
// generation.
func TestAScannerThatComesBackClearsItsFailures(t *testing.T) {
	for name, change := range map[string]func(g *backend.Generation, down *bool){
		"database": func(g *backend.Generation, _ *bool) { g.DatabaseBuiltAt = g.DatabaseBuiltAt.Add(time.Hour) },
		"version":  func(g *backend.Generation, _ *bool) { g.Scanner = "test 2" },
		"outage":   func(_ *backend.Generation, down *bool) { *down = true },
		"nothing":  func(*backend.Generation, *bool) {},
	} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			now := backend.Generation{Scanner: "test 1", DatabaseBuiltAt: time.Unix(0, 0)}
			var down, good bool
			svc := newService(t, registryFunc(hosted), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
				mu.Lock()
				defer mu.Unlock()
				if good {
					return clean(), nil
				}
				return nil, &report.Failure{Reason: report.ReasonUnsupported, Message: "what is this"}
			}), realNumbers, func(o *service.Options) {
				o.GenerationEvery = time.Minute
				o.FailureInitial, o.FailureMax = time.Hour, 24*time.Hour
				o.Generations = func(context.Context) ([]backend.Generation, error) {
					mu.Lock()
					defer mu.Unlock()
					if down {
						return nil, errors.New("down")
					}
					g := now
					// A time that is read from JSON is another value each time.
					g.DatabaseBuiltAt = g.DatabaseBuiltAt.In(time.FixedZone("", 0))
					return []backend.Generation{g}, nil
				}
			})
			defer closeService(t, svc)
			ask(t, svc, "x/app", time.Minute)
			time.Sleep(time.Second) // the generations are asked for at the start
			mu.Lock()
			good = true
			change(&now, &down)
			mu.Unlock()
			time.Sleep(2 * time.Minute)
			mu.Lock()
			down = false
			mu.Unlock()
			time.Sleep(2 * time.Minute)
			want := report.Accepted
			if name == "nothing" {
				want = report.ScanFailed
			}
			if r := ask(t, svc, "x/app", time.Minute); r.Status != want {
				t.Errorf("%s: %+v", name, r)
			}
		})
	}
}

// TestAScannerIsToldOnWhoseBehalf: it may share itself too.
func TestAScannerIsToldOnWhoseBehalf(t *testing.T) {
	var share atomic.Value
	svc := newService(t, registryFunc(hosted), scannerFunc(func(_ context.Context, i backend.Image) (*report.Scan, error) {
		share.Store(i.Share)
		return clean(), nil
	}))
	defer closeService(t, svc)
	if r := askAs(t, svc, "team", "", "x/app", time.Minute); r.Status != report.Accepted || share.Load() != "team" {
		t.Errorf("%+v on behalf of %v", r, share.Load())
	}
}

// TestALongMessageIsCut wherever it is kept, logged or sent.
func TestALongMessageIsCut(t *testing.T) {
	var logged strings.Builder
	long := strings.Repeat("x", 3<<20)
	svc := newService(t, registryFunc(hosted), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
		return nil, &report.Failure{Reason: report.ReasonInternal, Message: long, Err: errors.New(long)}
	}), func(o *service.Options) { o.Logger = slog.New(slog.NewTextHandler(&synced{w: &logged}, nil)) })
	for range 2 { // made, and from memory
		if r := ask(t, svc, "x/app", time.Minute); r.Status != report.ScanFailed || len(r.Message) > 1024 {
			t.Errorf("%s with a message of %d bytes", r.Status, len(r.Message))
		}
	}
	closeService(t, svc)
	if logged.Len() > 32<<10 {
		t.Errorf("%d bytes of log", logged.Len())
	}
}
