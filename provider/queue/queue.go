// Package queue has work done once, however many ask for it on however many
// replicas of the provider, and shares the replicas' slots fairly among those
// who ask. It knows nothing of images: a job is a name and a few bytes.
//
// All of it is in one bucket whose order of changes every replica sees, so each
// has the whole queue in memory and decides alike what is next. A replica that
// has a free slot takes the next job by writing its lease, which succeeds for
// one of them only. A lease counts as long as its holder is seen to be alive, by
// a heartbeat that each observer counts against its own, so that no clock has a
// part in it: not one that jumps, and not one of another machine.
package queue

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/turns"
)

// Options configures a Queue.
type Options struct {
	Bucket bucket.Bucket
	// Replica names this process among the replicas, for good: the same name
	// after a restart says that what it did before is no longer done. Letters,
	// digits and '-'.
	Replica string
	// Slots is how many jobs this replica does at once; zero: it only asks.
	// PerRegistry bounds those of one registry among them.
	Slots       int
	PerRegistry int
	// Waiting bounds the asks that wait, of all replicas together.
	Waiting int
	// YieldAfter is how long a job may go on although its namespace holds more
	// than its share while others wait, and how long one waits for another job of
	// its group.
	YieldAfter time.Duration
	// AbandonAfter is how long an ask stays that nobody repeats.
	AbandonAfter time.Duration
	// Heartbeat is the pause between two signs of life; zero: 5 s. A replica that
	// has missed four is dead.
	Heartbeat time.Duration
	// Grace is how long Close lets jobs under way go on before it hands them back.
	Grace time.Duration
	// Do does a job; nil where Slots is zero. It returns nil to hand the job back,
	// which it must soon once ctx ends.
	Do func(ctx context.Context, w *Work) *Outcome
	// Saw is told each outcome once, of all replicas, before any ask that was
	// made after it is known here. It must not block; nil: nobody is.
	Saw func(o Outcome)
	// Dropped is told why an ask was taken off by this replica; it must not block;
	// nil: nobody is.
	Dropped func(Reason)
	// Info is told to the other replicas with each heartbeat; nil: nothing is.
	Info   func() json.RawMessage
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

const (
	defaultHeartbeat = 5 * time.Second
	// missed is how many of its own heartbeats a replica sees after another's
	// last until that one is dead.
	missed = 4
	// surely is for how many pauses between its own a replica that was seen knows that
	// nobody takes it for dead. Others see their fourth sign of life after three pauses
	// at the earliest.
	surely = 2
	// gone is the same until a dead one is forgotten: ten minutes.
	gone = 120
	// patrolEvery is how often what is there is looked through.
	patrolEvery = time.Second
	// writeTimeout bounds one write to the bucket.
	writeTimeout = 5 * time.Second
)

// Why a job under way is stopped, as the cause of its context.
var (
	// ErrYield: others wait for the turn.
	ErrYield = errors.New("others wait for the turn")
	// ErrAbandoned: nobody asks for it any more.
	ErrAbandoned = errors.New("nobody has asked for the scan for long; ask again to have it made")
	// ErrClosing: the replica is shutting down, and another will do it.
	ErrClosing = errors.New("the provider is shutting down")
	// ErrLost: another replica has the lease.
	ErrLost = errors.New("another replica has taken the scan over")
)

// Queue is one replica's part of the queue. Use New and Start.
type Queue struct {
	o    Options
	self string // replica and incarnation

	root context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup
	// running are the jobs under way, which end before all else.
	running sync.WaitGroup
	// writes bounds the asks that are written at once.
	writes chan struct{}

	mu      sync.Mutex
	closing bool
	synced  chan struct{} // closed when the bucket has been read once
	mirror
}

// New returns a Queue that does nothing yet.
func New(o Options) (*Queue, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = defaultHeartbeat
	}
	if o.Bucket == nil || o.Logger == nil || o.Replica == "" || o.Waiting <= 0 || o.Slots < 0 || o.Slots > 0 && o.Do == nil ||
		o.YieldAfter <= 0 || o.AbandonAfter <= 0 {
		return nil, errors.New("the scan queue's options are missing or out of range")
	}
	q := &Queue{
		o:      o,
		self:   o.Replica + "/" + rand.Text(),
		writes: make(chan struct{}, 64),
		synced: make(chan struct{}),
		mirror: newMirror(),
	}
	q.root, q.stop = context.WithCancel(context.Background())
	q.limit()
	return q, nil
}

// Start reads the bucket and takes part, until Close. It returns when all that
// was there is known, or with ctx's error.
func (q *Queue) Start(ctx context.Context) error {
	q.wg.Go(q.follow)
	select {
	case <-q.synced:
	case <-ctx.Done():
		return fmt.Errorf("reading the scan queue: %w", context.Cause(ctx))
	}
	q.wg.Go(q.live)
	q.wg.Go(q.patrol)
	return nil
}

// follow keeps the mirror true.
func (q *Queue) follow() {
	for q.root.Err() == nil {
		err := q.o.Bucket.Watch(q.root, bucket.WatchOptions{}, q.see)
		if q.root.Err() == nil {
			q.o.Logger.Warn("the scan queue is not followed; trying again", "error", err)
			q.pause(time.Second)
		}
	}
}

// Close hands back what is under way, after Options.Grace or when ctx ends, and
// returns when all has ended.
func (q *Queue) Close(ctx context.Context) error {
	q.mu.Lock()
	if q.closing {
		q.mu.Unlock()
		return nil
	}
	q.closing = true
	q.mu.Unlock()

	ended := make(chan struct{})
	go func() {
		q.running.Wait()
		close(ended)
	}()
	if q.o.Grace > 0 {
		grace := time.NewTimer(q.o.Grace)
		defer grace.Stop()
		select {
		case <-ended:
		case <-grace.C:
		case <-ctx.Done():
		}
	}
	q.mu.Lock()
	for _, l := range q.leases {
		if l.work != nil {
			l.work.cancel(ErrClosing)
		}
	}
	for _, j := range q.jobs {
		q.conclude(j, Outcome{}, ErrClosing)
	}
	q.mu.Unlock()
	var err error
	select {
	case <-ended:
	case <-ctx.Done():
		err = fmt.Errorf("waiting for running scans to end: %w", ctx.Err())
	}
	q.leave(ctx)
	q.stop()
	if err == nil {
		q.wg.Wait()
	}
	return err
}

func (q *Queue) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-q.root.Done():
	}
}

// write bounds a write to the bucket. It outlasts the end of the queue, which
// has last words to write.
func (q *Queue) write() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(q.root), writeTimeout)
}

// limit has the accounts reckon with the slots of all replicas there are.
func (q *Queue) limit() {
	l := turns.Limits{Turns: q.o.Slots, PerRegistry: q.o.PerRegistry, Waiting: q.o.Waiting}
	for name, m := range q.members {
		if name != q.o.Replica && q.alive(m) {
			l.Turns += m.record.Slots
			l.PerRegistry += m.record.PerRegistry
		}
	}
	q.accounts.Limit(l)
}
