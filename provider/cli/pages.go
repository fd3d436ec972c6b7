package cli

import (
	"context"
	"net/http"

	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/view"
)

// asPages has the parts remember how images are asked for, where there are pages to
// show that.
func (p *parts) asPages(c *config.Config) {
	if c.View.Listen != "" {
		p.names = view.NewNames(view.NamesBytes)
		p.seen = p.names.Saw
	}
}

// show answers people as far as the process has come.
func (f *front) show(w http.ResponseWriter, r *http.Request) {
	(*f.shows.Load()).ServeHTTP(w, r)
}

func (f *front) showStarting() {
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "2")
		http.Error(w, "the provider is starting and has not read its store yet; try again shortly", http.StatusServiceUnavailable)
	})
	f.shows.Store(&h)
}

// openPages shows what the parts know, which are all there.
func (f *front) openPages(p *parts) error {
	if f.pages == nil {
		return nil
	}
	o := view.Options{
		Reports: p.shared.reports, Scans: p.service, Judge: p.judge, Names: p.names, Logger: p.log, Metrics: p.metrics,
		Ready: func(ctx context.Context) []view.Part {
			checks := f.ready.checks(ctx)
			parts := make([]view.Part, len(checks))
			for i, c := range checks {
				parts[i] = view.Part(c)
			}
			return parts
		},
	}
	if p.inventory != nil {
		o.Inventory = p.inventory
	}
	if p.shared.denials != nil {
		o.Denials = p.shared.denials
	}
	v, err := view.New(o)
	if err != nil {
		return err
	}
	p.background = append(p.background, v.Run)
	var h http.Handler = v
	f.shows.Store(&h)
	return nil
}
