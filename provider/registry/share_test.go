package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

func TestARegistryThatHangsLeavesTurnsToOthers(t *testing.T) {
	hanging, other := newRegistry(t, false), newRegistry(t, false)
	other.push("app:1")
	release := make(chan struct{})
	asked := make(chan struct{}, 100)
	hanging.breakWith(func(_ http.ResponseWriter, req *http.Request) {
		asked <- struct{}{}
		select {
		case <-release:
		case <-req.Context().Done():
		}
	})
	defer close(release)
	r := resolver(t, Options{Insecure: []string{hanging.host(), other.host()}, Timeout: time.Minute})
	r.shares = newShares(3, 2, 4)
	nobody, cancel := context.WithCancel(t.Context())
	cancel()
	ask := func(ctx context.Context, host string, i int) error {
		_, err := r.Resolve(ctx, fmt.Sprintf("%s/app:%d", host, i), "", Access{})
		return err
	}
	for i := range 4 {
		wantFailure(t, ask(nobody, hanging.host(), i), report.ReasonUnavailable) // goes on without its asker
	}
	<-asked
	<-asked
	for users := 0; users < 4; { // until all four have a turn or wait for one
		r.shares.mu.Lock()
		users = r.shares.hosts[hanging.host()].users
		r.shares.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	wantFailure(t, ask(t.Context(), hanging.host(), 5), report.ReasonUnavailable, "too many look-ups of registry "+hanging.host()+" are under way")
	if err := ask(t.Context(), other.host(), 1); err != nil {
		t.Errorf("the other registry: %v", err)
	}
}

func TestShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShares(2, 1, 2)
		first, err := s.take(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.take(soon, "a"); !errors.Is(err, errCrowded) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a turn with a registry that has none: %v", err)
		}
		second, err := s.take(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		soon, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.take(soon, "c"); errors.Is(err, errCrowded) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a turn when there is none at all: %v", err)
		}
		first()
		second()
		if len(s.hosts) != 0 || len(s.all) != 0 {
			t.Errorf("%d registries are remembered, %d turns are not given back", len(s.hosts), len(s.all))
		}
	})
}
