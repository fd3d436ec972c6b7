package registry

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

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
	r := resolver(t, Options{CAFiles: map[string]string{reg.host(): reg.caFile()}})
	_, err := r.Resolve(t.Context(), reg.host()+"/app:1", "", Access{})
	wantFailure(t, err, report.ReasonUnavailable, other.host(), "registry.insecure")
	if asked.Load() {
		t.Error("the redirect was followed")
	}
}
