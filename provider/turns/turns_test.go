package turns_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imagegate/imagegate/provider/turns"
)

// Turns are bounded in all and for each registry, and are given back.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := turns.New(2, 1, 2)
		first, err := s.Take(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Take(soon, "a"); !errors.Is(err, turns.ErrCrowded) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a turn with a registry that has none: %v", err)
		}
		second, err := s.Take(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		soon, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Take(soon, "c"); errors.Is(err, turns.ErrCrowded) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a turn when there is none at all: %v", err)
		}
		first()
		second()
		for _, registry := range []string{"a", "b", "c"} {
			if n := s.Users(registry); n != 0 {
				t.Errorf("%d turns of %s are not given back", n, registry)
			}
		}
		// All turns are there again.
		for _, registry := range []string{"a", "b"} {
			if _, err := s.Take(t.Context(), registry); err != nil {
				t.Error(err)
			}
		}
		// The second of a registry waits; there is no place for a third.
		waiting, end := context.WithCancel(t.Context())
		defer end()
		go func() { _, _ = s.Take(waiting, "a") }()
		synctest.Wait()
		if _, err := s.Take(t.Context(), "a"); !errors.Is(err, turns.ErrCrowded) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one more than may wait: %v", err)
		}
	})
}
