package pullthrough

import (
	"context"
	"io"
	"runtime"

	"golang.org/x/sync/semaphore"

	"github.com/imagegate/imagegate/provider/turns"
)

// work is what all jobs share.
type work struct {
	// slots bound the comparing and unpacking that goes on at once, shared by
	// namespace: no job holds one while it waits for its registry, nor for longer
	// than a chunk takes, for what a few bytes unpack to is for their author to say.
	slots *turns.Turns
	// kept is what is left of keepAll.
	kept *semaphore.Weighted
}

// maxWaiting is above what all scans under way can have waiting.
const maxWaiting = 1 << 16

func newWork() *work {
	return &work{
		slots: turns.New(turns.Limits{Turns: max(1, runtime.GOMAXPROCS(0)/2), Waiting: maxWaiting}),
		kept:  semaphore.NewWeighted(keepAll),
	}
}

// do runs f in a slot on behalf of share.
func (w *work) do(ctx context.Context, share string, f func()) error {
	s := slot{work: w, ctx: ctx, share: share}
	if err := s.take(); err != nil {
		return err
	}
	defer s.give()
	f()
	return nil
}

// slot is one of the slots, or none, as somebody has it who takes it and gives it
// back in between. It is for one goroutine.
type slot struct {
	work  *work
	ctx   context.Context // the time of the layer's reading
	share string
	done  func()
}

func (s *slot) take() (err error) {
	s.done, err = s.work.slots.Take(s.ctx, turns.Share{Namespace: s.share})
	return err
}

func (s *slot) give() {
	if s.done != nil {
		s.done()
		s.done = nil
	}
}

// outside reads without the slot that its reader has.
type outside struct {
	inner io.Reader
	slot  *slot
}

// Read implements io.Reader.
func (o *outside) Read(b []byte) (int, error) {
	o.slot.give()
	n, err := o.inner.Read(b)
	if taken := o.slot.take(); taken != nil {
		return 0, taken
	}
	return n, err
}

// breathing lets others have the slot after each chunk that is written.
type breathing struct {
	inner io.Writer
	slot  *slot
	left  int
}

// Write implements io.Writer.
func (w *breathing) Write(b []byte) (int, error) {
	n, err := w.inner.Write(b)
	if w.left -= n; w.left <= 0 && err == nil {
		w.left = breathAfter
		w.slot.give()
		err = w.slot.take()
	}
	return n, err
}

// breathAfter is how much is unpacked in one go, in bytes.
const breathAfter = 1 << 20
