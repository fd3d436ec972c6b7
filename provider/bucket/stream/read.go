package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/imagegate/imagegate/provider/bucket"
)

// catchUp is how long a leader is believed to be behind what this process wrote:
// one that was just elected may be. After that the write is lost.
const catchUp = 3 * time.Second

// leaderTimeout is how long the leader has for an answer before another replica
// is asked.
const leaderTimeout = 500 * time.Millisecond

// Get returns the entry, or nil.
func (b *Bucket) Get(ctx context.Context, key string) (*bucket.Entry, error) {
	ctx, cancel, err := b.begin(ctx, key)
	defer cancel()
	if err != nil {
		return nil, err
	}
	var wait retry
	for {
		m, err := b.read(ctx, key)
		if err != nil {
			return nil, b.during("reading", key, err)
		}
		if m == nil || isMarker(m.Header) {
			return nil, nil
		}
		e, err := b.entry(ctx, m, true)
		switch {
		case err == nil:
			return e, nil
		case !errors.Is(err, errPieces):
			return nil, b.during("reading", key, err)
		case wait.next == lastPause:
			b.log.Warn("a value cannot be read whole; it counts as gone", "key", key, "error", err)
			return nil, nil
		}
		// It was replaced meanwhile, or this replica of the stream is behind.
		if ended := wait.pause(ctx); ended != nil {
			return nil, b.during("reading", key, b.because(ended, err))
		}
	}
}

// read returns the key's message, of the leader: a replica that catches up may be
// behind for long, and lack what has been there all the time, since it first
// removes what was replaced and later has what replaced it. Only while there is no
// leader any replica is believed, in what it has, unless that is behind what this
// process wrote.
func (b *Bucket) read(ctx context.Context, key string) (*jetstream.RawStreamMsg, error) {
	subject := b.subject(key)
	if !b.replicated() {
		return b.near(ctx, subject)
	}
	own := b.wrote.get(key)
	var wait retry
	for begun := time.Now(); ; {
		m, err := b.askOnce(ctx, leaderTimeout, b.leader(subject))
		switch {
		case isFinal(err):
			return nil, err
		case err != nil:
			b.forget(err)
			if m, err := b.askOnce(ctx, leaderTimeout, b.replica(subject)); err == nil && m != nil && own <= m.Sequence {
				return m, nil
			}
		case own <= sequence(m):
			return m, nil
		case m == nil && b.hasPassed(ctx, own):
			return nil, nil // what was written last was a marker, which has ended
		case time.Since(begun) > catchUp:
			b.wrote.forget(key)
			return m, nil
		}
		if ended := wait.pause(ctx); ended != nil {
			return nil, b.because(ended, err)
		}
	}
}

// replicated reports whether there are others than the leader.
func (b *Bucket) replicated() bool {
	s := b.made.Load()
	return s == nil || s.stream.CachedInfo().Config.Replicas > 1
}

// hasPassed reports whether the leader knows of the sequence or later ones.
func (b *Bucket) hasPassed(ctx context.Context, sequence uint64) bool {
	s, err := b.ensure(ctx)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	info, err := s.stream.Info(ctx)
	return err == nil && info.State.LastSeq >= sequence
}

func sequence(m *jetstream.RawStreamMsg) uint64 {
	if m == nil {
		return 0
	}
	return m.Sequence
}

// near asks any replica for the last message of a subject: nil when it has none.
func (b *Bucket) near(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	return b.ask(ctx, b.replica(subject))
}

// last asks the leader, who knows of every write that was acknowledged. The
// subject may have wildcards.
func (b *Bucket) last(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	return b.ask(ctx, b.leader(subject))
}

// question is one request for a message. Its error is ErrMsgNotFound for none.
type question func(context.Context, *made) (*jetstream.RawStreamMsg, error)

func (b *Bucket) replica(subject string) question {
	return func(ctx context.Context, s *made) (*jetstream.RawStreamMsg, error) {
		return s.stream.GetLastMsgForSubject(ctx, subject)
	}
}

func (b *Bucket) leader(subject string) question {
	return func(ctx context.Context, _ *made) (*jetstream.RawStreamMsg, error) { return b.askLeader(ctx, subject) }
}

// ask asks until there is an answer.
func (b *Bucket) ask(ctx context.Context, q question) (*jetstream.RawStreamMsg, error) {
	var wait retry
	for {
		m, err := b.askOnce(ctx, attemptTimeout, q)
		if err == nil || isFinal(err) {
			return m, err
		}
		b.forget(err)
		if ended := wait.pause(ctx); ended != nil {
			return nil, b.because(ended, err)
		}
	}
}

func (b *Bucket) askOnce(ctx context.Context, timeout time.Duration, q question) (*jetstream.RawStreamMsg, error) {
	s, err := b.ensure(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	m, err := q(ctx, s)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	return m, err
}

// askLeader is what nats.go does itself only for streams that do not let replicas
// answer.
func (b *Bucket) askLeader(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	request, err := json.Marshal(map[string]string{"last_by_subj": subject})
	if err != nil {
		return nil, err
	}
	reply, err := b.conn.RequestWithContext(ctx, b.api("STREAM.MSG.GET."+b.StreamName()), request)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	switch err := json.Unmarshal(reply.Data, &answer); {
	case err != nil:
		return nil, fmt.Errorf("the answer of NATS: %w", err)
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, jetstream.ErrMsgNotFound
	case answer.Error != nil:
		return nil, answer.Error
	case answer.Message == nil:
		return nil, jetstream.ErrInvalidJetStreamResponse
	}
	m := answer.Message
	header := nats.Header{}
	if len(m.Header) > 0 {
		if header, err = nats.DecodeHeadersMsg(m.Header); err != nil {
			return nil, fmt.Errorf("the answer of NATS: %w", err)
		}
	}
	return &jetstream.RawStreamMsg{Subject: m.Subject, Sequence: m.Seq, Header: header, Data: m.Data, Time: m.Time}, nil
}

// api is the subject of a request to JetStream.
func (b *Bucket) api(request string) string {
	switch o := b.js.Options(); {
	case o.Domain != "":
		return "$JS." + o.Domain + ".API." + request
	case o.APIPrefix != "":
		return strings.TrimSuffix(o.APIPrefix, ".") + "." + request
	}
	return jetstream.DefaultAPIPrefix + request
}

// entry makes one of a message that is no marker. Its error is errPieces when the
// value's are not there. A message that cannot be read, of a newer version of this
// package or by another hand, is an entry without a value: it says nothing, but a
// watch goes on past it, and a write at its revision takes its place.
func (b *Bucket) entry(ctx context.Context, m *jetstream.RawStreamMsg, withValue bool) (*bucket.Entry, error) {
	e := &bucket.Entry{Key: b.key(m.Subject), Size: len(m.Data), Revision: m.Sequence, Written: m.Time}
	meta, large, size, err := headers(m.Header)
	if err != nil {
		b.log.Warn("an entry cannot be read and counts as one without a value", "key", e.Key, "revision", e.Revision, "error", err)
		return e, nil
	}
	e.Meta = meta
	switch {
	case large != nil:
		b.objects.Store(true)
		e.Size = large.size
	case !withValue:
		e.Size = size
	}
	if !withValue {
		return e, nil
	}
	e.Value = m.Data
	if large != nil {
		e.Value, err = b.readObject(ctx, large)
	}
	return e, err
}

// headers reads those of a message. size is that of its value where it comes
// without it.
func headers(h nats.Header) (meta bucket.Meta, large *object, size int, err error) {
	if meta, err = decodeMeta(h.Get(headerMeta)); err != nil {
		return nil, nil, 0, err
	}
	if large, err = parseObject(h.Get(headerObject)); err != nil {
		return nil, nil, 0, err
	}
	size, err = headerInt(h, headerSize)
	return meta, large, size, err
}
