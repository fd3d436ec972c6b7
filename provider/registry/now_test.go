package registry

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestATagPushedJustBeforeIsPinnedToWhatWasPushed(t *testing.T) {
	reg := newRegistry(t, false)
	first := reg.push("app:1")
	r := resolver(t, Options{Insecure: []string{reg.host()}})
	image := reg.host() + "/app:1"
	if res, err := r.ResolveNow(t.Context(), image, "", Access{}); err != nil || res.Digest != first {
		t.Fatalf("%+v, %v", res, err)
	}
	second := reg.push("app:1")
	if res, err := r.Resolve(t.Context(), image, "", Access{}); err != nil || res.Digest != first {
		t.Errorf("a report within tagTTL: %+v, %v", res, err)
	}
	if res, err := r.ResolveNow(t.Context(), image, "", Access{}); err != nil || res.Digest != second {
		t.Errorf("pinned to %+v, %v, want %s", res, err, second)
	}
	// What was found then is what reports go by from now on.
	if res, err := r.Resolve(t.Context(), image, "", Access{}); err != nil || res.Digest != second {
		t.Errorf("a report after it: %+v, %v", res, err)
	}
	_, err := r.ResolveNow(t.Context(), reg.host()+"/app:2", "", Access{})
	if err == nil {
		t.Fatal("a tag that is not there was found")
	}
	third := reg.push("app:2")
	if res, err := r.ResolveNow(t.Context(), reg.host()+"/app:2", "", Access{}); err != nil || res.Digest != third {
		t.Errorf("a tag that was missing a moment ago: %+v, %v", res, err)
	}
}

// TestALookUpThatBeganBeforeTheQuestionIsNotShared: the registry has answered it
// by the tag's old meaning already.
func TestALookUpThatBeganBeforeTheQuestionIsNotShared(t *testing.T) {
	reg := newRegistry(t, false)
	first := reg.push("app:1")
	var (
		mu      sync.Mutex
		heads   int
		asked   = make(chan struct{}, 1)
		release = make(chan struct{})
	)
	inner := reg.Config.Handler
	reg.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		inner.ServeHTTP(w, req) // the answer is made before it is held back
		if req.Method != http.MethodHead {
			return
		}
		mu.Lock()
		heads++
		held := heads == 1
		mu.Unlock()
		if held {
			asked <- struct{}{}
			<-release
		}
	})
	r := resolver(t, Options{Insecure: []string{reg.host()}})
	image := reg.host() + "/app:1"
	early := make(chan *Resolved, 1)
	go func() {
		res, err := r.ResolveNow(t.Context(), image, "", Access{})
		if err != nil {
			t.Error(err)
		}
		early <- res
	}()
	<-asked
	second := reg.push("app:1")
	const pods = 500
	mu.Lock()
	heads = 1 // pushing asks too
	mu.Unlock()
	var joined, done sync.WaitGroup
	for range pods {
		joined.Add(1)
		done.Go(func() {
			joined.Done()
			res, err := r.ResolveNow(t.Context(), image, "", Access{})
			if err != nil || res.Digest != second {
				t.Errorf("pinned to %+v, %v, want %s", res, err, second)
			}
		})
	}
	joined.Wait()
	close(release)
	if res := <-early; res != nil && res.Digest != first {
		t.Errorf("the early one got %s", res.Digest)
	}
	done.Wait()
	mu.Lock()
	defer mu.Unlock()
	if heads < 2 {
		t.Errorf("%d look-ups: all shared the one that was too early", heads)
	}
	t.Logf("%d Pods at once cost %d look-ups", pods, heads)
}

func TestFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := flights{all: map[string]*flight{}}
		var looked []bool
		gate := make(chan struct{})
		run := func(begin func() bool) (*Resolved, error) {
			time.Sleep(time.Second) // waits for its turn
			looked = append(looked, begin())
			<-gate
			return &Resolved{}, nil
		}
		first := f.join("a", false, run)
		if f.join("a", true, run) != first {
			t.Error("who comes before the look-up begins does not share it")
		}
		time.Sleep(2 * time.Second)
		next := f.join("a", true, run)
		if next == first {
			t.Error("who comes after it began shares it")
		}
		if f.join("a", true, run) != next {
			t.Error("all who come meanwhile do not share the next one")
		}
		if f.join("a", false, run) != first {
			t.Error("who may be told of a time before does not share the first")
		}
		gate <- struct{}{}
		<-first.done
		gate <- struct{}{}
		<-next.done
		synctest.Wait()
		if len(looked) != 2 || !looked[0] || !looked[1] || len(f.all) != 0 {
			t.Errorf("looked %v, %d flights left", looked, len(f.all))
		}
		crash := f.join("b", true, func(func() bool) (*Resolved, error) { panic("x") })
		<-crash.done
		if crash.err == nil {
			t.Error("a crash has no error")
		}
	})
}
