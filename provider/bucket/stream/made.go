package stream

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/nats-io/nats.go/jetstream"
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
			return fmt.Errorf("%w (%w)", ended, err)
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
	ctx, cancel := context.WithTimeout(ctx, 5*attemptTimeout) // a cluster elects a leader for a new stream
	defer cancel()
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
	s, err = b.js.Stream(ctx, b.streamName())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		switch s, err = b.create(ctx); {
		case err == nil:
			return s, true, nil
		case code(err) != jetstream.JSErrCodeStreamNameInUse:
			return nil, false, err
		}
		s, err = b.js.Stream(ctx, b.streamName()) // made by somebody else meanwhile
	}
	if err != nil {
		return nil, false, err
	}
	have := s.CachedInfo().Config
	want := b.config(have)
	if reflect.DeepEqual(have, want) {
		return s, false, nil
	}
	b.log.Info("a bucket gets other limits", "maxBytes", want.MaxBytes, "maxAge", want.MaxAge, "replicas", want.Replicas)
	s, err = b.js.UpdateStream(ctx, want)
	return s, false, err
}

func (b *Bucket) create(ctx context.Context) (jetstream.Stream, error) {
	c := b.config(jetstream.StreamConfig{
		Name:        b.streamName(),
		Description: "imagegate: " + b.name,
		Storage:     jetstream.FileStorage,
		// Microseconds keep below what JSON carries exactly, and far above what
		// anybody writes in that time.
		FirstSeq: uint64(time.Now().UnixMicro()),
		Replicas: max(b.o.Replicas, 1),
	})
	if b.o.Replicas != 0 || b.conn.ConnectedClusterName() == "" {
		return b.js.CreateStream(ctx, c)
	}
	c.Replicas = 3
	s, err := b.js.CreateStream(ctx, c)
	if code(err) != codeReplicasNotAllowed && code(err) != codeNoPeers {
		return s, err
	}
	b.log.Warn("the NATS servers cannot keep three copies of a bucket; one is kept, which is lost with its server", "error", err)
	c.Replicas = 1
	return b.js.CreateStream(ctx, c)
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
		c.MaxBytes = b.o.MaxBytes
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
