package registry

import (
	"sync"

	"github.com/imagegate/imagegate/provider/report"
)

// flights have equal questions share one look-up. An asker who must not be told
// of a time before the question joins none that may have asked the registry by
// then: all who come meanwhile share the next one, so that a burst of them costs
// two look-ups, however long it is.
type flights struct {
	mu  sync.Mutex
	all map[string]*flight
}

// flight is one look-up. res and err are set when done is closed.
type flight struct {
	done chan struct{}
	res  *Resolved
	err  error

	run func(begin func() (fresh bool)) (*Resolved, error)
	// begun says that the registry may have been asked, fresh that somebody
	// wants it to be. next is who goes afterwards. All are the flights' to lock.
	begun, fresh bool
	next         *flight
}

// join returns the flight that answers a question, and begins one where there is
// none. run calls begin when it is about to look, and is told whether what is
// remembered may answer.
func (f *flights) join(key string, fresh bool, run func(begin func() bool) (*Resolved, error)) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	current, ok := f.all[key]
	switch {
	case !ok:
		current = &flight{done: make(chan struct{}), run: run, fresh: fresh}
		f.all[key] = current
		go f.fly(key, current)
	case fresh && current.begun:
		if current.next == nil {
			current.next = &flight{done: make(chan struct{}), run: run, fresh: true}
		}
		return current.next
	case fresh:
		current.fresh = true
	}
	return current
}

func (f *flights) fly(key string, current *flight) {
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		close(current.done)
		if current.next == nil {
			delete(f.all, key)
			return
		}
		f.all[key] = current.next
		go f.fly(key, current.next)
	}()
	defer report.Recover(&current.err)
	current.res, current.err = current.run(func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		current.begun = true
		return current.fresh
	})
}
