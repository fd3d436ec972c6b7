package jobs

import (
	"context"
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

func from(registry, digest string) harbor.ScanRequest {
	r := of(digest, "")
	r.Registry.URL = registry
	return r
}

// A registry whose images never end holds its own share of the worker and no
// more, however it spells its name and however many images it has.
func TestAnotherRegistrysImageDoesNotWaitBehindOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Workers: 3, PerShare: 2, Queue: 50, Abandon: time.Hour, Results: 100, ResultBytes: 1 << 20, TTL: time.Hour}
		q := run(t, cfg, func(ctx context.Context, req harbor.ScanRequest) ([]byte, error) {
			if strings.Contains(strings.ToLower(req.Registry.URL), "evil") {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			time.Sleep(time.Second)
			return []byte("report"), nil
		})
		for i := range 40 {
			name := []string{"https://evil.example", "https://EVIL.example", "https://evil.example:443", "https://evil.example."}[i%4]
			add(t, q, from(name, fmt.Sprint(i)))
		}
		good := add(t, q, from("https://good.example", "good"))
		time.Sleep(time.Second + time.Millisecond)
		if r := q.Get(good); r.State != Done {
			t.Errorf("the good image is %+v after the time that it takes", r)
		}
	})
}

// Slots go round: who asks for much waits with what is beyond his share.
func TestSharesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		cfg := Config{Workers: 1, PerShare: 1, Queue: 50, Abandon: time.Hour, Results: 100, ResultBytes: 1 << 20, TTL: time.Hour}
		q := New(cfg, func(_ context.Context, req harbor.ScanRequest) ([]byte, error) {
			order = append(order, req.Artifact.Digest)
			time.Sleep(time.Second)
			return nil, nil
		}, slog.New(slog.DiscardHandler))
		for i := range 3 {
			for _, registry := range []string{"one", "two"} {
				if _, err := q.Add(from("https://"+registry+".example", fmt.Sprintf("much-%s-%d", registry, i)), "much"); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := q.Add(from("https://one.example", "little"), "little"); err != nil {
			t.Fatal(err)
		}
		if _, err := q.Add(from("https://three.example", "unnamed"), ""); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { q.Run(ctx); close(done) }()
		time.Sleep(20 * time.Second)
		cancel()
		<-done
		if len(order) != 8 {
			t.Fatalf("%v", order)
		}
		for _, one := range []string{"little", "unnamed"} {
			if at := strings.Index(strings.Join(order[:3], " "), one); at < 0 {
				t.Errorf("%s is not among the first three of %v", one, order)
			}
		}
		var much []string
		for _, o := range order {
			if strings.HasPrefix(o, "much") {
				much = append(much, strings.Split(o, "-")[1])
			}
		}
		for i := 1; i < len(much); i++ {
			if much[i] == much[i-1] {
				t.Errorf("the registries of one share do not take turns: %v", order)
			}
		}
	})
}

// Who has filled the queue makes room for who has little in it.
func TestFullQueueMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Workers: 1, PerShare: 1, Queue: 4, Abandon: time.Hour, Results: 100, ResultBytes: 1 << 20, TTL: time.Hour}
		q := run(t, cfg, func(ctx context.Context, _ harbor.ScanRequest) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		var ids []string
		for i := range 5 {
			ids = append(ids, add(t, q, from("https://evil.example", fmt.Sprint(i))))
			synctest.Wait()
		}
		good := add(t, q, from("https://good.example", "good"))
		if r := q.Get(good); r.State != Pending {
			t.Errorf("the good image: %+v", r)
		}
		if r := q.Get(ids[4]); r.State != Failed || r.Failure.Code != failure.Busy {
			t.Errorf("what makes room: %+v", r)
		}
		if q.Waiting() != 4 {
			t.Errorf("%d wait", q.Waiting())
		}
		if _, err := q.Add(from("https://evil.example", "more"), ""); failure.Of(err).Code != failure.Busy {
			t.Errorf("the one who filled it: %v", err)
		}
	})
}

// A scan that the last of its askers gives up ends, and a new one starts anew.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended, started atomic.Int64
		cfg := config()
		cfg.Workers, cfg.PerShare = 1, 1
		q := run(t, cfg, func(ctx context.Context, _ harbor.ScanRequest) ([]byte, error) {
			started.Add(1)
			<-ctx.Done()
			time.Sleep(time.Second) // killing takes a while
			ended.Add(1)
			return nil, ctx.Err()
		})
		id := add(t, q, of("1", ""))
		waits := add(t, q, of("2", ""))
		synctest.Wait()
		if same := add(t, q, of("1", "")); same != id {
			t.Fatal("equal requests do not share")
		}
		if !q.Cancel(id) || q.Get(id).State != Pending {
			t.Error("one of two askers has ended the scan")
		}
		if !q.Cancel(waits) || q.Get(waits).State != Failed || q.Waiting() != 0 {
			t.Errorf("a scan that waits: %+v", q.Get(waits))
		}
		if !q.Cancel(id) {
			t.Error("the other asker is not known")
		}
		if again := add(t, q, of("1", "")); again == id {
			t.Error("a new request shares a scan that is being ended")
		}
		time.Sleep(2 * time.Second)
		if r := q.Get(id); r.State != Failed || r.Failure.Code != failure.Stopped || ended.Load() != 1 || started.Load() != 2 {
			t.Errorf("%+v; %d started, %d ended", r, started.Load(), ended.Load())
		}
		if q.Cancel("guess") || q.Cancel(waits) {
			t.Error("what is not there was cancelled")
		}
	})
}

// An asker that is gone without a word does not ask for the report any more.
func TestAbandonedScansEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Workers, cfg.PerShare, cfg.Abandon, cfg.TTL, cfg.ResultBytes = 1, 1, time.Minute, time.Hour, 1<<20
		q := run(t, cfg, func(ctx context.Context, _ harbor.ScanRequest) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		gone, waits, kept := add(t, q, of("1", "")), add(t, q, of("2", "")), add(t, q, of("3", ""))
		for range 100 {
			time.Sleep(time.Second)
			q.Get(kept)
		}
		for _, id := range []string{gone, waits} {
			if r := q.Get(id); r.State != Failed || r.Failure.Code != failure.Stopped {
				t.Errorf("%+v", r)
			}
		}
		if r := q.Get(kept); r.State != Pending || q.Waiting() != 0 {
			t.Errorf("%+v, %d wait", r, q.Waiting())
		}
	})
}

// Names come and go with their jobs.
func TestSharesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := run(t, config(), func(context.Context, harbor.ScanRequest) ([]byte, error) { return nil, nil })
		for i := range 100 {
			if _, err := q.Add(from(fmt.Sprintf("https://r%d.example", i), "x"), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		if n := len(q.waiting.shares); n != 0 {
			t.Errorf("%d shares are remembered", n)
		}
	})
}
