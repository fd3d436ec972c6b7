package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/imagegate/imagegate/provider/bucket"
)

// condition is what must be true of a key for a write to be made.
type condition struct {
	kind     conditionKind
	revision uint64 // of at
}

type conditionKind int

const (
	always conditionKind = iota
	absent
	at
)

// Create writes a key that is not there.
func (b *Bucket) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	return b.put(ctx, key, value, nil, condition{kind: absent})
}

// Update writes a key that is at the revision.
func (b *Bucket) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if revision == 0 {
		return 0, bucket.ErrChanged
	}
	return b.put(ctx, key, value, nil, condition{at, revision})
}

// Put writes a key.
func (b *Bucket) Put(ctx context.Context, key string, value []byte, meta bucket.Meta) (uint64, error) {
	return b.put(ctx, key, value, meta, condition{kind: always})
}

func (b *Bucket) put(ctx context.Context, key string, value []byte, meta bucket.Meta, c condition) (uint64, error) {
	ctx, cancel, err := b.begin(ctx, key)
	defer cancel()
	if err != nil {
		return 0, err
	}
	m := nats.NewMsg(b.subject(key))
	if len(meta) > 0 {
		m.Header.Set(headerMeta, encodeMeta(meta))
	}
	if err := b.Ensure(ctx); err != nil { // the connection then knows what fits into a message
		return 0, b.during("writing", key, err)
	}
	if c.kind != at {
		if err := b.room(ctx, len(value)+b.overhead(key)); err != nil {
			return 0, err
		}
	}
	before := b.named(ctx, key)
	var large *object
	if len(value) <= b.fits() {
		m.Data = value
	} else {
		if large, err = b.writeObject(ctx, key, value); err != nil {
			return 0, err
		}
		m.Header.Set(headerObject, large.String())
	}
	sequence, err := b.write(ctx, key, m, c)
	switch {
	case err == nil:
		b.wrote.add(key, sequence)
		b.used.add(len(value) + b.overhead(key))
		b.remove(ctx, before)
	case large != nil && (errors.Is(err, bucket.ErrExists) || errors.Is(err, bucket.ErrChanged) || errors.Is(err, bucket.ErrFull)):
		b.remove(ctx, large) // else nobody knows whether a key names it
	}
	return sequence, err
}

// Delete removes a key.
func (b *Bucket) Delete(ctx context.Context, key string, revision uint64) error {
	ctx, cancel, err := b.begin(ctx, key)
	defer cancel()
	if err != nil {
		return err
	}
	before := b.named(ctx, key)
	m := nats.NewMsg(b.subject(key))
	m.Header.Set(headerOperation, "PURGE")
	m.Header.Set(headerTTL, b.o.MarkerTTL.String())
	for {
		c := condition{at, revision}
		if revision == 0 {
			last, err := b.last(ctx, b.subject(key))
			if err != nil {
				return b.during("deleting", key, err)
			}
			if last == nil || isMarker(last.Header) {
				return nil
			}
			c.revision = last.Sequence
		}
		sequence, err := b.write(ctx, key, m, c)
		if isStreamFull(err) {
			sequence, err = b.deleteFull(ctx, key, m, c, err)
		}
		switch {
		case err == nil:
			b.wrote.add(key, sequence)
			b.remove(ctx, before)
		case revision == 0 && errors.Is(err, bucket.ErrChanged):
			continue
		}
		return err
	}
}

// deleteFull deletes from a bucket that has no room for the marker: what it is
// about is removed first.
func (b *Bucket) deleteFull(ctx context.Context, key string, m *nats.Msg, c condition, full error) (uint64, error) {
	last, err := b.last(ctx, m.Subject)
	if err != nil {
		return 0, b.during("deleting", key, err)
	}
	if last == nil || last.Sequence != c.revision {
		return 0, bucket.ErrChanged
	}
	s, err := b.ensure(ctx)
	if err != nil {
		return 0, b.during("deleting", key, err)
	}
	if err := s.stream.DeleteMsg(ctx, last.Sequence); err != nil {
		return 0, b.during("deleting", key, err)
	}
	var wait retry
	for {
		switch sequence, err := b.write(ctx, key, m, condition{kind: absent}); {
		case err == nil:
			return sequence, nil
		case errors.Is(err, bucket.ErrExists):
			return 0, nil // written again by somebody, after it was gone
		case !errors.Is(err, bucket.ErrFull):
			return 0, err
		}
		if err := wait.pause(ctx); err != nil {
			return 0, b.during("telling the end of", key, b.because(err, full))
		}
	}
}

// write sends the message until it is known what became of it. Its error is
// bucket's, or says that this could not be known.
func (b *Bucket) write(ctx context.Context, key string, m *nats.Msg, c condition) (uint64, error) {
	id := nuid.Next()
	m.Header.Set(headerID, id)
	expected := c.revision
	var wait retry
	for {
		m.Header.Del(headerExpected)
		if c.kind != always {
			m.Header.Set(headerExpected, strconv.FormatUint(expected, 10))
		}
		sequence, err := b.send(ctx, m)
		if isConflict(err) {
			sequence, expected, err = b.afterConflict(ctx, m, c)
		}
		switch {
		case err == nil && sequence != 0:
			return sequence, nil
		case errors.Is(err, bucket.ErrExists), errors.Is(err, bucket.ErrChanged):
			return 0, err
		case isFull(err), errors.Is(err, bucket.ErrFull):
			return 0, fmt.Errorf("writing %s to bucket %s: %w (%w)", key, b.name, bucket.ErrFull, err)
		case err != nil && isFinal(err):
			return 0, b.during("writing", key, err)
		}
		if ended := wait.pause(ctx); ended != nil {
			return 0, b.during("writing", key, b.because(ended, err))
		}
	}
}

// afterConflict finds out whether a write that was refused was made all the same,
// by an attempt whose answer was lost; and if not, whether the condition is still
// true, at the sequence to expect then: what was in the way was gone again, or a
// marker, or a write of somebody else that came to nothing.
func (b *Bucket) afterConflict(ctx context.Context, m *nats.Msg, c condition) (sequence, expected uint64, err error) {
	last, err := b.last(ctx, m.Subject)
	switch {
	case err != nil:
		return 0, c.revision, err
	case last != nil && last.Header.Get(headerID) == m.Header.Get(headerID):
		return last.Sequence, 0, nil
	case c.kind == at && (last == nil || last.Sequence != c.revision):
		return 0, 0, bucket.ErrChanged
	case c.kind == absent && last != nil && !isMarker(last.Header):
		return 0, 0, bucket.ErrExists
	case last == nil:
		return 0, 0, nil
	}
	return 0, last.Sequence, nil
}

// send makes one attempt.
func (b *Bucket) send(ctx context.Context, m *nats.Msg) (uint64, error) {
	if err := b.o.Room(); err != nil {
		return 0, fmt.Errorf("%w: %w", bucket.ErrFull, err)
	}
	if _, err := b.ensure(ctx); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	ack, err := b.js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
	if err != nil {
		b.forget(err)
		return 0, err
	}
	return ack.Sequence, nil
}
