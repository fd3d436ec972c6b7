package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/queue"
	"github.com/imagegate/imagegate/provider/turns"
)

// wire is one replica's way to the bucket, which can be cut.
type wire struct {
	bucket.Bucket
	mu  sync.Mutex
	cut chan struct{} // closed when it is whole; nil: it is
	// silent has signs of life fail, and nothing else.
	silent atomic.Bool
}

var errCut = errors.New("cut")

func (w *wire) state() chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut
}

func (w *wire) sever() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = make(chan struct{})
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.cut)
	w.cut = nil
}

// pass waits as a request over a dead connection does.
func (w *wire) pass(ctx context.Context) error {
	if cut := w.state(); cut != nil {
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
		return errCut
	}
	return nil
}

func (w *wire) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	if err := w.pass(ctx); err != nil {
		return 0, err
	}
	return w.Bucket.Create(ctx, key, value)
}

func (w *wire) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := w.pass(ctx); err != nil {
		return 0, err
	}
	return w.Bucket.Update(ctx, key, value, revision)
}

func (w *wire) Put(ctx context.Context, key string, value []byte, meta bucket.Meta) (uint64, error) {
	if err := w.pass(ctx); err != nil {
		return 0, err
	}
	if w.silent.Load() && strings.HasPrefix(key, "member.") {
		return 0, errCut
	}
	return w.Bucket.Put(ctx, key, value, meta)
}

func (w *wire) Delete(ctx context.Context, key string, revision uint64) error {
	if err := w.pass(ctx); err != nil {
		return err
	}
	return w.Bucket.Delete(ctx, key, revision)
}

func (w *wire) Get(ctx context.Context, key string) (*bucket.Entry, error) {
	if err := w.pass(ctx); err != nil {
		return nil, err
	}
	return w.Bucket.Get(ctx, key)
}

func (w *wire) Watch(ctx context.Context, o bucket.WatchOptions, see func(bucket.Event)) error {
	return w.Bucket.Watch(ctx, o, func(e bucket.Event) {
		for cut := w.state(); cut != nil; cut = w.state() {
			select {
			case <-cut:
			case <-ctx.Done():
				return
			}
		}
		see(e)
	})
}

// replica is one of several over one bucket.
type replica struct {
	*queue.Queue
	*wire
	ended bool
}

type do func(ctx context.Context, w *queue.Work) *queue.Outcome

func start(t *testing.T, b bucket.Bucket, name string, slots int, d do, change ...func(*queue.Options)) *replica {
	t.Helper()
	r := &replica{wire: &wire{Bucket: b}}
	o := queue.Options{
		Bucket: r.wire, Replica: name, Slots: slots, PerRegistry: slots, Waiting: 20000,
		YieldAfter: 30 * time.Second, AbandonAfter: 20 * time.Minute, Do: d,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	for _, c := range change {
		c(&o)
	}
	q, err := queue.New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.Queue = q
	if err := q.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.close(t) })
	synctest.Wait()
	return r
}

func (r *replica) close(t *testing.T) {
	t.Helper()
	if r.ended {
		return
	}
	r.ended = true
	if r.state() != nil {
		r.mend()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		t.Error(err)
	}
}

func job(namespace, name string) queue.Ask {
	return queue.Ask{Job: name, Group: name, Result: name, Share: turns.Share{Namespace: namespace, Registry: namespace + ".example"}, Work: json.RawMessage(`"` + name + `"`)}
}

// await asks and returns what came of it.
func await(ctx context.Context, q *queue.Queue, a queue.Ask) (queue.Outcome, error) {
	t, err := q.Ask(a)
	if err != nil {
		return queue.Outcome{}, err
	}
	defer t.Leave()
	select {
	case <-t.Done():
		return t.Outcome()
	case <-ctx.Done():
		return queue.Outcome{}, ctx.Err()
	}
}

// counting does jobs in the given time and counts how often each was done.
type counting struct {
	mu   sync.Mutex
	took time.Duration
	done map[string]int
}

func (c *counting) do(ctx context.Context, w *queue.Work) *queue.Outcome {
	wishes := w.Wishes()
	if len(wishes) == 0 {
		return nil
	}
	select {
	case <-time.After(c.took):
	case <-ctx.Done():
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = map[string]int{}
	}
	c.done[string(wishes[0].Work)]++
	return &queue.Outcome{Scope: queue.OfJob, Detail: json.RawMessage(wishes[0].Work)}
}

func (c *counting) total(t *testing.T) int {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for name, times := range c.done {
		n += times
		if times > 1 {
			t.Errorf("%s was done %d times", name, times)
		}
	}
	return n
}

func TestAJobIsDoneOnceHoweverManyAskOnHoweverManyReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := bucket.NewMemory(), &counting{took: time.Second}
		var replicas []*replica
		for i := range 3 {
			replicas = append(replicas, start(t, b, fmt.Sprint("r", i), 2, c.do))
		}
		var wg sync.WaitGroup
		for i := range 60 {
			for n := range 20 {
				wg.Go(func() {
					name := fmt.Sprint("image-", n)
					o, err := await(t.Context(), replicas[i%3].Queue, job(fmt.Sprint("team-", i%7), name))
					if err != nil || string(o.Detail) != `"`+name+`"` {
						t.Errorf("%s: %s, %v", name, o.Detail, err)
					}
				})
			}
		}
		wg.Wait()
		if n := c.total(t); n != 20 {
			t.Errorf("%d jobs were done, want 20", n)
		}
		time.Sleep(time.Minute)
		for _, r := range replicas {
			if d := r.Depth(); d != (queue.Depth{Slots: 6}) {
				t.Errorf("left over: %+v, %+v", d, r.List())
			}
		}
	})
}

// TestWhatADeadReplicaDidIsDoneByAnother, and counted as an attempt.
func TestWhatADeadReplicaDidIsDoneByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucket.NewMemory()
		var attempt atomic.Int32
		dead := start(t, b, "dead", 1, func(ctx context.Context, _ *queue.Work) *queue.Outcome {
			<-ctx.Done()
			return nil
		})
		api := start(t, b, "api", 0, nil)
		began := time.Now()
		answer := make(chan error, 1)
		go func() {
			_, err := await(t.Context(), api.Queue, job("team", "image"))
			answer <- err
		}()
		synctest.Wait()
		dead.sever() // it goes on, and nobody hears of it
		other := start(t, b, "other", 1, func(_ context.Context, w *queue.Work) *queue.Outcome {
			attempt.Store(int32(w.Attempt()))
			return &queue.Outcome{Scope: queue.OfJob}
		})
		if err := <-answer; err != nil || attempt.Load() != 2 {
			t.Errorf("%v in attempt %d", err, attempt.Load())
		}
		t.Logf("taken over %s after the last sign of life", time.Since(began))
		dead.mend()
		time.Sleep(time.Minute)
		for _, r := range []*replica{dead, api, other} {
			if d := r.Depth(); d != (queue.Depth{Slots: 2}) {
				t.Errorf("left over: %+v", d)
			}
		}
	})
}

// TestAReplicaThatComesBackTakesItsOwnJobsUpAtOnce: it knows itself by its name.
func TestAReplicaThatComesBackTakesItsOwnJobsUpAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucket.NewMemory()
		gone := start(t, b, "r", 1, func(ctx context.Context, _ *queue.Work) *queue.Outcome { <-ctx.Done(); return nil })
		if _, err := gone.Ask(job("team", "image")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		gone.sever() // kill -9
		began := time.Now()
		again := start(t, b, "r", 1, (&counting{}).do)
		if _, err := await(t.Context(), again.Queue, job("team", "image")); err != nil || time.Since(began) > 0 {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// TestACutOffReplicaDoesNothingTwice: for a minute none of three hears of the
// others, in turn.
func TestACutOffReplicaDoesNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucket.NewMemory()
		var mu sync.Mutex
		over := map[string]int{}
		var replicas []*replica
		c := &counting{took: 3 * time.Second}
		for i := range 3 {
			replicas = append(replicas, start(t, b, fmt.Sprint("r", i), 2, c.do, func(o *queue.Options) {
				if i == 0 {
					o.Saw = func(o queue.Outcome) {
						mu.Lock()
						defer mu.Unlock()
						over[string(o.Detail)]++
					}
				}
			}))
		}
		var wg sync.WaitGroup
		for n := range 60 {
			wg.Go(func() {
				for {
					_, err := await(t.Context(), replicas[n%3].Queue, job(fmt.Sprint("team-", n%7), fmt.Sprint("image-", n)))
					if err == nil {
						return
					}
					if !errors.Is(err, queue.ErrUnwritten) {
						t.Errorf("image-%d: %v", n, err)
						return
					}
					time.Sleep(time.Second)
				}
			})
		}
		for _, r := range replicas {
			time.Sleep(2 * time.Second)
			r.sever()
			time.Sleep(time.Minute)
			r.mend()
		}
		wg.Wait()
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		for name, n := range over {
			if n != 1 {
				t.Errorf("%s ended %d times", name, n)
			}
		}
		if len(over) != 60 {
			t.Errorf("%d of 60 ended", len(over))
		}
		for _, r := range replicas {
			if d := r.Depth(); d != (queue.Depth{Slots: 6}) {
				t.Errorf("left over: %+v", d)
			}
		}
	})
}

// Who was cut off can write before the others know that it is there: what it took then
// would be taken from it at once, and done twice.
func TestWhoCountsAsDeadTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucket.NewMemory()
		c := &counting{took: 2 * time.Second}
		first := start(t, b, "first", 1, c.do)
		var silents atomic.Int64
		second := start(t, b, "second", 1, func(ctx context.Context, w *queue.Work) *queue.Outcome {
			silents.Add(1)
			return c.do(ctx, w)
		})
		round := func(name string) {
			var wg sync.WaitGroup
			for n := range 6 {
				wg.Go(func() {
					if _, err := await(t.Context(), first.Queue, job(fmt.Sprint("team-", n), fmt.Sprint(name, n))); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
		second.silent.Store(true)
		time.Sleep(time.Minute)
		round("dead-")
		if n := silents.Load(); n != 0 {
			t.Errorf("who counts as dead began %d jobs", n)
		}
		second.silent.Store(false)
		time.Sleep(10 * time.Second)
		round("alive-")
		if silents.Load() == 0 {
			t.Error("who is alive again does nothing")
		}
		if n := c.total(t); n != 12 {
			t.Errorf("%d of 12 jobs were done", n)
		}
	})
}

// TestAHundredHangingRegistriesDelayNoOther on three replicas.
func TestAHundredHangingRegistriesDelayNoOther(t *testing.T) {
	times := map[bool]time.Duration{}
	for _, attacked := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := bucket.NewMemory()
			d := func(ctx context.Context, w *queue.Work) *queue.Outcome {
				if strings.HasPrefix(w.Share().Namespace, "evil") {
					<-ctx.Done()
					return nil
				}
				select {
				case <-time.After(2 * time.Second):
					return &queue.Outcome{Scope: queue.OfJob}
				case <-ctx.Done():
					return nil
				}
			}
			var replicas []*replica
			for i := range 3 {
				replicas = append(replicas, start(t, b, fmt.Sprint("r", i), 4, d))
			}
			if attacked {
				for i := range 1000 {
					a := job("evil", fmt.Sprint("evil-", i))
					a.Share.Registry = fmt.Sprint("evil-", i%100)
					ticket, err := replicas[i%3].Ask(a)
					if err != nil {
						t.Fatal(err)
					}
					ticket.Leave()
				}
				time.Sleep(time.Minute)
			}
			began := time.Now()
			var wg sync.WaitGroup
			for n := range 200 {
				wg.Go(func() {
					if _, err := await(t.Context(), replicas[n%3].Queue, job(fmt.Sprint("team-", n%20), fmt.Sprint("image-", n))); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			times[attacked] = time.Since(began)
		})
	}
	t.Logf("200 jobs of 20 namespaces on 12 slots: %s, and %s beside a namespace with 1000 that hang", times[false], times[true])
	if times[true] > 13*times[false]/10 {
		t.Errorf("%s became %s", times[false], times[true])
	}
}

// TestWhatIsHandedBackIsTakenUpAtOnce: a replica is told to stop.
func TestWhatIsHandedBackIsTakenUpAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := bucket.NewMemory(), &counting{took: time.Second}
		stopped := start(t, b, "stopped", 2, func(ctx context.Context, _ *queue.Work) *queue.Outcome { <-ctx.Done(); return nil })
		api := start(t, b, "api", 0, nil)
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				if _, err := await(t.Context(), api.Queue, job(fmt.Sprint(i), fmt.Sprint("image-", i))); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		start(t, b, "other", 3, c.do)
		time.Sleep(5 * time.Second)
		stopped.close(t)
		wg.Wait()
		if took := time.Since(began); took > 7*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// TestGraceLetsJobsEnd.
func TestGraceLetsJobsEnd(t *testing.T) {
	for grace, want := range map[time.Duration]int{0: 0, time.Minute: 2} {
		synctest.Test(t, func(t *testing.T) {
			c := &counting{took: 10 * time.Second}
			b := bucket.NewMemory()
			r := start(t, b, "r", 2, c.do, func(o *queue.Options) { o.Grace = grace })
			for i := range 4 {
				if _, err := r.Ask(job(fmt.Sprint(i), fmt.Sprint("image-", i))); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			r.close(t)
			if n := c.total(t); n != want {
				t.Errorf("with %s: %d ended, want %d", grace, n, want)
			}
			again := start(t, b, "again", 2, c.do)
			time.Sleep(time.Minute)
			if n := c.total(t); n != 4 || again.Depth().Waiting != 0 {
				t.Errorf("with %s: %d of 4 ended", grace, n)
			}
		})
	}
}

// TestARestartWithTenThousand: they are there, and done in the order and the
// shares in which they would have been.
func TestARestartWithTenThousand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucket.NewMemory()
		api := start(t, b, "api", 0, nil)
		for i := range 10000 {
			ticket, err := api.Ask(job(fmt.Sprint("team-", i%20), fmt.Sprint("image-", i)))
			if err != nil {
				t.Fatal(err)
			}
			ticket.Leave()
		}
		synctest.Wait()
		api.close(t)
		c := &counting{}
		began := time.Now()
		r := start(t, b, "r", 8, c.do)
		time.Sleep(time.Second)
		if n := c.total(t); n != 10000 || r.Depth().Waiting != 0 {
			t.Errorf("%d were done in %s", n, time.Since(began))
		}
	})
}

// TestOneGroupIsDoneOneAfterAnother until what is done first takes too long.
func TestOneGroupIsDoneOneAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucket.NewMemory()
		var underway, most atomic.Int32
		d := func(ctx context.Context, w *queue.Work) *queue.Outcome {
			n := underway.Add(1)
			defer underway.Add(-1)
			most.Store(max(most.Load(), n))
			took := time.Second
			if string(w.Wishes()[0].Work) == `"slow"` {
				took = time.Hour
			}
			select {
			case <-time.After(took):
				return &queue.Outcome{Scope: queue.OfJob}
			case <-ctx.Done():
				return nil
			}
		}
		r1, r2 := start(t, b, "r1", 8, d), start(t, b, "r2", 8, d)
		group := func(name string) queue.Ask {
			a := job("team", name)
			a.Group = "image"
			return a
		}
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				if _, err := await(t.Context(), []*replica{r1, r2}[i%2].Queue, group(fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if most.Load() != 1 {
			t.Errorf("%d were under way at once", most.Load())
		}
		if _, err := r1.Ask(group("slow")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		if _, err := await(t.Context(), r2.Queue, group("quick")); err != nil || time.Since(began) > 40*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// TestAnOutcomeOfAResultEndsAllThatWaitForIt, whatever their names.
func TestAnOutcomeOfAResultEndsAllThatWaitForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucket.NewMemory()
		var n atomic.Int32
		r := start(t, b, "r", 1, func(context.Context, *queue.Work) *queue.Outcome {
			n.Add(1)
			time.Sleep(time.Second)
			return &queue.Outcome{Scope: queue.OfResult}
		})
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() {
				a := job(fmt.Sprint(i), fmt.Sprint(i))
				a.Result = "digest"
				if _, err := await(t.Context(), r.Queue, a); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n.Load() != 1 {
			t.Errorf("%d jobs", n.Load())
		}
	})
}

// TestWhatIsPurgedStops, wherever it is done.
func TestWhatIsPurgedStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucket.NewMemory()
		var stopped atomic.Bool
		start(t, b, "worker", 1, func(ctx context.Context, _ *queue.Work) *queue.Outcome {
			<-ctx.Done()
			stopped.Store(errors.Is(context.Cause(ctx), queue.ErrAbandoned))
			return nil
		})
		api := start(t, b, "api", 0, nil)
		answer := make(chan error, 1)
		go func() {
			_, err := await(t.Context(), api.Queue, job("team", "image"))
			answer <- err
		}()
		synctest.Wait()
		list := api.List()
		if len(list) != 1 || list[0].Holder == "" || list[0].Namespace != "team" {
			t.Fatalf("%+v", list)
		}
		if n := api.Purge(func(i queue.Item) bool { return i.Job == list[0].Job }); n != 1 {
			t.Errorf("%d purged", n)
		}
		if err := <-answer; !errors.Is(err, queue.ErrPurged) {
			t.Error(err)
		}
		synctest.Wait()
		if !stopped.Load() || len(api.List()) != 0 {
			t.Errorf("it goes on: %+v", api.List())
		}
	})
}
