package route

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/report"
)

// Generations returns what every backend is based on. For one that does not
// answer that is what it told last, or the zero Generation when it never has.
// The error names those, and does not keep the rest from being used: a team's
// scanner that is down must not stop the others' images from being scanned
// again on a new database.
func (r *Router) Generations(ctx context.Context) ([]backend.Generation, error) {
	errs := make([]error, len(r.routes))
	var wg sync.WaitGroup
	for i, route := range r.routes {
		wg.Go(func() {
			defer report.Recover(&errs[i])
			g, err := route.Backend.Generation(ctx)
			if err != nil {
				errs[i] = fmt.Errorf("scanner for %q: %w", route.Prefix, err)
				return
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.last[i] = g
		})
	}
	wg.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.last), errors.Join(errs...)
}
