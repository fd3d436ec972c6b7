package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/imagegate/imagegate/provider/bucket"
)

// Options are a bucket's. Replicas of the provider that give different limits
// set each other's; the last one's count.
type Options struct {
	// JetStream is where the stream is.
	JetStream jetstream.JetStream
	// Prefix and Name are of letters, digits, '-' and '_'.
	Prefix, Name string
	// MaxBytes bounds the messages with all that belongs to them; zero is no
	// bound. At the bound Create and Put are refused. Update and Delete are not,
	// up to the stream's own limit above it: what is full can be worked with, and
	// emptied.
	MaxBytes int64
	// MaxAge ends what was written so long ago; zero is never.
	MaxAge time.Duration
	// MarkerTTL is how long a deletion is told to those who were away; zero is
	// an hour. Whole seconds.
	MarkerTTL time.Duration
	// Replicas is how many servers keep the stream; zero is three in a cluster that
	// has as many, else one.
	Replicas int
	// Room says why nothing may be written at all at the moment; nil is never.
	Room func() error
	// Made is told when the stream is first found and when it was made.
	Made func(created bool)
	// Log is told what is not an error of one call; nil is nobody.
	Log *slog.Logger
}

const (
	defaultMarkerTTL = time.Hour
	// duplicates is how long a write is known by its id.
	duplicates = 2 * time.Minute
	// attemptTimeout bounds one request, after which it is sent again.
	attemptTimeout = 2 * time.Second
	// patience bounds a call whose context has no end.
	patience = 30 * time.Second
)

var validName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Bucket is a bucket.Bucket. Its methods make the stream where it is missing, so
// that one that was lost comes back empty, which watches tell as Reset.
type Bucket struct {
	o      Options
	js     jetstream.JetStream
	conn   *nats.Conn
	log    *slog.Logger
	name   string
	making chan struct{} // held by who makes the stream
	// lacking is since when there were too few servers to make it on; under making.
	lacking time.Time
	made    atomic.Pointer[made]
	wrote   recent
	used    usage
	// objects is whether values in pieces have been seen.
	objects atomic.Bool
}

var _ bucket.Bucket = (*Bucket)(nil)

// New returns the bucket without asking for it. Its error says what is wrong
// with the options.
func New(o Options) (*Bucket, error) {
	switch {
	case !validName.MatchString(o.Name):
		return nil, fmt.Errorf("bucket name %q: must be 1 to 64 letters, digits, '-' and '_'", o.Name)
	case !validName.MatchString(o.Prefix):
		return nil, fmt.Errorf("prefix %q: must be 1 to 64 letters, digits, '-' and '_'", o.Prefix)
	case o.MaxBytes < 0 || o.MaxAge < 0 || o.MarkerTTL < 0 || o.Replicas < 0:
		return nil, fmt.Errorf("bucket %s: a limit is negative", o.Name)
	case o.MaxAge > 0 && o.MaxAge < time.Second:
		return nil, fmt.Errorf("bucket %s: the age limit must be a second at least", o.Name)
	}
	if o.MarkerTTL == 0 {
		o.MarkerTTL = defaultMarkerTTL
	}
	o.MarkerTTL = max(o.MarkerTTL.Truncate(time.Second), time.Second)
	if o.Room == nil {
		o.Room = func() error { return nil }
	}
	if o.Made == nil {
		o.Made = func(bool) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Bucket{
		o: o, js: o.JetStream, conn: o.JetStream.Conn(), name: o.Name,
		log: o.Log.With("bucket", o.Name), making: make(chan struct{}, 1),
	}, nil
}

// Name returns the bucket's.
func (b *Bucket) Name() string { return b.name }

// StreamName returns the stream's, which is unique among all buckets.
func (b *Bucket) StreamName() string { return b.o.Prefix + "_" + b.name }

func (b *Bucket) keyPrefix() string         { return b.o.Prefix + ".kv." + b.name + "." }
func (b *Bucket) keys() string              { return b.keyPrefix() + ">" }
func (b *Bucket) subject(key string) string { return b.keyPrefix() + key }
func (b *Bucket) key(subject string) string { return strings.TrimPrefix(subject, b.keyPrefix()) }

// begin checks a call's arguments and bounds it.
func (b *Bucket) begin(ctx context.Context, key string) (context.Context, context.CancelFunc, error) {
	if err := ctx.Err(); err != nil {
		return ctx, func() {}, err
	}
	if err := bucket.CheckKey(key); err != nil {
		return ctx, func() {}, err
	}
	if _, bounded := ctx.Deadline(); bounded {
		return ctx, func() {}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	return ctx, cancel, nil
}

// The headers of a message. Those of NATS have the names that it gives them.
const (
	headerID        = "Nats-Msg-Id"
	headerExpected  = "Nats-Expected-Last-Subject-Sequence"
	headerTTL       = "Nats-TTL"
	headerSize      = "Nats-Msg-Size"
	headerReason    = "Nats-Marker-Reason"
	headerOperation = "KV-Operation"
	headerMeta      = "Imagegate-Meta"
	headerObject    = "Imagegate-Object"
	headerKey       = "Imagegate-Key"
)

// isMarker reports whether a message says that its key is gone: because it was
// deleted, or because of its age.
func isMarker(h nats.Header) bool { return h.Get(headerOperation) != "" || h.Get(headerReason) != "" }

// encodeMeta writes it in one header, since names and values of headers have
// rules that differ from those of Meta.
func encodeMeta(m bucket.Meta) string {
	v := url.Values{}
	for name, value := range m {
		v.Set(name, value)
	}
	return v.Encode()
}

func decodeMeta(s string) (bucket.Meta, error) {
	if s == "" {
		return nil, nil
	}
	v, err := url.ParseQuery(s)
	if err != nil {
		return nil, fmt.Errorf("header %s: %w", headerMeta, err)
	}
	m := make(bucket.Meta, len(v))
	for name := range v {
		m[name] = v.Get(name)
	}
	return m, nil
}

// during names what was being done when a call failed.
func (b *Bucket) during(doing, key string, err error) error {
	return fmt.Errorf("%s %s of bucket %s: %w", doing, key, b.name, err)
}

// because is the end of a call's time, with the reason that is known.
func (b *Bucket) because(ended, last error) error {
	if last == nil || errors.Is(last, ended) {
		return ended
	}
	return fmt.Errorf("%w (%w)", ended, last)
}
