package stream

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// wantedReplicas is on how many servers of a cluster a bucket is when nobody
	// says.
	wantedReplicas = 3
	// lackingFor is how long they are waited for.
	lackingFor = 30 * time.Second
)

// made is a stream that was there when it was last looked for.
type made struct {
	stream  jetstream.Stream
	created time.Time
}

// Ensure makes the stream where it is missing, and gives it the limits of the
// options. It waits for a server until ctx ends.
func (b *Bucket) Ensure(ctx context.Context) error {
	var wait retry
	for {
		_, err := b.ensure(ctx)
		if err == nil || isFinal(err) {
			return err
		}
		if ended := wait.pause(ctx); ended != nil {
			return b.because(ended, err)
		}
	}
}

func (b *Bucket) ensure(ctx context.Context) (*made, error) {
	if m := b.made.Load(); m != nil {
		return m, nil
	}
	select {
	case b.making <- struct{}{}:
		defer func() { <-b.making }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if m := b.made.Load(); m != nil {
		return m, nil
	}
	s, created, err := b.find(ctx)
	if err != nil {
		return nil, fmt.Errorf("the stream of bucket %s: %w", b.name, err)
	}
	m := &made{stream: s, created: s.CachedInfo().Created}
	b.made.Store(m)
	b.o.Made(created)
	return m, nil
}

// forget has the stream looked for again before the next call.
func (b *Bucket) forget(err error) {
	if isLost(err) {
		b.made.Store(nil)
	}
}

// find returns the stream, and whether it was made.
func (b *Bucket) find(ctx context.Context) (s jetstream.Stream, created bool, err error) {
	look := func(ctx context.Context) (jetstream.Stream, error) { return b.js.Stream(ctx, b.StreamName()) }
	s, err = call(ctx, look)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if s, err = call(ctx, b.create); err == nil {
			return s, true, supported(s)
		}
		// A server that is asked by several at once may answer one of them only.
		if code(err) == jetstream.JSErrCodeStreamNameInUse || errors.Is(err, context.DeadlineExceeded) {
			s, err = call(ctx, look)
		}
	}
	if err != nil {
		return nil, false, err
	}
	s, err = b.update(ctx, s)
	if err != nil {
		return nil, false, err
	}
	return s, false, supported(s)
}

// update gives a stream that is there the limits of the options.
func (b *Bucket) update(ctx context.Context, s jetstream.Stream) (jetstream.Stream, error) {
	have := s.CachedInfo().Config
	want := b.config(have)
	if b.o.Replicas == 0 && have.Replicas < wantedReplicas && b.clustered() {
		want.Replicas = wantedReplicas
	}
	if reflect.DeepEqual(have, want) {
		return s, nil
	}
	change := func(ctx context.Context) (jetstream.Stream, error) { return b.js.UpdateStream(ctx, want) }
	changed, err := call(ctx, change)
	if lacksServers(err) && b.o.Replicas == 0 {
		if want.Replicas = have.Replicas; reflect.DeepEqual(have, want) {
			return s, nil
		}
		changed, err = call(ctx, change)
	}
	if err == nil {
		b.log.Info("a bucket got other limits", "maxBytes", want.MaxBytes, "maxAge", want.MaxAge, "replicas", want.Replicas)
	}
	return changed, err
}

// supported returns an error for a server that leaves out of a stream what it does
// not know.
func supported(s jetstream.Stream) error {
	if c := s.CachedInfo().Config; !c.AllowMsgTTL || !c.AllowDirect {
		return errors.New("the NATS server is too old: 2.11 is the least")
	}
	return nil
}

// call is one request of nats.go's, bounded.
func call[T any](ctx context.Context, do func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	return do(ctx)
}

// create makes the stream. Where nobody says on how many servers, it waits a while
// for as many as there should be in a cluster: those that are missing may only be
// starting.
func (b *Bucket) create(ctx context.Context) (jetstream.Stream, error) {
	c := b.config(jetstream.StreamConfig{
		Name:        b.StreamName(),
		Description: "imagegate: " + b.name,
		Storage:     jetstream.FileStorage,
		// Microseconds keep below what JSON carries exactly, and far above what
		// anybody writes in that time.
		FirstSeq: uint64(time.Now().UnixMicro()),
		Replicas: max(b.o.Replicas, 1),
	})
	if b.o.Replicas != 0 || !b.clustered() {
		return b.js.CreateStream(ctx, c)
	}
	c.Replicas = wantedReplicas
	s, err := b.js.CreateStream(ctx, c)
	if !lacksServers(err) {
		return s, err
	}
	if b.lacking.IsZero() {
		b.lacking = time.Now()
	}
	if code(err) == codeNoPeers && time.Since(b.lacking) < lackingFor {
		return nil, err
	}
	b.log.Warn("the NATS servers cannot keep three copies of a bucket; one is kept for now, which is lost with its server", "error", err)
	c.Replicas = 1
	return b.js.CreateStream(ctx, c)
}

func (b *Bucket) clustered() bool { return b.conn.ConnectedClusterName() != "" }

// lacksServers: there are not as many as copies are asked for.
func lacksServers(err error) bool {
	return code(err) == codeNoPeers || code(err) == codeReplicasNotAllowed
}

// config is c with what the bucket needs; the rest is the business of whoever
// runs NATS.
func (b *Bucket) config(c jetstream.StreamConfig) jetstream.StreamConfig {
	c.Subjects = []string{b.keys(), b.pieces()}
	c.Retention = jetstream.LimitsPolicy
	c.MaxMsgsPerSubject = 1
	c.MaxMsgs = -1
	c.MaxMsgSize = -1
	c.MaxConsumers = -1
	c.MaxBytes = -1
	if b.o.MaxBytes > 0 {
		c.MaxBytes = b.o.MaxBytes + reserve(b.o.MaxBytes)
	}
	c.MaxAge = b.o.MaxAge
	c.Duplicates = duplicates
	if b.o.MaxAge > 0 {
		c.Duplicates = min(duplicates, b.o.MaxAge)
	}
	// What is full says so rather than losing what it has: the packages above
	// know better what to remove.
	c.Discard = jetstream.DiscardNew
	c.AllowDirect = true
	c.AllowMsgTTL = true
	c.SubjectDeleteMarkerTTL = b.o.MarkerTTL
	c.AllowRollup = true // the server's own markers are roll-ups
	c.DenyDelete, c.DenyPurge = false, false
	if b.o.Replicas > 0 {
		c.Replicas = b.o.Replicas
	}
	return c
}
