package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/drain"
	"github.com/imagegate/imagegate/provider/install"
	"github.com/imagegate/imagegate/provider/server"
	"github.com/imagegate/imagegate/provider/tlsfiles"
)

// readiness is what must be so for requests to make sense here, which is not the
// same for all roles.
//
// A replica that answers needs its certificate, and reports to answer from: the
// store, or as long as that is away those that it has in memory. When NATS is
// away it is away from all replicas, mostly: to take all of them out of service
// would deny every Pod, and not only those whose report is not at hand. For the
// same reason it does not need a scanner while there are reports, and what is not
// scanned yet waits in the queue. A worker needs both.
type readiness struct {
	role config.Role
	// files are nil where there is no certificate.
	files *tlsfiles.Server
	// installer is nil where nothing is installed.
	installer *install.Installer
	// draining says that the process was told to end.
	draining   func() bool
	succession *drain.Succession
	// shared is there once it is open, parts once all of them are.
	shared atomic.Pointer[shared]
	parts  atomic.Pointer[parts]
}

func (r *readiness) checks(ctx context.Context) []server.Check {
	var list []server.Check
	if r.draining() {
		// Who is the last to answer is asked for as long as it is ready.
		list = append(list, server.Check{Name: "process", Err: errors.New("shutting down"), Needed: !r.succession.Alone()})
	}
	if r.files != nil {
		list = append(list, server.Check{Name: "certificate", Err: r.files.Ready(), Needed: true})
	}
	var storeCheck, scannerCheck server.Check
	var wg sync.WaitGroup
	wg.Go(func() { storeCheck = r.store(ctx) })
	wg.Go(func() { scannerCheck = r.scanner(ctx) })
	wg.Wait()
	return append(append(list, storeCheck, scannerCheck), r.installed()...)
}

func (r *readiness) store(ctx context.Context) server.Check {
	c := server.Check{Name: "store", Needed: true}
	s := r.shared.Load()
	if s == nil {
		c.Err = errors.New("it is being opened")
		return c
	}
	if c.Err = s.bus.Ready(ctx); c.Err == nil {
		if c.Err = s.reports.Ready(ctx); r.parts.Load() == nil {
			c.Err = errors.New("it is being read")
		}
	}
	if n := s.reports.InMemory(); c.Err != nil && n > 0 && r.role.Answers() {
		c.Err, c.Needed = fmt.Errorf("%w; images are answered whose report is one of %d in memory", c.Err, n), false
	}
	return c
}

func (r *readiness) scanner(ctx context.Context) server.Check {
	c := server.Check{Name: "scanner", Needed: true}
	p := r.parts.Load()
	if p == nil {
		c.Err = errors.New("it is being started")
		return c
	}
	if r.role == config.RoleAPI {
		c.Needed = false
		if p.service.Queue().Slots() == 0 {
			c.Err = errors.New("no scan worker is running; what is asked for waits")
		}
		return c
	}
	c.Err = p.scanners.Ready(ctx)
	if r.role.Answers() {
		_, reports := p.shared.reports.Bytes()
		c.Needed = reports == 0
	}
	return c
}
