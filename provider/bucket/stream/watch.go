package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/imagegate/imagegate/provider/bucket"
)

const (
	// heartbeat is what a silent consumer has to say; after twice as long it is
	// made anew.
	heartbeat = 2 * time.Second
	// ahead bounds what is sent before it is asked for.
	aheadMessages, aheadBytes = 256, 16 << 20
	// idle is how long nothing comes before it is first asked whether all has been
	// told.
	idle = 500 * time.Millisecond
	// alive is how long a consumer that is there may be silent for: nats.go notices
	// within twice the heartbeat, counted from the call of Next, that it is gone.
	alive = 3 * heartbeat
	// inactive is when the server drops a consumer that nobody reads from.
	inactive = time.Minute
)

// Watch tells of every change until ctx ends.
func (b *Bucket) Watch(ctx context.Context, o bucket.WatchOptions, see func(bucket.Event)) error {
	w := &watch{b: b, o: o, see: see}
	// A consumer may be gone when the connection comes back: rather than waiting
	// for its heartbeat, the watch goes on with another.
	connected := b.conn.StatusChanged(nats.CONNECTED)
	defer b.conn.RemoveStatusListener(connected)
	var wait retry
	for {
		told := w.told
		err := w.run(ctx, connected)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, nats.ErrConnectionClosed) {
			return err
		}
		if w.told != told {
			wait = retry{}
		}
		b.log.Debug("a watch of a bucket goes on with another consumer", "error", err)
		b.forget(err)
		if err := wait.pause(ctx); err != nil {
			return err
		}
	}
}

// watch is what has been told.
type watch struct {
	b   *Bucket
	o   bucket.WatchOptions
	see func(bucket.Event)

	begun   bool
	created time.Time // of the stream
	last    uint64    // sequence told last
	told    uint64    // how many
	// current is when nothing was left to tell: it was waited for the next message.
	// A deletion may be missed that was both made and forgotten since.
	current time.Time

	// goal is what the leader had last when it was asked, and asked when: a
	// consumer reads from one replica, which may be behind for long.
	goal  uint64
	asked time.Time

	synced bool
	// target is the sequence that all was told with that was there at the begin.
	target uint64
}

// run tells until it is interrupted.
func (w *watch) run(ctx context.Context, connected <-chan nats.Status) error {
	for stale := true; stale; { // what happened before is of no interest
		select {
		case _, stale = <-connected:
			if !stale {
				return nats.ErrConnectionClosed
			}
		default:
			stale = false
		}
	}
	var interrupt sync.WaitGroup
	defer interrupt.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := w.resume(ctx)
	if err != nil {
		return err
	}
	w.goal, w.asked = 0, time.Now()
	config := jetstream.ConsumerConfig{
		Description:       "imagegate watch",
		FilterSubject:     w.b.keys(),
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       w.last + 1,
		AckPolicy:         jetstream.AckNonePolicy,
		HeadersOnly:       w.o.WithoutValues,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: inactive,
	}
	c, err := call(ctx, func(ctx context.Context) (jetstream.Consumer, error) { return s.stream.CreateConsumer(ctx, config) })
	if err != nil {
		return fmt.Errorf("making a consumer: %w", err)
	}
	defer w.drop(ctx, s, c.CachedInfo().Name)
	messages, err := c.Messages(jetstream.PullMaxMessagesWithBytesLimit(aheadMessages, aheadBytes), jetstream.PullHeartbeat(heartbeat))
	if err != nil {
		return fmt.Errorf("reading from a consumer: %w", err)
	}
	defer messages.Stop()
	interrupt.Go(func() {
		select {
		case <-connected:
			cancel()
		case <-ctx.Done():
		}
	})
	return w.follow(ctx, messages)
}

// resume begins the watch, or anew where it cannot go on without a gap.
func (w *watch) resume(ctx context.Context) (*made, error) {
	s, err := w.b.ensure(ctx)
	if err != nil {
		return nil, err
	}
	info, err := call(ctx, func(ctx context.Context) (*jetstream.StreamInfo, error) { return s.stream.Info(ctx) })
	if err != nil {
		return nil, fmt.Errorf("asking for the stream: %w", err)
	}
	switch {
	case !w.begun:
	case !info.Created.Equal(w.created), info.State.LastSeq < w.last:
		w.b.log.Warn("the stream of a bucket is another one, or has lost what it had last; what is there is told again")
	case w.outdated():
		w.b.log.Info("a watch of a bucket was behind for long; what is there is told again")
	default:
		return s, nil
	}
	*w = watch{b: w.b, o: w.o, see: w.see, begun: true, created: info.Created, told: w.told, current: time.Now()}
	w.tell(bucket.Event{Kind: bucket.Reset})
	return s, w.aim(ctx)
}

// outdated reports whether a deletion may have been forgotten before it was told.
// A clock that was set counts too: the server's went on.
func (w *watch) outdated() bool {
	limit := w.b.o.MarkerTTL
	if w.b.o.MaxAge > 0 {
		limit = min(limit, w.b.o.MaxAge)
	}
	now := time.Now()
	return max(now.Sub(w.current), now.Round(0).Sub(w.current.Round(0))) > limit/2
}

// aim finds out with what all is told that is there now.
func (w *watch) aim(ctx context.Context) error {
	m, err := w.b.last(ctx, w.b.keys())
	if err != nil {
		return err
	}
	if w.target = sequence(m); w.target <= w.last {
		w.sync()
	}
	return nil
}

func (w *watch) sync() {
	if !w.synced {
		w.synced = true
		w.tell(bucket.Event{Kind: bucket.Synced})
	}
}

func (w *watch) tell(e bucket.Event) {
	w.told++
	w.see(e)
}

// follow tells what comes.
func (w *watch) follow(ctx context.Context, messages jetstream.MessagesContext) error {
	for n := uint64(1); ; n++ {
		if w.outdated() {
			return errors.New("too far behind")
		}
		asked := time.Now()
		m, err := w.next(ctx, messages)
		if err != nil {
			return err
		}
		waited := time.Since(asked) > time.Millisecond
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("a message of the consumer: %w", err)
		}
		if meta.Sequence.Consumer != n {
			return fmt.Errorf("message %d came from the consumer in place of %d", meta.Sequence.Consumer, n)
		}
		if waited && meta.NumPending == 0 {
			w.current = time.Now()
		}
		if meta.Sequence.Stream > w.target {
			w.sync()
		}
		if err := w.message(ctx, m, meta); err != nil {
			return err
		}
		w.last = meta.Sequence.Stream
		if w.last >= w.target {
			w.sync()
		}
		if meta.NumPending == 0 {
			if err := w.keepUp(ctx); err != nil {
				return err
			}
		}
	}
}

// next returns the next message. While there is none, it is asked again whether
// there is anything left to tell: what was last at the begin may be gone.
func (w *watch) next(ctx context.Context, messages jetstream.MessagesContext) (jetstream.Msg, error) {
	limit := alive
	if !w.synced {
		limit = idle
	}
	for ; ; limit = min(2*limit, alive) {
		wait, cancel := context.WithTimeout(ctx, limit)
		m, err := messages.Next(jetstream.NextContext(wait))
		cancel()
		switch {
		case err == nil:
			return m, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !errors.Is(err, context.DeadlineExceeded):
			return nil, err
		case limit == alive:
			w.current = time.Now()
		}
		if err := w.keepUp(ctx); err != nil {
			return nil, err
		}
		if !w.synced {
			if err := w.aim(ctx); err != nil {
				return nil, err
			}
		}
	}
}

// keepUp returns an error when what the leader had some time ago has not come,
// though nothing is said to be on its way. It asks the leader every now and then.
func (w *watch) keepUp(ctx context.Context) error {
	if time.Since(w.asked) < alive {
		return nil
	}
	if w.goal > w.last {
		return errors.New("the replica that it reads from is behind")
	}
	w.goal, w.asked = 0, time.Now()
	if m, err := w.b.askOnce(ctx, attemptTimeout, w.b.leader(w.b.keys())); err == nil {
		w.goal = sequence(m)
	}
	return nil
}

// message tells of one message.
func (w *watch) message(ctx context.Context, m jetstream.Msg, meta *jetstream.MsgMetadata) error {
	raw := &jetstream.RawStreamMsg{Subject: m.Subject(), Sequence: meta.Sequence.Stream, Header: m.Headers(), Data: m.Data(), Time: meta.Timestamp}
	gone := bucket.Event{Kind: bucket.Deleted, Entry: bucket.Entry{Key: w.b.key(raw.Subject), Revision: raw.Sequence, Written: raw.Time}}
	if isMarker(raw.Header) {
		w.tell(gone)
		return nil
	}
	e, err := w.b.entry(ctx, raw, !w.o.WithoutValues)
	if errors.Is(err, errPieces) {
		// It was replaced meanwhile, which is told in its turn, or is lost.
		last, failed := w.b.last(ctx, raw.Subject)
		if failed != nil {
			return failed
		}
		if sequence(last) == raw.Sequence {
			w.b.log.Warn("a value cannot be read whole; it counts as gone", "key", gone.Entry.Key, "error", err)
			w.tell(gone)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("the value of %s: %w", gone.Entry.Key, err)
	}
	w.tell(bucket.Event{Kind: bucket.Wrote, Entry: *e})
	return nil
}

// drop removes a consumer, which the server otherwise does after a while.
func (w *watch) drop(ctx context.Context, s *made, name string) {
	if w.b.conn.IsClosed() || !w.b.conn.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
	defer cancel()
	if err := s.stream.DeleteConsumer(ctx, name); err != nil {
		w.b.log.Debug("a consumer is left to the server to remove", "error", err)
	}
}
