package node_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// load is Pods that are asked for without a pause: ones that are to be admitted, and
// of each ten one that is to be denied.
type load struct {
	cancel context.CancelFunc
	began  time.Time
	done   sync.WaitGroup

	mu      sync.Mutex
	asked   int
	let     int            // vulnerable Pods that were admitted
	pending int            // good Pods whose image has to be scanned first
	lost    map[string]int // good Pods that were refused otherwise, by what was said
	when    map[string]time.Duration
}

// start has so many Pods a second asked for, if the cluster keeps up.
func startLoad(t *testing.T, perSecond int, namespace, good, bad string) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	l := &load{cancel: cancel, began: time.Now(), lost: map[string]int{}, when: map[string]time.Duration{}}
	// Enough of them to wait out a slow answer or two; not so many that the API
	// server's own limits answer.
	turns := make(chan struct{}, 50)
	l.done.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(perSecond))
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			select {
			case turns <- struct{}{}:
			case <-ctx.Done():
				return
			}
			l.done.Go(func() {
				defer func() { <-turns }()
				vulnerable := i%10 == 9
				image := good
				if vulnerable {
					image = bad
				}
				at := time.Since(l.began)
				l.count(at, vulnerable, ask(context.WithoutCancel(ctx), namespace, image))
			})
		}
	})
	t.Cleanup(l.stop)
	return l
}

func (l *load) count(at time.Duration, vulnerable bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	switch {
	case vulnerable && err == nil:
		l.let++
	// A store that begins empty knows no image, and who asks is to ask again.
	case !vulnerable && err != nil && strings.Contains(err.Error(), "scan report is pending"):
		l.pending++
	case !vulnerable && err != nil:
		message := strings.NewReplacer("\n", " ").Replace(err.Error())
		l.lost[message]++
		if _, ok := l.when[message]; !ok {
			l.when[message] = at
		}
	}
}

func (l *load) stop() {
	l.cancel()
	l.done.Wait()
}

// excused stops it, and returns how many of the lost are not this test's to count:
// those that of says so of.
func (l *load) excused(of func(message string) bool) (n int) {
	l.stop()
	for message, times := range l.lost {
		if of(message) {
			n += times
			delete(l.lost, message)
		}
	}
	return n
}

// end stops it, prints what it came to, and fails the test for every Pod that was not
// judged rightly.
func (l *load) end(t *testing.T, during string) {
	t.Helper()
	l.stop()
	took := time.Since(l.began)
	lost := 0
	for message, n := range l.lost {
		lost += n
		t.Errorf("%s: %d good Pods were refused, the first after %.1f s: %s", during, n, l.when[message].Seconds(), message)
	}
	if l.let > 0 {
		t.Errorf("%s: %d vulnerable Pods were admitted", during, l.let)
	}
	fmt.Printf("FIGURE %s: %d Pods judged in %.0f s (%.0f a second), %d lost, %d admitted wrongly, %d told to wait for a scan\n", //nolint:forbidigo // a figure
		during, l.asked, took.Seconds(), float64(l.asked)/took.Seconds(), lost, l.let, l.pending)
}
