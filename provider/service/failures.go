package service

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

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/queue"
	"github.com/imagegate/imagegate/provider/report"
)

// failures remembers which manifests could not be scanned, by whose credential,
// and until when not to try again. All replicas remember the same.
type failures struct {
	mu   sync.Mutex
	kept *remembered
	o    *Options
	// crowded are keys that had to go here for what others remembered, and are to
	// be removed for all.
	crowded chan string
}

// maxCrowded bounds those. One that does not fit is told of again when a replica
// starts.
const maxCrowded = 4096

// failureRecord is a failure that is remembered, as replicas tell each other.
type failureRecord struct {
	// Key is whom it concerns.
	Key        string        `json:"key"`
	Reason     report.Reason `json:"reason"`
	Message    string        `json:"message"`
	RetryAfter time.Duration `json:"retryAfter,omitempty"`
	// Namespace is who had it tried.
	Namespace string `json:"namespace,omitempty"`
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

func newFailures(o *Options) *failures {
	return &failures{o: o, kept: newRemembered(o.Failures), crowded: make(chan string, maxCrowded)}
}

// follow takes in what other replicas remember, until root ends. It returns when
// all that was there is known, or with ctx's error.
func (f *failures) follow(ctx, root context.Context, wg *sync.WaitGroup) error {
	wg.Go(func() { f.makeRoom(root) })
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
		f.kept.remove(e.Entry.Key)
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
	if there, ok := f.kept.peek(r.Key); ok {
		if there.At.After(r.At) {
			return
		}
		if there.At.Equal(r.At) {
			r.credential = there.credential
		}
	}
	if gone := f.kept.add(r); gone != "" {
		// Not what has to go where it was added: what was asked about here is
		// another thing. Left there, nobody would ever remove it.
		select {
		case f.crowded <- gone:
		default:
		}
	}
}

// makeRoom removes for all replicas what had to go here, until root ends.
func (f *failures) makeRoom(root context.Context) {
	for {
		select {
		case key := <-f.crowded:
			if !f.has(key) { // else it has failed again since
				f.forget([]string{key})
			}
		case <-root.Done():
			return
		}
	}
}

func (f *failures) has(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.kept.peek(key)
	return ok
}

// failureKey is how a failure's key is kept: names are as long as others like.
func failureKey(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}

// keyOf is whom a failure concerns: whoever asks for the image where it can only
// be the image's, else whoever opened it by the same credential, in the namespace
// alone that does not open it any more.
func keyOf(t task, f *report.Failure) string {
	switch {
	case errors.Is(f, errShut):
		return failureKey(t.shut())
	case f.OfImage():
		return failureKey(t.key())
	default:
		return failureKey(t.opened())
	}
}

// get returns the failure that still stands for a task and when it ends.
func (f *failures) get(t task) (*report.Failure, time.Time) {
	r := f.standing(t)
	if r == nil {
		r = f.first(t, t.shut())
	}
	if r == nil {
		return nil, time.Time{}
	}
	return r.failure(), r.Until
}

// standing returns the failure that still stands for a task, whichever namespace
// asks for it, or nil.
func (f *failures) standing(t task) *failureRecord { return f.first(t, t.opened(), t.key()) }

// first returns that of the names under which one still stands for a task, or nil.
func (f *failures) first(t task, names ...string) *failureRecord {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range names {
		key := failureKey(name)
		r, ok := f.kept.get(key)
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
	r, gone := f.remember(t, failure)
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	b, err := json.Marshal(r)
	if err == nil {
		_, err = f.o.Shared.Failures.Put(ctx, r.Key, b, nil)
	}
	if err != nil {
		f.o.Logger.Warn("a failure is not remembered beyond this replica", "error", err)
	}
	if gone != "" {
		f.tidy(f.erase(ctx, []string{gone}))
	}
	return r
}

// remember returns also the key of what had to go, if any.
func (f *failures) remember(t task, failure *report.Failure) (r failureRecord, gone string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := keyOf(t, failure)
	before, ok := f.kept.get(key)
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
		Namespace: t.access.Namespace, Row: row + 1, At: now,
		// A registry that asks for a day is tried again sooner: it may be well by
		// then, and nothing but a restart would find out.
		Until:      now.Add(max(wait, min(failure.RetryAfter, f.o.FailureMax))),
		Order:      orderOf(t).encode(),
		credential: t.resolved.Credential,
	}
	return r, f.kept.add(r)
}

// remove forgets what failed before a success.
func (f *failures) remove(t task) {
	f.mu.Lock()
	var there []string
	for _, key := range []string{failureKey(t.opened()), failureKey(t.key())} {
		if f.kept.remove(key) {
			there = append(there, key)
		}
	}
	f.mu.Unlock()
	f.forget(there)
}

// clear forgets all: what they failed by is another than it was.
func (f *failures) clear() {
	f.mu.Lock()
	there := f.kept.keys()
	f.kept = newRemembered(f.o.Failures)
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
