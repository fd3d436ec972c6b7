package turns_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imagegate/imagegate/provider/turns"
)

func share(namespace, registry string) turns.Share {
	return turns.Share{Namespace: namespace, Registry: registry}
}

// greedy takes turns for the share until it gets no more.
func greedy(tt *turns.Turns, shares ...turns.Share) (done []func()) {
	for {
		had := len(done)
		for _, s := range shares {
			if d, ok := tt.TryTake(s); ok {
				done = append(done, d)
			}
		}
		if len(done) == had {
			return done
		}
	}
}

// names are a hundred registries that one author made up.
func names(namespace string) []turns.Share {
	out := make([]turns.Share, 100)
	for i := range out {
		out[i] = share(namespace, fmt.Sprintf("evil-%d.example", i))
	}
	return out
}

func TestHowManyOneMayHold(t *testing.T) {
	for _, tc := range []struct {
		all, each                  int
		namespace, registry, whole int
	}{
		// of one namespace with a hundred registries, of one namespace with one
		// registry, of one registry with many namespaces
		{all: 1, each: 1, namespace: 1, registry: 1, whole: 1},
		{all: 2, each: 2, namespace: 1, registry: 1, whole: 2},
		{all: 3, each: 3, namespace: 2, registry: 1, whole: 3},
		{all: 4, each: 3, namespace: 3, registry: 2, whole: 3},
		{all: 8, each: 6, namespace: 6, registry: 5, whole: 6},
		{all: 512, each: 64, namespace: 383, registry: 48, whole: 64},
		{all: 512, each: 0, namespace: 383, registry: 288, whole: 512},
	} {
		fresh := func() *turns.Turns { return turns.New(turns.Limits{Turns: tc.all, PerRegistry: tc.each}) }
		var everywhere []turns.Share
		for i := range 600 {
			everywhere = append(everywhere, share(fmt.Sprint("team-", i), "one.example"))
		}
		got := [3]int{
			len(greedy(fresh(), names("evil")...)),
			len(greedy(fresh(), share("evil", "one.example"))),
			len(greedy(fresh(), everywhere...)),
		}
		if want := [3]int{tc.namespace, tc.registry, tc.whole}; got != want {
			t.Errorf("%d turns, %d a registry: %v, want %v", tc.all, tc.each, got, want)
		}
	}
}

// TestThereIsAlwaysATurnForTheNextNamespace: as many as may have come before
// it, up to what a number of turns can give.
func TestThereIsAlwaysATurnForTheNextNamespace(t *testing.T) {
	for all, hostile := range map[int]int{4: 1, 8: 2, 64: 3, 512: 5} {
		tt := turns.New(turns.Limits{Turns: all, PerRegistry: all})
		for i := range hostile {
			greedy(tt, names(fmt.Sprint("evil-", i))...)
		}
		done, ok := tt.TryTake(share("good", "good.example"))
		if !ok {
			t.Errorf("%d turns: nothing is left beside %d greedy namespaces", all, hostile)
			continue
		}
		done()
	}
}

// TestANamespacesOwnRegistriesShareItsTurns: one that hangs leaves some to the
// others.
func TestANamespacesOwnRegistriesShareItsTurns(t *testing.T) {
	tt := turns.New(turns.Limits{Turns: 4, PerRegistry: 3})
	greedy(tt, share("team", "hangs.example"))
	if _, ok := tt.TryTake(share("team", "good.example")); !ok {
		t.Error("the namespace's own good registry gets no turn")
	}
	if _, ok := tt.TryTake(share("other", "hangs.example")); !ok {
		t.Error("another namespace's image of the same registry gets no turn")
	}
}

// TestTheNextTurnGoesToWhoHasFewest: a hundred wait of one namespace, and then
// one of another comes.
func TestTheNextTurnGoesToWhoHasFewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tt := turns.New(turns.Limits{Turns: 1, Waiting: 200})
		first, err := tt.Take(t.Context(), share("evil", "x"))
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		var mu sync.Mutex
		take := func(s turns.Share) {
			go func() {
				done, err := tt.Take(t.Context(), s)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, s.Namespace)
				mu.Unlock()
				done()
			}()
			synctest.Wait()
		}
		for _, s := range names("evil") {
			take(s)
		}
		take(share("good", "good.example"))
		first()
		synctest.Wait()
		if len(order) != 101 || order[0] != "good" {
			t.Errorf("the good one's turn among %d: first was %q", len(order), order[0])
		}
		if tt.Held() != 0 || tt.Waiting() != 0 {
			t.Errorf("%d held and %d waiting at the end", tt.Held(), tt.Waiting())
		}
	})
}

// TestAFullQueueSendsAwayWhoHasMost: places to wait are shared like turns.
func TestAFullQueueSendsAwayWhoHasMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tt := turns.New(turns.Limits{Turns: 1, Waiting: 10})
		hold, err := tt.Take(t.Context(), share("evil", "evil-0"))
		if err != nil {
			t.Fatal(err)
		}
		defer hold()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var sent sync.Map // share -> times sent away
		wait := func(s turns.Share) {
			go func() {
				if _, err := tt.Take(ctx, s); errors.Is(err, turns.ErrCrowded) && !errors.Is(err, context.Canceled) {
					n, _ := sent.LoadOrStore(s, new(atomic.Int32))
					n.(*atomic.Int32).Add(1)
				}
			}()
			synctest.Wait()
		}
		away := func(s turns.Share) int32 {
			if n, ok := sent.Load(s); ok {
				return n.(*atomic.Int32).Load()
			}
			return 0
		}
		for range 8 {
			wait(share("evil", "evil-0"))
		}
		wait(share("evil", "evil-1"))
		wait(share("evil", "evil-1"))
		if n := tt.Waiting(); n != 10 {
			t.Fatalf("%d wait", n)
		}
		wait(share("evil", "evil-0")) // of whom most wait: refused itself
		if away(share("evil", "evil-0")) != 1 || tt.Waiting() != 10 {
			t.Error("one more of the greatest share was let in")
		}
		for range 4 {
			wait(share("good", "good"))
		}
		if away(share("good", "good")) != 0 || away(share("evil", "evil-0")) != 5 || away(share("evil", "evil-1")) != 0 {
			t.Errorf("sent away: good %d, evil-0 %d, evil-1 %d", away(share("good", "good")), away(share("evil", "evil-0")), away(share("evil", "evil-1")))
		}
		for range 20 { // up to an equal part and no further
			wait(share("good", "good"))
		}
		cancel()
		synctest.Wait()
		if tt.Waiting() != 0 {
			t.Errorf("%d still wait", tt.Waiting())
		}
		if n := away(share("good", "good")); n < 18 {
			t.Errorf("the second namespace took more than half of the places: %d of 24 sent away", n)
		}
	})
}

func TestExcessIsWhatOthersWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tt := turns.New(turns.Limits{Turns: 4, PerRegistry: 4, Waiting: 10})
		greedy(tt, names("evil")...) // 3
		if got := tt.Excess(); len(got) != 0 {
			t.Errorf("nobody waits, and yet %v", got)
		}
		done, err := tt.Take(t.Context(), share("b", "b"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _, _ = tt.Take(ctx, share("evil", "more")) }()
		synctest.Wait()
		if got := tt.Excess(); len(got) != 0 {
			t.Errorf("it waits for its own, and yet %v", got)
		}
		go func() { _, _ = tt.Take(ctx, share("c", "c")) }()
		synctest.Wait()
		if got := tt.Excess(); len(got) != 1 || got[share("evil", "")] != 2 {
			t.Errorf("three namespaces share four turns: %v", got)
		}
		done()
		synctest.Wait()
		if got := tt.Excess(); len(got) != 0 {
			t.Errorf("everybody was served, and yet %v", got)
		}
		// Of one registry's turns alone.
		tt = turns.New(turns.Limits{Turns: 8, PerRegistry: 3, Waiting: 10})
		greedy(tt, share("evil", "hub"))
		if _, ok := tt.TryTake(share("b", "hub")); !ok {
			t.Fatal("no turn for the second namespace")
		}
		go func() { _, _ = tt.Take(ctx, share("c", "hub")) }()
		synctest.Wait()
		if got := tt.Excess(); len(got) != 1 || got[share("evil", "hub")] != 1 {
			t.Errorf("three namespaces share three turns of a registry: %v", got)
		}
	})
}

// TestTurnsAreBoundedAndGivenBack under any order of coming, going and giving
// up.
func TestTurnsAreBoundedAndGivenBack(t *testing.T) {
	limits := turns.Limits{Turns: 7, PerRegistry: 4, Waiting: 20}
	tt := turns.New(limits)
	var held, most atomic.Int32
	var perRegistry [3]atomic.Int32
	var wg sync.WaitGroup
	for i := range 64 {
		r := rand.New(rand.NewPCG(1, uint64(i)))
		wg.Go(func() {
			for range 200 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(300))*time.Microsecond)
				registry := r.IntN(3)
				done, err := tt.Take(ctx, share(fmt.Sprint(r.IntN(5)), fmt.Sprint("r", registry)))
				if err == nil {
					n := held.Add(1)
					for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
					}
					if n := perRegistry[registry].Add(1); n > 4 {
						t.Errorf("%d of one registry", n)
					}
					time.Sleep(time.Duration(r.IntN(50)) * time.Microsecond)
					perRegistry[registry].Add(-1)
					held.Add(-1)
					done()
				} else if !errors.Is(err, turns.ErrCrowded) {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n > 7 || n < 4 {
		t.Errorf("%d turns at once", n)
	}
	if tt.Held() != 0 || tt.Waiting() != 0 {
		t.Errorf("%d held and %d waiting at the end", tt.Held(), tt.Waiting())
	}
	if got := len(greedy(tt, names("a")...)); got != 6 {
		t.Errorf("%d turns are there again, want 6", got)
	}
}

func BenchmarkTake(b *testing.B) {
	tt := turns.New(turns.Limits{Turns: 512, PerRegistry: 64, Waiting: 2048})
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			done, err := tt.Take(b.Context(), share("team", "registry.example.com"))
			if err != nil {
				b.Fatal(err)
			}
			done()
		}
	})
	b.Run("beside 300 that hang and 1000 that wait", func(b *testing.B) {
		ctx, cancel := context.WithCancel(b.Context())
		var wg sync.WaitGroup
		held := greedy(tt, names("evil")...)
		for range 10 {
			for _, s := range names("evil") {
				wg.Go(func() { _, _ = tt.Take(ctx, s) })
			}
		}
		for tt.Waiting() < 1000 {
			time.Sleep(time.Millisecond)
		}
		b.ReportAllocs()
		for b.Loop() {
			done, err := tt.Take(b.Context(), share("team", "registry.example.com"))
			if err != nil {
				b.Fatal(err)
			}
			done()
		}
		cancel()
		wg.Wait()
		for _, done := range held {
			done()
		}
	})
}
