package review

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/imagegate/imagegate/provider/review/loopback"
	"github.com/imagegate/imagegate/provider/wire"
)

// liveStart is for the start of a provider of one's own, whose scanner may have
// to download its database first.
const liveStart = 5 * time.Minute

// onDemand starts the live provider when something is first asked of it: rules
// that ask for no report need no scanner.
type onDemand struct {
	ctx  context.Context //nolint:containedctx // of the whole review, which the provider outlives no single question of
	live Live
	wait time.Duration

	mu      sync.Mutex
	asked   bool
	handler http.Handler
	end     func()
	err     error
}

// ServeHTTP answers as the provider does, or with why there is none.
func (d *onDemand) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, err := d.started()
	if err != nil {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(wire.SystemError(err.Error())) // the engine is told, and failed tells the rest
		return
	}
	h.ServeHTTP(w, r)
}

// started returns the provider, which the first question starts.
func (d *onDemand) started() (http.Handler, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.asked {
		return d.handler, d.err
	}
	d.asked = true
	h, end, err := d.live(d.ctx)
	if err != nil {
		d.err = err
		return nil, err
	}
	d.handler, d.end = loopback.Patient(h, d.wait), end
	return d.handler, nil
}

// failed is why the provider that was asked for did not start.
func (d *onDemand) failed() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// close ends the provider, if it was started.
func (d *onDemand) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.end != nil {
		d.end()
	}
}
