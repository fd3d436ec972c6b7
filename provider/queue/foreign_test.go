package queue_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/queue"
)

// TestALeaseThatCannotBeReadDoesNotStay: one of a newer version that was taken back
// while it scanned, or one that is damaged, would else keep its image from ever
// being scanned.
func TestALeaseThatCannotBeReadDoesNotStay(t *testing.T) {
	for name, lease := range map[string]string{
		"of a newer version": `{"v":2,"who":"somebody","job":7}`,
		"damaged":            `{"v":1,"jo`,
	} {
		for key, of := range map[string]string{"for its group": "group", "for its job": "job"} {
			t.Run(name+" "+key, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b, c := bucket.NewMemory(), &counting{took: time.Second}
					if _, err := b.Create(t.Context(), "lease."+queue.Token(of), []byte(lease)); err != nil {
						t.Fatal(err)
					}
					r := start(t, b, "older", 1, c.do)
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					a := job("team", "job")
					a.Group = "group"
					if _, err := await(ctx, r.Queue, a); err != nil {
						t.Fatalf("what the lease is about is not done: %v", err)
					}
					time.Sleep(time.Minute)
					if n := r.Sizes()["leases"]; n != 0 {
						t.Errorf("%d leases are left", n)
					}
				})
			})
		}
	}
}

// TestALeaseOfANewerReplicaStands as long as there is one that may hold it.
func TestALeaseOfANewerReplicaStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := bucket.NewMemory(), &counting{}
		newer, leave := context.WithCancel(t.Context())
		defer leave()
		go func() {
			for i := 0; newer.Err() == nil; i++ {
				if _, err := b.Put(t.Context(), "member.newer", fmt.Appendf(nil, `{"v":2,"n":%d}`, i), nil); err != nil {
					t.Error(err)
				}
				time.Sleep(5 * time.Second)
			}
		}()
		held, err := b.Create(t.Context(), "lease."+queue.Token("held"), []byte(`{"v":2}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Create(t.Context(), "lease."+queue.Token("left"), []byte(`{"v":2}`)); err != nil {
			t.Fatal(err)
		}
		r := start(t, b, "older", 1, c.do)
		asked := map[string]*queue.Ticket{}
		for _, name := range []string{"held", "left"} {
			if asked[name], err = r.Ask(job("team", name)); err != nil {
				t.Fatal(err)
			}
			defer asked[name].Leave()
		}
		time.Sleep(2 * time.Minute)
		if n := c.total(t); n != 0 {
			t.Errorf("%d jobs were done that a newer replica does", n)
		}
		if err := b.Delete(t.Context(), "lease."+queue.Token("held"), held); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		time.Sleep(time.Second)
		if _, err := asked["held"].Outcome(); err != nil || c.total(t) != 1 {
			t.Errorf("what the newer replica gave back was not taken up: %v", err)
		}
		leave()
		time.Sleep(time.Minute)
		if n := c.total(t); n != 2 {
			t.Errorf("%d jobs are done a minute after the newer replica died, want 2", n)
		}
	})
}

// TestAReplicaThatIsGoneIsForgotten: Pods have new names each time, and one that is
// killed does not say that it goes.
func TestAReplicaThatIsGoneIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucket.NewMemory()
		gone := start(t, b, "gone", 0, nil)
		stays := start(t, b, "stays", 0, nil)
		gone.sever()
		time.Sleep(time.Minute)
		if e, err := b.Get(t.Context(), "member.gone"); err != nil || e == nil {
			t.Errorf("a replica that was silent for a minute is forgotten: %v", err)
		}
		time.Sleep(time.Hour)
		if e, err := b.Get(t.Context(), "member.gone"); err != nil || e != nil {
			t.Errorf("a replica that has been gone for an hour is still there: %v", err)
		}
		if n := stays.Sizes()["members"]; n != 1 {
			t.Errorf("%d replicas are remembered, want 1", n)
		}
		gone.mend()
		time.Sleep(10 * time.Second)
		if n := stays.Sizes()["members"]; n != 2 {
			t.Errorf("%d replicas are known after one came back, want 2", n)
		}
	})
}
