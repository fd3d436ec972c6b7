package service_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
)

// A key that is taken away takes away at once what was signed with it.
func TestAScanOfAKeyThatIsGoneIsMadeAgain(t *testing.T) {
	var scans atomic.Int32
	var revoked atomic.Bool
	svc := newService(t, registryFunc(oneManifest), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
		if scans.Add(1) == 1 {
			s := clean()
			s.SignedBy = []string{"key"}
			return s, nil
		}
		return vulnerable(), nil
	}), func(o *service.Options) {
		o.Trusts = func(s *report.Scan) bool { return len(s.SignedBy) == 0 || !revoked.Load() }
	})
	defer closeService(t, svc)
	for range 2 {
		if r := ask(t, svc, "a", time.Minute); r.Status != report.Accepted {
			t.Fatalf("%+v", r)
		}
	}
	revoked.Store(true)
	if r := ask(t, svc, "a", time.Minute); r.Status != report.Rejected || scans.Load() != 2 {
		t.Errorf("%+v after %d scans", r, scans.Load())
	}
}
