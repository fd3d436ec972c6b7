package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/harbor"
)

func config() Config {
	return Config{Workers: 2, Queue: 3, PerShare: 2, Abandon: 24 * time.Hour, Results: 3, ResultBytes: 100, TTL: time.Minute}
}

func of(digest, authorization string) harbor.ScanRequest {
	return harbor.ScanRequest{
		Registry: harbor.Registry{URL: "https://r.example", Authorization: authorization},
		Artifact: harbor.Artifact{Repository: "a/b", Digest: digest},
	}
}

// run starts a queue inside a synctest bubble and returns it with its end.
func run(t *testing.T, cfg Config, scan Scan) *Queue {
	t.Helper()
	q := New(cfg, scan, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { q.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return q
}

func add(t *testing.T, q *Queue, req harbor.ScanRequest) string {
	t.Helper()
	id, err := q.Add(req, "")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestDoneAndFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := run(t, config(), func(_ context.Context, req harbor.ScanRequest) ([]byte, error) {
			time.Sleep(time.Second)
			switch req.Artifact.Digest {
			case "good":
				return []byte("report"), nil
			case "bad":
				return nil, failure.New(failure.NotFound, "none")
			default:
				return nil, errors.New("the password is 1234")
			}
		})
		good, bad, odd := add(t, q, of("good", "")), add(t, q, of("bad", "")), add(t, q, of("odd", ""))
		if r := q.Get(good); r.State != Pending {
			t.Errorf("before: %+v", r)
		}
		time.Sleep(5 * time.Second)
		if r := q.Get(good); r.State != Done || string(r.Report) != "report" {
			t.Errorf("good: %+v", r)
		}
		if r := q.Get(bad); r.State != Failed || r.Failure.Code != failure.NotFound {
			t.Errorf("bad: %+v", r)
		}
		if r := q.Get(odd); r.State != Failed || r.Failure.Code != failure.Internal || r.Failure.Message == "the password is 1234" {
			t.Errorf("odd: %+v", r.Failure)
		}
		if r := q.Get("guess"); r.State != Unknown {
			t.Errorf("unknown: %+v", r)
		}
	})
}

func TestQueueIsBoundedAndShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running atomic.Int64
		q := run(t, config(), func(context.Context, harbor.ScanRequest) ([]byte, error) {
			running.Add(1)
			time.Sleep(time.Hour)
			return nil, nil
		})
		ids := map[string]bool{}
		for i := range 5 { // two run, three wait
			ids[add(t, q, of(fmt.Sprint(i), "Basic x"))] = true
			synctest.Wait()
		}
		if running.Load() != 2 || q.Waiting() != 3 || len(ids) != 5 {
			t.Errorf("%d run, %d wait, %d identifiers", running.Load(), q.Waiting(), len(ids))
		}
		for i := range 5 { // equal requests need no place
			if id := add(t, q, of(fmt.Sprint(i), "Basic x")); !ids[id] {
				t.Errorf("request %d is not shared", i)
			}
		}
		_, err := q.Add(of("0", "Basic y"), "") // other credentials are another request
		if f := failure.Of(err); err == nil || f.Code != failure.Busy {
			t.Errorf("full queue: %v", err)
		}
	})
}

func held(q *Queue) int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.results.bytes
}

func TestResultsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := run(t, config(), func(_ context.Context, req harbor.ScanRequest) ([]byte, error) {
			if req.Artifact.Digest == "big" {
				return make([]byte, 80), nil
			}
			return make([]byte, 20), nil
		})
		scan := func(digest string) string {
			id := add(t, q, of(digest, ""))
			synctest.Wait()
			return id
		}
		first := scan("1")
		for i := range 3 {
			scan(fmt.Sprint("more", i))
		}
		if r := q.Get(first); r.State != Unknown {
			t.Errorf("four results are kept where three may be: %+v", r)
		}
		last := scan("last")
		big := scan("big")
		if q.Get(big).State != Done || q.Get(last).State != Done || held(q) != 100 {
			t.Errorf("100 bytes may be kept, %d are", held(q))
		}
		time.Sleep(2 * time.Minute)
		if q.Get(big).State != Unknown || held(q) != 0 {
			t.Errorf("old results are kept: %d bytes", held(q))
		}
	})
}

// Messages count too: a failure is kept like a report.
func TestFailuresAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := run(t, config(), func(context.Context, harbor.ScanRequest) ([]byte, error) {
			return nil, failure.New(failure.Registry, "%s", strings.Repeat("x", 60))
		})
		first := add(t, q, of("1", ""))
		synctest.Wait()
		second := add(t, q, of("2", ""))
		synctest.Wait()
		if q.Get(first).State != Unknown || q.Get(second).State != Failed || held(q) != 60 {
			t.Errorf("100 bytes may be kept, %d are", held(q))
		}
	})
}

// A queue that stops does not start what waits.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var started atomic.Int64
		cfg := config()
		cfg.Workers = 1
		q := New(cfg, func(ctx context.Context, _ harbor.ScanRequest) ([]byte, error) {
			started.Add(1)
			<-ctx.Done()
			return nil, failure.New(failure.Stopped, "stopped")
		}, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { q.Run(ctx); close(done) }()
		add(t, q, of("1", ""))
		add(t, q, of("2", ""))
		synctest.Wait()
		cancel()
		<-done
		if started.Load() != 1 {
			t.Errorf("%d scans started", started.Load())
		}
	})
}
