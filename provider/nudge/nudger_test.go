package nudge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/provider/owner"
)

var web = owner.Reference{Kind: owner.ReplicaSet, Name: "web", UID: "u-1"}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// api stands in for the API server.
type api struct {
	mu sync.Mutex
	// answer is what comes of a patch of that object; nil: it works.
	answer func(object string) error
	// done are the patches that worked, namespace/name, and when.
	done []string
	at   []time.Time
	// tried counts all patches.
	tried int
}

func (a *api) patch(_ context.Context, who id, _ []byte) error {
	object := who.namespace + "/" + who.owner.Name
	a.mu.Lock()
	answer := a.answer
	a.tried++
	a.mu.Unlock()
	if answer != nil {
		if err := answer(object); err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.done, a.at = append(a.done, object), append(a.at, time.Now())
	return nil
}

func (a *api) seen() ([]string, int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.done), a.tried
}

// fixture is a Nudger that runs in a synctest bubble.
type fixture struct {
	*Nudger
	api api
	log bytes.Buffer
}

// run calls test with a Nudger that runs, and ends it. Whatever goroutine it left
// would fail the bubble.
func run(t *testing.T, perSecond int, test func(t *testing.T, f *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{}
		var err error
		if f.Nudger, err = newNudger(Options{
			PerSecond: perSecond, Registerer: prometheus.NewRegistry(),
			Logger: slog.New(slog.NewTextHandler(&f.log, nil)),
		}, f.api.patch); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- f.Start(ctx) }()
		test(t, f)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Start: %v", err)
		}
	})
}

// after lets that time pass and wants these nudges to have worked until then.
func (f *fixture) after(t *testing.T, d time.Duration, want ...string) {
	t.Helper()
	time.Sleep(d)
	synctest.Wait()
	if got, _ := f.api.seen(); !slices.Equal(got, want) {
		t.Errorf("after %v more: nudged %q, want %q", d, got, want)
	}
}

func (f *fixture) count(r result) int {
	return int(testutil.ToFloat64(f.metrics.nudges.WithLabelValues(string(r))))
}

func TestNudgedAtOnce(t *testing.T) {
	run(t, 10, func(t *testing.T, f *fixture) {
		f.Pending("shop", web, "a")
		f.Pending("shop", web, "a")
		f.Pending("shop", owner.Reference{}, "a") // a bare Pod
		f.Pending("", web, "a")
		f.Ended("b")
		f.after(t, time.Minute)
		f.Ended("a")
		f.after(t, 0, "shop/web")
		f.Ended("a")
		f.after(t, time.Hour, "shop/web")
		if f.count(resultOK) != 1 || f.remembered() != 0 {
			t.Errorf("%d nudges, %d remembered", f.count(resultOK), f.remembered())
		}
	})
}

// An owner that is not pending any more is not nudged for what ended before it
// asked, and one whose UID differs is another.
func TestOwnersAreTheirOwn(t *testing.T) {
	run(t, 10, func(t *testing.T, f *fixture) {
		again := web
		again.UID = "u-2"
		f.Ended("a")
		f.Pending("shop", web, "a")
		f.Pending("shop", again, "b")
		f.Pending("other", web, "b")
		f.after(t, time.Second)
		f.Ended("a")
		f.after(t, 0, "shop/web")
		f.Ended("b")
		time.Sleep(0)
		synctest.Wait()
		got, _ := f.api.seen()
		slices.Sort(got)
		if want := []string{"other/web", "shop/web", "shop/web"}; !slices.Equal(got, want) {
			t.Errorf("nudged %q, want %q", got, want)
		}
	})
}

func TestNudgedOnceForAllImages(t *testing.T) {
	run(t, 10, func(t *testing.T, f *fixture) {
		for _, key := range []string{"a", "b", "c"} {
			f.Pending("shop", web, key)
		}
		f.Ended("a")
		f.after(t, 2*time.Second)
		f.Ended("b")
		f.after(t, 2*time.Second)
		f.Ended("c")
		f.after(t, 0, "shop/web")
		f.after(t, time.Minute, "shop/web")
	})
}

// What an owner waits for may be an image that it has no more.
func TestNudgedAfterAWhileWithoutTheRest(t *testing.T) {
	run(t, 10, func(t *testing.T, f *fixture) {
		f.Pending("shop", web, "hangs")
		f.Pending("shop", web, "b")
		f.Pending("shop", web, "c")
		f.Ended("b")
		f.after(t, patience-time.Second)
		f.Ended("c") // does not put it off
		f.after(t, time.Second, "shop/web")
		f.after(t, 30*time.Minute, "shop/web")
		f.Ended("hangs")
		f.after(t, 0, "shop/web", "shop/web")
	})
}

func TestNudgedOnceInAWhile(t *testing.T) {
	run(t, 100, func(t *testing.T, f *fixture) {
		for i := range 600 { // a minute of new images
			key := fmt.Sprint(i)
			f.Pending("shop", web, key)
			f.Ended(key)
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(interval)
		synctest.Wait()
		for i := range f.api.at[1:] {
			if pause := f.api.at[i+1].Sub(f.api.at[i]); pause < interval {
				t.Errorf("nudged again after %v", pause)
			}
		}
		if n := len(f.api.at); n < 12 || n > 13 {
			t.Errorf("%d nudges in a minute", n)
		}
	})
}

// An end during the request is not lost with it.
func TestAnEndWhileNudging(t *testing.T) {
	run(t, 10, func(t *testing.T, f *fixture) {
		f.api.answer = func(string) error { time.Sleep(time.Second); return nil }
		f.Pending("shop", web, "a")
		f.Ended("a")
		time.Sleep(time.Second / 2)
		f.Pending("shop", web, "b")
		f.Ended("b")
		f.after(t, time.Second, "shop/web")
		f.after(t, interval, "shop/web", "shop/web")
	})
}

func status(code int32, reason metav1.StatusReason) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Code: code, Reason: reason, Message: "the server says so"}}
}

func TestTriedAgain(t *testing.T) {
	for name, err := range map[string]error{
		"conflict":  status(409, metav1.StatusReasonConflict),
		"a 500":     status(500, metav1.StatusReasonInternalError),
		"a 503":     status(503, metav1.StatusReasonServiceUnavailable),
		"too many":  status(429, metav1.StatusReasonTooManyRequests),
		"transport": errors.New("connection refused"),
	} {
		t.Run(name, func(t *testing.T) {
			run(t, 10, func(t *testing.T, f *fixture) {
				left := 2
				f.api.answer = func(string) error {
					if left--; left >= 0 {
						return err
					}
					return nil
				}
				f.Pending("shop", web, "a")
				f.Ended("a")
				f.after(t, retryInitial)
				f.after(t, 2*retryInitial, "shop/web")
				if f.count(resultOK) != 1 || f.count(resultFailed) != 0 {
					t.Errorf("counted %d, %d", f.count(resultOK), f.count(resultFailed))
				}
				// The next one may fail as often.
				left = attempts - 1
				time.Sleep(interval)
				f.Pending("shop", web, "b")
				f.Ended("b")
				f.after(t, time.Minute, "shop/web", "shop/web")
			})
		})
	}
}

func TestGivenUp(t *testing.T) {
	for name, tc := range map[string]struct {
		err   error
		tries int
		want  result
		says  string
	}{
		"away":        {status(503, metav1.StatusReasonServiceUnavailable), attempts, resultFailed, "it will try by itself"},
		"gone":        {status(404, metav1.StatusReasonNotFound), 1, resultGone, ""},
		"a namesake":  {status(422, metav1.StatusReasonInvalid), 1, resultGone, ""},
		"not allowed": {status(403, metav1.StatusReasonForbidden), 1, resultForbidden, "replicasets.apps: nudge.enabled needs the verb patch on them (RBAC)"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, 10, func(t *testing.T, f *fixture) {
				f.api.answer = func(string) error { return tc.err }
				f.Pending("shop", web, "a")
				f.Ended("a")
				f.after(t, time.Hour)
				if _, tried := f.api.seen(); tried != tc.tries || f.count(tc.want) != 1 {
					t.Errorf("tried %d times, counted %d, want %d and 1", tried, f.count(tc.want), tc.tries)
				}
				if log := f.log.String(); !strings.Contains(log, tc.says) || tc.says == "" && log != "" {
					t.Errorf("the log says %q, want %q", log, tc.says)
				}
				if n := f.remembered(); n != 0 {
					t.Errorf("%d are remembered", n)
				}
			})
		})
	}
}

// An operator reads once for each kind what is missing, and again when it went
// and came back.
func TestMissingRightsAreToldOnce(t *testing.T) {
	run(t, 100, func(t *testing.T, f *fixture) {
		var err error
		f.api.answer = func(string) error { return err }
		end := func(kind owner.Kind, name string) {
			f.Pending("shop", owner.Reference{Kind: kind, Name: name, UID: "u"}, name)
			f.Ended(name)
			time.Sleep(time.Second)
			synctest.Wait()
		}
		told := func(want int) {
			t.Helper()
			if got := strings.Count(f.log.String(), "level=WARN"); got != want {
				t.Errorf("%d warnings, want %d: %s", got, want, &f.log)
			}
		}
		err = status(403, metav1.StatusReasonForbidden)
		for i := range 5 {
			end(owner.ReplicaSet, fmt.Sprint("web-", i))
		}
		told(1)
		end(owner.Job, "job-1")
		end(owner.Job, "job-2")
		told(2)
		err = nil
		end(owner.Job, "job-3")
		err = status(403, metav1.StatusReasonForbidden)
		end(owner.Job, "job-4")
		end(owner.ReplicaSet, "web-5")
		told(3)
		if n := f.count(resultForbidden); n != 9 {
			t.Errorf("%d counted, want 9", n)
		}
	})
}

// A namespace with many owners does not make another wait for all of them, nor do
// its objects that hang.
func TestNamespacesTakeTurns(t *testing.T) {
	run(t, 4, func(t *testing.T, f *fixture) {
		f.api.answer = func(object string) error {
			if strings.HasPrefix(object, "noisy/") {
				time.Sleep(5 * time.Second)
				return errors.New("no answer")
			}
			return nil
		}
		for i := range 500 {
			f.Pending("noisy", owner.Reference{Kind: owner.Job, Name: fmt.Sprint("job-", i), UID: "u"}, "image")
		}
		f.Ended("image")
		time.Sleep(time.Minute)
		f.Pending("quiet", web, "other")
		f.Ended("other")
		f.after(t, 6*time.Second, "quiet/web")
	})
}

func TestRate(t *testing.T) {
	run(t, 10, func(t *testing.T, f *fixture) {
		for i := range 100 {
			f.Pending("shop", owner.Reference{Kind: owner.Job, Name: fmt.Sprint("job-", i), UID: "u"}, "a")
		}
		f.Ended("a")
		time.Sleep(4*time.Second + 10*time.Millisecond)
		synctest.Wait()
		if got, _ := f.api.seen(); len(got) != 50 {
			t.Errorf("%d nudges in 4 s, want the burst of 10 and 10 a second", len(got))
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got, _ := f.api.seen(); len(got) != 100 {
			t.Errorf("%d nudges, want all", len(got))
		}
	})
}

func TestForgottenAfterAnHour(t *testing.T) {
	run(t, 10, func(t *testing.T, f *fixture) {
		f.Pending("shop", web, "a")
		time.Sleep(lifetime - time.Minute)
		f.Pending("shop", owner.Reference{Kind: owner.Job, Name: "job", UID: "u"}, "a")
		time.Sleep(2 * time.Minute)
		f.Ended("a")
		f.after(t, time.Hour, "shop/job")
		if f.count(resultDropped) != 1 {
			t.Errorf("%d dropped, want 1", f.count(resultDropped))
		}
	})
}

// The end of the process does not wait for an API server that hangs, and is no
// failure of the nudge.
func TestStopWhileNudging(t *testing.T) {
	run(t, 10, func(t *testing.T, f *fixture) {
		f.api.answer = func(string) error { time.Sleep(time.Second); return context.Canceled }
		for i := range 50 {
			f.Pending("shop", owner.Reference{Kind: owner.Job, Name: fmt.Sprint("job-", i), UID: "u"}, "a")
		}
		f.Ended("a")
		time.Sleep(time.Second / 2)
		t.Cleanup(func() {
			if n := f.count(resultFailed); n != 0 || f.log.Len() != 0 {
				t.Errorf("%d failures, log %q", n, &f.log)
			}
		})
	})
}
