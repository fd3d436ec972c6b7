package registry

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/turns"
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
	r.turns = turns.New(3, 2, 4)
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
	for r.turns.Users(hanging.host()) < 4 { // until all four have a turn or wait for one
		time.Sleep(time.Millisecond)
	}
	wantFailure(t, ask(t.Context(), hanging.host(), 5), report.ReasonUnavailable, "too many look-ups of registry "+hanging.host()+" are under way")
	if err := ask(t.Context(), other.host(), 1); err != nil {
		t.Errorf("the other registry: %v", err)
	}
}
