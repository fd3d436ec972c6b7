package stream

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// retry pauses between attempts, longer each time.
type retry struct{ next time.Duration }

const (
	firstPause = 20 * time.Millisecond
	lastPause  = time.Second
)

// pause waits, or returns ctx's error. It also does so when ctx would end
// meanwhile: a call ends with the reason that it knows.
func (r *retry) pause(ctx context.Context) error {
	r.next = min(max(2*r.next, firstPause), lastPause)
	d := r.next/2 + rand.N(r.next/2+1) //nolint:gosec // spreads retries, guards nothing
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// The codes of errors that nats.go has no name for.
const (
	codeNoPeers            jetstream.ErrorCode = 10005
	codeMemoryExceeded     jetstream.ErrorCode = 10028
	codeStorageExceeded    jetstream.ErrorCode = 10047
	codeInsufficient       jetstream.ErrorCode = 10023
	codeReplicasNotAllowed jetstream.ErrorCode = 10074
	codeStoreFailed        jetstream.ErrorCode = 10077
	codeDuplicateInFlight  jetstream.ErrorCode = 10158
)

func code(err error) jetstream.ErrorCode {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.ErrorCode
	}
	return 0
}

// isConflict: the key is not at the sequence that was expected, or is being
// written by somebody else.
func isConflict(err error) bool {
	c := code(err)
	return c == jetstream.JSErrCodeStreamWrongLastSequence || c == jetstream.JSErrCodeStreamWrongLastSequenceConstant
}

// isFull: there is no room, in the stream or for all of them.
func isFull(err error) bool {
	c := code(err)
	return c == codeMemoryExceeded || c == codeStorageExceeded || c == codeInsufficient || isStreamFull(err) ||
		c == codeStoreFailed && strings.Contains(err.Error(), "no space left")
}

func isStreamFull(err error) bool {
	return code(err) == codeStoreFailed && strings.Contains(err.Error(), "maximum bytes exceeded")
}

// isLost: there may be no stream.
func isLost(err error) bool {
	return errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) ||
		code(err) == jetstream.JSErrCodeStreamNotFound
}

// isFinal: asking again changes nothing.
func isFinal(err error) bool {
	if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrMaxPayload) {
		return true
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode {
	case codeDuplicateInFlight, codeNoPeers, jetstream.JSErrCodeStreamNotFound, jetstream.JSErrCodeStreamNameInUse,
		jetstream.JSErrCodeJetStreamNotEnabled, jetstream.JSErrCodeJetStreamNotEnabledForAccount:
		return false // they may end: a write under way, a server that is missing, a stream being made
	default:
		return api.Code >= 400 && api.Code < 500
	}
}
