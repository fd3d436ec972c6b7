package registry

import (
	"context"
	"errors"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/turns"
)

// lookupTurns bound the look-ups under way in all, those of one registry among
// them, and those that wait for their turn: they outlive their askers. What
// waits is a goroutine each.
func lookupTurns() turns.Limits {
	return turns.Limits{Turns: 512, PerRegistry: 64, Waiting: 2048}
}

// noTurn says that the registry was not even asked.
func (t target) noTurn(err error) *report.Failure {
	if errors.Is(err, turns.ErrCrowded) {
		return &report.Failure{
			Reason:  report.ReasonUnavailable,
			Message: "too many look-ups are under way already; registry " + t.host() + " was not asked, try again shortly",
			Err:     err,
		}
	}
	return t.slow(err)
}

// namespaceKey is the context key for whose namespace a registry is asked.
type namespaceKey struct{}

// onBehalf has the requests under ctx count as the namespace's.
func onBehalf(ctx context.Context, namespace string) context.Context {
	return context.WithValue(ctx, namespaceKey{}, namespace)
}

// behalf returns whose request ctx is; empty is nobody's in particular.
func behalf(ctx context.Context) string {
	namespace, _ := ctx.Value(namespaceKey{}).(string)
	return namespace
}
