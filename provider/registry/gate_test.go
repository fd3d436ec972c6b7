package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

func TestRequestsToOneRegistryAreBounded(t *testing.T) {
	reg := newRegistry(t, false)
	reg.push("app:1")
	var now, most atomic.Int32
	inner := reg.Config.Handler
	reg.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		inner.ServeHTTP(w, req)
	})
	r := resolver(t, Options{Insecure: []string{reg.host()}, Concurrency: 2})
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			_, err := r.Resolve(t.Context(), fmt.Sprintf("%s/app:%d", reg.host(), i), "", Access{})
			if i == 1 && err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n > 2 {
		t.Errorf("%d requests at once, want at most 2", n)
	}
}

// TestRedirectsToPlainHTTPAreRefused keeps credentials and answers off the
// open wire even when the registry itself asks for it.
func TestRedirectsToPlainHTTPAreRefused(t *testing.T) {
	var asked atomic.Bool
	other := newRegistry(t, false)
	other.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Store(true) })
	reg := newRegistry(t, true)
	reg.breakWith(func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, "http://"+other.host()+req.URL.Path, http.StatusTemporaryRedirect)
	})
	r := resolver(t, Options{Hosts: reg.hosts()})
	_, err := r.Resolve(t.Context(), reg.host()+"/app:1", "", Access{})
	wantFailure(t, err, report.ReasonUnavailable, other.host(), "registry.insecure")
	if asked.Load() {
		t.Error("the redirect was followed")
	}
}

func TestTheRateToOneRegistryIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, err := Options{Rate: 2}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		g, err := newGate(o)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		turn := func(registry string, want time.Duration) {
			t.Helper()
			h := g.host(registry)
			release, err := h.acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			release()
			if took := time.Since(began); took != want {
				t.Errorf("a turn with %s after %s, want %s", registry, took, want)
			}
		}
		turn("a", 0)
		turn("a", 0)
		turn("a", 500*time.Millisecond)
		turn("a", time.Second)
		turn("b", time.Second) // has a rate of its own
		soon, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := g.host("a").acquire(soon); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a turn that comes too late: %v", err)
		}
		if n := g.host("a").slots.Held(); n != 0 {
			t.Errorf("%d slots are not given back", n)
		}
	})
}
