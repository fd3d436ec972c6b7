package queue

import (
	"encoding/json"
	"errors"
)

// Scope is for which asks an outcome counts.
type Scope string

// The scopes.
const (
	// OfJob: whoever asked for this very job.
	OfJob Scope = "job"
	// OfGroup: all jobs of its group.
	OfGroup Scope = "group"
	// OfResult: all jobs of its result.
	OfResult Scope = "result"
)

// Outcome is what came of a job: a few bytes that say where the result is, or
// why there is none.
type Outcome struct {
	Scope  Scope           `json:"scope"`
	Detail json.RawMessage `json:"detail,omitempty"`
}

// Reason says why an ask is taken off the queue without its job having been
// done. The set is closed.
type Reason string

// The reasons.
const (
	// ReasonFull: others waited for less.
	ReasonFull Reason = "full"
	// ReasonAbandoned: nobody repeated it for long.
	ReasonAbandoned Reason = "abandoned"
	// ReasonPurged: somebody who runs the system wanted it off.
	ReasonPurged Reason = "purged"
)

var (
	// ErrFull means that there is no room for one more ask.
	ErrFull = errors.New("too many scans are waiting already; try again later")
	// ErrPurged means that the ask was taken off by hand.
	ErrPurged = errors.New("the scan was taken off the queue by an operator; ask again to have it made")
	// ErrUnwritten means that the ask could not be written down.
	ErrUnwritten = errors.New("the scan cannot be queued, since the store of the scan queue does not answer")
	// ErrUnknown means that it ended and nobody here saw how, since the bucket could
	// not be followed, for instance.
	ErrUnknown = errors.New("the scan has ended, and what came of it is not known here; ask again")
)

func (r Reason) err() error {
	switch r {
	case ReasonFull:
		return ErrFull
	case ReasonAbandoned:
		return ErrAbandoned
	case ReasonPurged:
		return ErrPurged
	default:
		return ErrUnknown
	}
}
