package attached_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Each image asked a registry again that had asked to be left alone for an hour.
func TestARegistryThatAsksToBeLeftAloneIs(t *testing.T) {
	for name, tc := range map[string]struct {
		status     int
		retryAfter string
		once       bool
		after      time.Duration
	}{
		"429":                   {http.StatusTooManyRequests, "3600", true, time.Hour},
		"503":                   {http.StatusServiceUnavailable, "7200", true, 2 * time.Hour},
		"429 for a moment":      {http.StatusTooManyRequests, "2", true, 5 * time.Minute},
		"429 for a year":        {http.StatusTooManyRequests, "31536000", true, 24 * time.Hour},
		"503 without saying so": {http.StatusServiceUnavailable, "", false, 5 * time.Minute},
		"500 that says so":      {http.StatusInternalServerError, "3600", false, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, true)
			var asked atomic.Int32
			w.handler = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				if tc.retryAfter != "" {
					rw.Header().Set("Retry-After", tc.retryAfter)
				}
				rw.WriteHeader(tc.status)
			})
			behind := &counting{}
			b := w.finder().Wrap(behind)
			for range 3 {
				s, err := b.Scan(t.Context(), w.image)
				if err != nil || !s.RefreshAt.Equal(now().Add(tc.after)) {
					t.Fatalf("again at %s, %v, want after %s", s.RefreshAt, err, tc.after)
				}
			}
			if n := asked.Load(); (n == 1) != tc.once || behind.scans != 3 {
				t.Errorf("asked %d times, %d scans", asked.Load(), behind.scans)
			}
		})
	}
}

func TestARegistryIsAskedAgainWhenItsTimeIsOver(t *testing.T) {
	w := newWorld(t, true)
	w.bundle(w.report(time.Hour, "CVE-1"))
	var ahead atomic.Int64
	w.options.Now = func() time.Time { return now().Add(time.Duration(ahead.Load())) }
	var busy atomic.Bool
	busy.Store(true)
	w.handler = http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if busy.Load() {
			rw.Header().Set("Retry-After", "60")
			rw.WriteHeader(http.StatusTooManyRequests)
			return
		}
		w.proxy(rw, req)
	})
	f := w.finder()
	if _, err := f.Find(t.Context(), w.image); err == nil || !strings.Contains(err.Error(), "asked to be left alone for 1m0s") {
		t.Fatalf("error %v", err)
	}
	busy.Store(false)
	if _, err := f.Find(t.Context(), w.image); err == nil {
		t.Error("it was asked within the minute")
	}
	ahead.Store(int64(time.Minute))
	if found, err := f.Find(t.Context(), w.image); err != nil || found.Scan == nil {
		t.Errorf("after it: %+v, %v", found, err)
	}
}

// Whoever may create Pods may use up what a registry lets one account ask: that
// is no reason to leave another's VEX documents out.
func TestOneAccountsRegistryThatIsBusyIsAskedByAnother(t *testing.T) {
	w := newWorld(t, true)
	w.bundle(w.report(time.Hour, "CVE-1"))
	w.handler = http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if user, _, _ := req.BasicAuth(); user == "greedy" {
			rw.Header().Set("Retry-After", "3600")
			rw.WriteHeader(http.StatusTooManyRequests)
			return
		}
		w.proxy(rw, req)
	})
	f := w.finder()
	greedy := w.image
	greedy.Authorization = "Basic Z3JlZWR5Og=="
	if _, err := f.Find(t.Context(), greedy); err == nil {
		t.Error("the busy registry has an answer")
	}
	if found, err := f.Find(t.Context(), w.image); err != nil || found.Scan == nil {
		t.Errorf("another account: %+v, %v", found, err)
	}
}
