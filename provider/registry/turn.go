package registry

import (
	"errors"
	"fmt"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/turns"
)

const (
	// sharedLookups bounds the look-ups under way in all, hostLookups those of
	// one registry among them, and hostWaiting those and the ones that wait for
	// their turn: they outlive their askers.
	sharedLookups = 512
	hostLookups   = 64
	hostWaiting   = 512
)

// noTurn says that the registry was not even asked.
func (t target) noTurn(err error) *report.Failure {
	if errors.Is(err, turns.ErrCrowded) {
		return &report.Failure{
			Reason:  report.ReasonUnavailable,
			Message: fmt.Sprintf("too many look-ups of registry %s are under way; try again shortly", t.host()),
			Err:     err,
		}
	}
	return t.slow(err)
}
