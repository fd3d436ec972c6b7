package queue_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/queue"
)

// TestAGroupThatKillsReplicasIsCounted, although two jobs of it take turns.
func TestAGroupThatKillsReplicasIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucket.NewMemory()
		api := start(t, b, "api", 0, nil)
		var over atomic.Int32
		for _, ns := range []string{"one", "two"} {
			a := job(ns, "image")
			a.Job = "image by " + ns
			if _, err := api.Ask(a); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 12 {
			var r *replica
			dead := make(chan struct{})
			r = start(t, b, fmt.Sprint("r", i), 1, func(ctx context.Context, w *queue.Work) *queue.Outcome {
				if w.Attempt() > 3 {
					over.Add(1)
					return &queue.Outcome{Scope: queue.OfGroup, Detail: json.RawMessage(`"poison"`)}
				}
				select {
				case <-dead:
				default:
					close(dead)
				}
				<-ctx.Done()
				return nil
			})
			select {
			case <-dead:
				r.sever()
				time.Sleep(30 * time.Second)
			case <-time.After(time.Minute):
			}
			if over.Load() > 0 {
				if i > 4 {
					t.Errorf("given up after %d replicas died", i)
				}
				return
			}
		}
		t.Error("12 replicas died, and more would")
	})
}

func TestNothingIsLeftOfManyJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := bucket.NewMemory(), &counting{took: time.Second}
		var rs []*replica
		for i := range 3 {
			rs = append(rs, start(t, b, fmt.Sprint("r", i), 50, c.do))
		}
		for round := range 100 {
			var ts []*queue.Ticket
			for n := range 100 {
				tk, err := rs[n%3].Ask(job(fmt.Sprint("team-", n%7), fmt.Sprint("image-", round, "-", n)))
				if err != nil {
					t.Fatal(err)
				}
				ts = append(ts, tk)
			}
			for _, tk := range ts {
				<-tk.Done()
				tk.Leave()
			}
		}
		time.Sleep(time.Minute)
		for _, r := range rs {
			for what, n := range r.Sizes() {
				if n > 0 && what != "members" {
					t.Errorf("%d %s are left", n, what)
				}
			}
		}
	})
}

// TestAsksThatWaitForAnotherOfTheirGroupAreBounded too.
func TestAsksThatWaitForAnotherOfTheirGroupAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucket.NewMemory()
		r := start(t, b, "r", 2, func(ctx context.Context, _ *queue.Work) *queue.Outcome { <-ctx.Done(); return nil }, func(o *queue.Options) { o.Waiting = 10 })
		n := 0
		for i := range 20000 {
			a := job("evil", "image")
			a.Job = fmt.Sprint("image by ", i)
			if _, err := r.Ask(a); err == nil {
				n++
			}
			if i == 0 {
				synctest.Wait()
			}
		}
		if n > 10+4096 {
			t.Errorf("%d asks are taken where 10 may wait", n)
		}
		for i := range 100 { // another has its place all the same
			a := job(fmt.Sprint("good-", i), "image")
			a.Job = fmt.Sprint("image by good ", i)
			if _, err := r.Ask(a); err != nil {
				t.Fatal(err)
			}
		}
	})
}
