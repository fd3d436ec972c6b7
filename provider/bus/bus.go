package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/bucket/stream"
)

const (
	defaultPrefix = "imagegate"
	// collectEvery is how often leftovers of values in pieces are looked for.
	collectEvery = 10 * time.Minute
)

var validName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// Bus is a connection to NATS that is never given up. It is safe for concurrent
// use.
type Bus struct {
	o     Options
	log   *slog.Logger
	state *state
	conn  *nats.Conn
	js    jetstream.JetStream
	// server is the embedded one; nil where there is none.
	server *embedded

	end        context.CancelFunc
	ended      context.Context
	background sync.WaitGroup

	mu      sync.Mutex
	buckets map[string]*stream.Bucket
	closed  bool
}

// Open starts what has to be started here, and connects. It does not wait for
// other servers: until they come, Ready says so, and what is asked of buckets
// waits as long as its context does. Its error is a mistake in the options, or
// says why the files of the embedded server cannot be used.
func Open(ctx context.Context, o Options) (*Bus, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("NATS: %w", err)
	}
	b := &Bus{o: o, log: o.Log, state: newState(&o), buckets: map[string]*stream.Bucket{}}
	// What goes on behind ends with Close, not with the start's context.
	b.ended, b.end = context.WithCancel(context.WithoutCancel(ctx))
	if err := b.open(ctx); err != nil {
		return nil, errors.Join(err, b.Close(context.WithoutCancel(ctx)))
	}
	return b, nil
}

func (b *Bus) open(ctx context.Context) (err error) {
	if b.o.External != nil {
		b.conn, err = b.connect(b.o.External)
	} else {
		b.conn, err = b.embed(ctx)
	}
	if err != nil {
		return err
	}
	if b.o.External != nil && b.o.External.Domain != "" {
		b.js, err = jetstream.NewWithDomain(b.conn, b.o.External.Domain)
	} else {
		b.js, err = jetstream.New(b.conn)
	}
	if err != nil {
		return fmt.Errorf("JetStream: %w", err)
	}
	return b.state.register(b.o.Registerer)
}

// Bucket returns the bucket of the name, of letters, digits, '-' and '_', without
// asking for it: it is made when it is first used. Asked for twice it is the same
// one, with the first options. Its error says what is wrong with them.
func (b *Bus) Bucket(name string, o BucketOptions) (bucket.Bucket, error) {
	if !validName.MatchString(name) {
		return nil, fmt.Errorf("NATS: bucket name %q: must be 1 to 32 letters, digits, '-' and '_'", name)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errClosed
	}
	if s := b.buckets[name]; s != nil {
		return s, nil
	}
	options := stream.Options{
		JetStream: b.js, Prefix: b.o.Prefix, Name: name, MaxBytes: o.MaxBytes, MaxAge: o.MaxAge, MarkerTTL: o.MarkerTTL, Replicas: b.replicas(), Log: b.log,
	}
	if b.server != nil {
		options.Room = b.server.room
		options.Made = func(created bool) { b.server.made(b.o.Prefix+"_"+name, created) }
	}
	s, err := stream.New(options)
	if err != nil {
		return nil, fmt.Errorf("NATS: %w", err)
	}
	b.buckets[name] = s
	b.background.Go(func() { b.collect(s) })
	return s, nil
}

// replicas is on how many servers a bucket is.
func (b *Bus) replicas() int {
	switch {
	case b.o.External != nil:
		return b.o.External.Replicas
	case b.o.Cluster != nil:
		return clusterReplicas
	}
	return 1
}

// collect removes leftovers until the bus is closed.
func (b *Bus) collect(s *stream.Bucket) {
	t := time.NewTicker(collectEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-b.ended.Done():
			return
		}
		ctx, cancel := context.WithTimeout(b.ended, collectEvery/2)
		if _, err := s.Collect(ctx); err != nil && b.ended.Err() == nil {
			b.log.Warn("what is left of replaced values could not be removed; it is tried again", "bucket", s.Name(), "error", err)
		}
		cancel()
	}
}

// Ready returns nil when JetStream answers and the buckets asked for so far are
// there, else a sentence that says what is missing.
func (b *Bus) Ready(ctx context.Context) error {
	if err := b.ready(ctx); err != nil {
		return fmt.Errorf("NATS: %w", err)
	}
	return nil
}

func (b *Bus) ready(ctx context.Context) error {
	if s := b.State(); !s.Connected {
		return b.explain(fmt.Errorf("not connected to %s since %s: %w", s.Place, s.Since.UTC().Format(time.RFC3339), s.Err))
	}
	if _, err := b.js.AccountInfo(ctx); err != nil {
		return b.explain(fmt.Errorf("JetStream of %s does not answer: %w", b.state.place, err))
	}
	b.mu.Lock()
	all := make([]*stream.Bucket, 0, len(b.buckets))
	for _, s := range b.buckets {
		all = append(all, s)
	}
	b.mu.Unlock()
	for _, s := range all {
		if err := s.Ensure(ctx); err != nil {
			return b.explain(err)
		}
	}
	return nil
}

// explain adds what the embedded server knows.
func (b *Bus) explain(err error) error {
	if b.server == nil {
		return err
	}
	if why := b.server.trouble(); why != "" {
		return fmt.Errorf("%w (%s)", err, why)
	}
	return err
}

// State returns whether there is a connection, and since when.
func (b *Bus) State() State { return b.state.get() }

var errClosed = errors.New("the connection to NATS is closed")

// Close ends the connection, and the embedded server in order. Watches and calls
// under way end with an error. It waits until nothing is left running, or ctx
// ends.
func (b *Bus) Close(ctx context.Context) error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.end()
	b.state.unregister(b.o.Registerer)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if b.conn != nil {
			b.state.close()
			b.conn.Close()
		}
		b.background.Wait()
		if b.server != nil {
			b.server.stop()
		}
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("closing the connection to NATS: %w", ctx.Err())
	}
}
