package scan

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/queue"
	"github.com/imagegate/imagegate/provider/report"
)

// failures remembers which manifests could not be scanned, by whose credential,
// and until when not to try again. All replicas remember the same.
type failures struct {
	mu  sync.Mutex
	lru *simplelru.LRU[string, failureRecord] // by key
	o   *Options
	// evicted are keys that there is no room for any more.
	evicted []string
}

// failureRecord is a failure that is remembered, as replicas tell each other.
type failureRecord struct {
	// Key is whom it concerns.
	Key        string        `json:"key"`
	Reason     report.Reason `json:"reason"`
	Message    string        `json:"message"`
	RetryAfter time.Duration `json:"retryAfter,omitempty"`
	// Row counts failures without a success between.
	Row   int       `json:"row"`
	At    time.Time `json:"at"`
	Until time.Time `json:"until"`
	// Order is the scan that failed, for those who run the system.
	Order json.RawMessage `json:"order,omitempty"`
	// credential tells by which one it failed where that is known: another that
	// has since taken its place may do better.
	credential string
}

func (r failureRecord) failure() *report.Failure {
	return &report.Failure{Reason: r.Reason, Message: r.Message, RetryAfter: r.RetryAfter}
}

// scope is for which asks it counts that wait.
func (r failureRecord) scope() queue.Scope {
	if r.failure().OfImage() {
		return queue.OfGroup
	}
	return queue.OfJob
}

func newFailures(o *Options) (*failures, error) {
	f := &failures{o: o}
	var err error
	f.lru, err = simplelru.NewLRU(o.Failures, func(key string, _ failureRecord) { f.evicted = append(f.evicted, key) })
	if err != nil {
		return nil, err
	}
	return f, nil
}

// follow takes in what other replicas remember, until root ends. It returns when
// all that was there is known, or with ctx's error.
func (f *failures) follow(ctx, root context.Context, wg *sync.WaitGroup) error {
	synced := make(chan struct{})
	once := sync.OnceFunc(func() { close(synced) })
	wg.Go(func() {
		for root.Err() == nil {
			err := f.o.Shared.Failures.Watch(root, bucket.WatchOptions{}, func(e bucket.Event) {
				f.see(e)
				if e.Kind == bucket.Synced {
					once()
				}
			})
			if root.Err() == nil {
				f.o.Logger.Warn("the memory of failures is not followed; trying again", "error", err)
				pause(root, time.Second)
			}
		}
	})
	select {
	case <-synced:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("reading the memory of failures: %w", context.Cause(ctx))
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (f *failures) see(e bucket.Event) {
	switch e.Kind {
	case bucket.Wrote:
		var r failureRecord
		if err := json.Unmarshal(e.Entry.Value, &r); err != nil || r.Key != e.Entry.Key {
			f.o.Logger.Warn("a remembered failure cannot be read", "key", e.Entry.Key, "error", err)
			return
		}
		f.learn(r)
	case bucket.Deleted:
		f.mu.Lock()
		defer f.mu.Unlock()
		f.lru.Remove(e.Entry.Key)
		f.evicted = nil
	default: // what is gone meanwhile ends by itself
	}
}

// learn remembers what another replica, or this one, found out.
func (f *failures) learn(r failureRecord) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// Another's clock may be wrong; it must not keep an image unscanned for longer
	// than a right one could.
	if most := f.o.Now().Add(f.o.FailureMax); r.Until.After(most) {
		r.Until = most
	}
	if there, ok := f.lru.Peek(r.Key); ok {
		if there.At.After(r.At) {
			return
		}
		if there.At.Equal(r.At) {
			r.credential = there.credential
		}
	}
	f.lru.Add(r.Key, r)
	f.evicted = nil // whoever added it removes what it took the place of
}

// failureKey is how a failure's key is kept: names are as long as others like.
func failureKey(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}

// keyOf is whom a failure concerns: whoever asks for the image where it can only
// be the image's, else whoever opened it by the same credential.
func keyOf(t task, f *report.Failure) string {
	if f.OfImage() {
		return failureKey(t.key())
	}
	return failureKey(t.opened())
}

// get returns the failure that still stands for a task and when it ends.
func (f *failures) get(t task) (*report.Failure, time.Time) {
	if r := f.standing(t); r != nil {
		return r.failure(), r.Until
	}
	return nil, time.Time{}
}

// standing returns the failure that still stands for a task, or nil.
func (f *failures) standing(t task) *failureRecord {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, key := range []string{failureKey(t.opened()), failureKey(t.key())} {
		r, ok := f.lru.Get(key)
		if !ok || !f.o.Now().Before(r.Until) {
			continue
		}
		mine := t.resolved.Credential
		if !r.failure().OfImage() && r.credential != "" && mine != "" && mine != r.credential {
			continue
		}
		return &r
	}
	return nil
}

// add remembers a failure: a lasting one ever longer, any other shortly, so that
// it does not outlive its cause.
func (f *failures) add(t task, failure *report.Failure) failureRecord {
	r, evicted := f.remember(t, failure)
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	b, err := json.Marshal(r)
	if err == nil {
		_, err = f.o.Shared.Failures.Put(ctx, r.Key, b, nil)
	}
	if err != nil {
		f.o.Logger.Warn("a failure is not remembered beyond this replica", "error", err)
	}
	f.tidy(f.erase(ctx, evicted))
	return r
}

func (f *failures) remember(t task, failure *report.Failure) (r failureRecord, evicted []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := keyOf(t, failure)
	before, ok := f.lru.Get(key)
	row := before.Row
	if ok && before.failure().Lasting() != failure.Lasting() {
		row = 0
	}
	initial, most := f.o.TransientFor, max(f.o.TransientFor, f.o.FailureInitial)
	if failure.Lasting() {
		initial, most = f.o.FailureInitial, f.o.FailureMax
	}
	// Shifting stops well before it could overflow; most rules.
	wait := min(initial<<min(row, 16), most)
	now := f.o.Now()
	r = failureRecord{
		// The log has had the cause; its text is the longest part.
		Key: key, Reason: failure.Reason, Message: strings.Clone(report.CleanMessage(failure.Message)), RetryAfter: failure.RetryAfter,
		Row: row + 1, At: now,
		// A registry that asks for a day is tried again sooner: it may be well by
		// then, and nothing but a restart would find out.
		Until:      now.Add(max(wait, min(failure.RetryAfter, f.o.FailureMax))),
		Order:      orderOf(t).encode(),
		credential: t.resolved.Credential,
	}
	f.lru.Add(key, r)
	evicted, f.evicted = f.evicted, nil
	return r, evicted
}

// remove forgets what failed before a success.
func (f *failures) remove(t task) {
	f.mu.Lock()
	var there []string
	for _, key := range []string{failureKey(t.opened()), failureKey(t.key())} {
		if f.lru.Remove(key) {
			there = append(there, key)
		}
	}
	f.evicted = nil
	f.mu.Unlock()
	f.forget(there)
}

// clear forgets all: what they failed by is another than it was.
func (f *failures) clear() {
	f.mu.Lock()
	there := f.lru.Keys()
	f.lru.Purge()
	f.evicted = nil
	f.mu.Unlock()
	f.forget(there)
}

func (f *failures) forget(keys []string) {
	if len(keys) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	f.tidy(f.erase(ctx, keys))
}

// erase has all replicas forget the keys.
func (f *failures) erase(ctx context.Context, keys []string) error {
	for _, key := range keys {
		if err := f.o.Shared.Failures.Delete(ctx, key, 0); err != nil {
			return fmt.Errorf("forgetting a failure: %w", err)
		}
	}
	return nil
}

// tidy tells of what could not be forgotten: it ends by itself.
func (f *failures) tidy(err error) {
	if err != nil {
		f.o.Logger.Warn("failures that are over are kept", "error", err)
	}
}

const (
	// maxMessage bounds a failure's sentence, maxCause what is behind it: both
	// may quote what an image's author wrote, and are kept, logged and sent.
	maxMessage = 512
	maxCause   = 4096
)

// bounded returns the failure as text of a bounded size, so that it keeps
// nothing of what it came from in memory.
func bounded(f *report.Failure) *report.Failure {
	out := &report.Failure{Reason: f.Reason, Message: report.Clean(f.Message, maxMessage), RetryAfter: f.RetryAfter}
	if f.Err != nil {
		out.Err = errors.New(report.Clean(f.Err.Error(), maxCause))
	}
	return out
}

// cause returns what is behind a failure's sentence, for the log.
func cause(err error) slog.Value {
	under := errors.Unwrap(err)
	if under == nil {
		return slog.Value{}
	}
	return slog.StringValue(report.Clean(under.Error(), maxCause))
}
