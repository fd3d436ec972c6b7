package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/queue"
)

// TestWhateverHappensEachJobEnds: replicas are cut off, killed, stopped and
// started in random order while jobs of many namespaces are asked for. In the
// end each has ended, as often as it was asked for anew, and nothing is left.
func TestWhateverHappensEachJobEnds(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			dice := &dice{r: rand.New(rand.NewPCG(seed, 0))}
			b := bucket.NewMemory()
			var mu sync.Mutex
			began, ended := map[string]int{}, map[string]int{}
			work := func(ctx context.Context, w *queue.Work) *queue.Outcome {
				wishes := w.Wishes()
				if len(wishes) == 0 {
					return nil
				}
				name := string(wishes[0].Work)
				mu.Lock()
				began[name]++
				took := time.Duration(dice.upTo(5000)) * time.Millisecond
				mu.Unlock()
				select {
				case <-time.After(took):
					return &queue.Outcome{Scope: queue.OfJob, Detail: json.RawMessage(name)}
				case <-ctx.Done():
					return nil
				}
			}
			observer := start(t, b, "observer", 0, nil, func(o *queue.Options) {
				o.Saw = func(o queue.Outcome) {
					mu.Lock()
					defer mu.Unlock()
					ended[string(o.Detail)]++
				}
			})
			const n = 4
			replicas := make([]*replica, n)
			for i := range replicas {
				replicas[i] = start(t, b, fmt.Sprint("r", i), 1+i, work)
			}
			pick := func() *replica {
				mu.Lock()
				defer mu.Unlock()
				return replicas[dice.upTo(n)]
			}
			var wg sync.WaitGroup
			const jobs = 150
			for i := range jobs {
				namespace, name, after := fmt.Sprint("team-", dice.upTo(9)), fmt.Sprint("image-", i), time.Duration(dice.upTo(120))*time.Second
				wg.Go(func() {
					time.Sleep(after)
					for {
						ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
						o, err := await(ctx, pick().Queue, job(namespace, name))
						cancel()
						if err == nil {
							if string(o.Detail) != `"`+name+`"` {
								t.Errorf("%s ended as %s", name, o.Detail)
							}
							return
						}
						if !errors.Is(err, queue.ErrUnwritten) && !errors.Is(err, queue.ErrClosing) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, queue.ErrUnknown) {
							t.Errorf("%s: %v", name, err)
						}
						time.Sleep(time.Second)
					}
				})
			}
			crashes := 0
			for range 30 {
				time.Sleep(time.Duration(dice.upTo(8000)) * time.Millisecond)
				i := dice.upTo(n)
				old := replicas[i]
				switch dice.upTo(3) {
				case 0: // cut off for a while
					old.sever()
					time.Sleep(time.Duration(dice.upTo(60)) * time.Second)
					old.mend()
					crashes++
				case 1: // stopped and started
					old.close(t)
					next := start(t, b, fmt.Sprint("r", i), 1+i, work)
					mu.Lock()
					replicas[i] = next
					mu.Unlock()
				default: // killed and started
					old.sever()
					next := start(t, b, fmt.Sprint("r", i), 1+i, work)
					mu.Lock()
					replicas[i] = next
					mu.Unlock()
					crashes++
				}
			}
			wg.Wait()
			time.Sleep(2 * time.Minute)
			mu.Lock()
			defer mu.Unlock()
			repeats, again := 0, 0
			for name, times := range began {
				repeats += times - 1
				again += ended[name] - 1
			}
			if len(ended) != jobs {
				t.Errorf("seed %d: %d of %d ended", seed, len(ended), jobs)
			}
			if d := observer.Depth(); d.Waiting+d.Running != 0 {
				t.Errorf("seed %d: left over %+v: %+v", seed, d, observer.List())
			}
			if left := keys(t, b); len(left) > n+1 {
				t.Errorf("seed %d: left in the bucket: %v", seed, left)
			}
			t.Logf("seed %d: %d jobs, %d crashes and partitions, %d begun again, %d ended again", seed, jobs, crashes, repeats, again)
		})
	}
}

// dice are thrown by several goroutines.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (d *dice) upTo(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

// keys are what is in a bucket.
func keys(t *testing.T, b bucket.Bucket) (list []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := b.Watch(ctx, bucket.WatchOptions{}, func(e bucket.Event) {
		switch e.Kind {
		case bucket.Wrote:
			list = append(list, e.Entry.Key)
		case bucket.Synced:
			cancel()
		default:
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	return list
}
