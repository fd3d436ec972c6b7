// Package bucket is the port to what all replicas of the provider know in
// common: small buckets of keys and values whose changes have one order, which
// every replica sees. The scan queue, the memory of failures, of reports and of
// tags are built on it, once, whether there is one process with a map or a
// cluster of NATS servers.
//
// What makes a bucket more than a map is that a write can be made conditional
// on nobody having written since, and that Watch tells of every change in order.
// Out of these two the packages above make leases, queues and mirrors.
package bucket

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrExists means that Create found the key there already.
	ErrExists = errors.New("the key exists already")
	// ErrChanged means that the key is not at the revision that was named, or not
	// there any more.
	ErrChanged = errors.New("the key was changed by somebody else")
	// ErrFull means that the bucket has no room for the value.
	ErrFull = errors.New("the bucket is full")
)

// Meta is said of a value beside it, so that a watch can tell it without the
// value. Keys are words of letters, digits and '-', values are printable and
// short.
type Meta map[string]string

// Entry is a key with its value at one revision.
type Entry struct {
	Key string
	// Value is nil where a watch leaves values out.
	Value []byte
	Meta  Meta
	// Size is the value's in bytes, as it is kept.
	Size int
	// Revision grows with every write to the bucket.
	Revision uint64
	// Written is when, by the clock of whoever keeps the bucket. Clocks differ
	// and jump: what must not end early or never is not measured by it.
	Written time.Time
}

// Kind is what an Event tells.
type Kind int

// The kinds of events.
const (
	// Reset comes first, and again whenever a watch has to begin anew: what was
	// told before no longer counts.
	Reset Kind = iota
	// Wrote is an entry as it is now.
	Wrote
	// Deleted is a key that is gone, with the revision of its end.
	Deleted
	// Synced says that all that was there when the watch began has been told.
	Synced
)

// Event is one thing that a watch tells.
type Event struct {
	Kind  Kind
	Entry Entry
}

// Bucket is safe for concurrent use. Keys consist of letters, digits, '-', '_'
// and '.', neither first nor last nor twice a '.', in at most 256 bytes; all else
// is refused with ErrKey. Values given in and out are not changed by anybody.
//
// The revision that a write is made conditional on is one that a write or Get
// returned, or a Wrote event told; that of a Deleted event is none.
//
// An error that is none of this package's means that the bucket cannot be
// reached or does not answer in ctx's time; a write may have been made then or
// not.
type Bucket interface {
	// Get returns nil without an error for a key that is not there. It may be
	// behind writes of others by a moment, never behind those that this process
	// has made through the same Bucket.
	Get(ctx context.Context, key string) (*Entry, error)
	// Create writes a key that is not there, else it is ErrExists.
	Create(ctx context.Context, key string, value []byte) (revision uint64, err error)
	// Update writes a key that is at the revision, else it is ErrChanged.
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	// Put writes a key whatever it is.
	Put(ctx context.Context, key string, value []byte, meta Meta) (revision uint64, err error)
	// Delete removes a key that is at the revision, else it is ErrChanged; a
	// revision of zero is any. To remove what is not there is no error.
	Delete(ctx context.Context, key string, revision uint64) error
	// Watch calls see with Reset, each entry there is, Synced, and from then on
	// with every change in the order of revisions, one at a time, until ctx ends,
	// and returns ctx's error. While the bucket cannot be reached it waits for it:
	// no change is lost, but several of one key may be told as the last of them.
	Watch(ctx context.Context, o WatchOptions, see func(Event)) error
}

// WatchOptions say what a watch tells.
type WatchOptions struct {
	// WithoutValues leaves them out.
	WithoutValues bool
}
