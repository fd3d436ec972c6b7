package drain_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/drain"
)

// process answers /readyz as one of several behind an address.
func process(s *drain.Succession, code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		s.Mark(w.Header())
		w.WriteHeader(code)
	}
}

func TestSuccession(t *testing.T) {
	var ending atomic.Bool
	var behind atomic.Pointer[http.HandlerFunc]
	address := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*behind.Load())(w, r) }))
	defer address.Close()
	us := drain.NewSuccession(ending.Load, address.Client(), address.URL+"/readyz")
	other := drain.NewSuccession(func() bool { return false }, nil, "")
	ends := drain.NewSuccession(func() bool { return true }, nil, "")
	companion := drain.Companion(http.DefaultClient, address.URL+"/readyz")
	set := func(h http.HandlerFunc) { behind.Store(&h) }

	set(process(us, http.StatusOK))
	if us.Alone() || !companion(t.Context()) {
		t.Error("it is alone before its end")
	}
	ending.Store(true)
	if !us.Alone() || companion(t.Context()) {
		t.Error("nobody has succeeded it, and it is not alone")
	}
	for name, h := range map[string]http.HandlerFunc{
		"itself":                   process(us, http.StatusOK),
		"one that is not ready":    process(other, http.StatusServiceUnavailable),
		"one that ends":            process(ends, http.StatusOK),
		"one without a name":       func(http.ResponseWriter, *http.Request) {},
		"one that says nothing":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"something that redirects": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
	} {
		set(h)
		if us.Succeeded(t.Context()) || !us.Alone() {
			t.Errorf("it was succeeded by %s", name)
		}
		if companion(t.Context()) != (name == "one that ends" || name == "one that is not ready" || name == "one without a name") {
			t.Errorf("its companion takes %s for it", name)
		}
	}
	set(process(other, http.StatusOK))
	if !us.Succeeded(t.Context()) || us.Alone() {
		t.Error("another answers, and it was not succeeded")
	}
	set(process(us, http.StatusServiceUnavailable))
	if !companion(t.Context()) {
		t.Error("its companion does not know")
	}
}

func TestNobodyIsWaitedForWhereNobodyAsks(t *testing.T) {
	ending := func() bool { return true }
	if s := drain.NewSuccession(ending, nil, ""); s.Alone() || !s.Succeeded(t.Context()) {
		t.Error("it waits without an address")
	}
	s := drain.NewSuccession(ending, http.DefaultClient, "http://gone.invalid/readyz")
	if !s.Succeeded(t.Context()) {
		t.Error("it waits although there is no such Service")
	}
	address := httptest.NewServer(nil)
	address.Close()
	if s := drain.NewSuccession(ending, http.DefaultClient, address.URL); s.Succeeded(t.Context()) {
		t.Error("a Service without anybody behind it succeeded it")
	}
	if !drain.Companion(http.DefaultClient, address.URL)(t.Context()) {
		t.Error("it waits for a companion that has ended")
	}
}

// The last one answers until another does, although nobody asks just now, and not
// longer than it may.
func TestTheLastOneStays(t *testing.T) {
	for _, tc := range []struct {
		name           string
		after, longest time.Duration // a successor comes; the end at the latest
		least          time.Duration
	}{
		{"until somebody succeeds it", 2 * time.Second, time.Hour, 2 * time.Second},
		{"until its time is over", time.Hour, 2 * time.Second, 2 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var at atomic.Pointer[time.Time]
			url, end, ended := serve(t, func(http.ResponseWriter, *http.Request) {}, drain.Times{
				Delay: time.Millisecond, Longest: tc.longest, Grace: time.Second,
				Succeeded: func(context.Context) bool { return time.Since(*at.Load()) > tc.after },
			})
			now := time.Now()
			at.Store(&now)
			end()
			time.Sleep(tc.least * 3 / 4)
			resp, err := http.Get(url)
			if err != nil {
				t.Fatalf("it left: %v", err)
			}
			_ = resp.Body.Close()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if took := time.Since(now); took < tc.least {
				t.Errorf("it ended after %s", took)
			}
		})
	}
}
