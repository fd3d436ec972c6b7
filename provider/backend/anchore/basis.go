package anchore

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/internal/remote"
	"github.com/imagegate/imagegate/provider/report"
)

// about is what is remembered of the service itself.
type about struct {
	version string
	feedsAt time.Time
	// empty says that the service has feeds and has taken in none of them yet.
	empty bool
	until time.Time
}

const (
	aboutTTL     = 5 * time.Minute
	aboutTimeout = 5 * time.Second
)

// Generation returns who would judge an image now and when the service last
// took in new vulnerability data, at most five minutes old. Sysdig tells
// neither version nor time. Its errors are *report.Failure.
func (c *Client) Generation(ctx context.Context) (backend.Generation, error) {
	d, err := c.dialect(ctx)
	if err != nil {
		return backend.Generation{}, err
	}
	a, err := c.asked(ctx, d)
	if err != nil {
		return backend.Generation{}, err
	}
	return d.generation(a), nil
}

// Sharing is by name: the service reads images with credentials of its own,
// from the registry and under the tag that it is told, and chooses its policy by
// them.
func (c *Client) Sharing(backend.Image) backend.Sharing { return backend.ByName }

// basis is the Generation of a verdict. Not knowing it is no reason to lose the
// verdict: then it is what was known last. To know that there is no vulnerability
// data is one: without it a service finds nothing in any image.
func (c *Client) basis(ctx context.Context, d dialect) (backend.Generation, error) {
	a, _ := c.asked(ctx, d)
	if a.empty {
		return backend.Generation{}, &report.Failure{
			Reason: report.ReasonUnavailable, Message: "the scanner has not taken in any vulnerability data yet; ask again later",
		}
	}
	return d.generation(a), nil
}

func (d dialect) generation(a about) backend.Generation {
	g := backend.Generation{Scanner: d.product, DatabaseBuiltAt: a.feedsAt}
	if a.version != "" {
		g.Scanner += " " + a.version
	}
	return g
}

// asked returns what is known of the service, after asking it when that is
// old. What it does not tell any more stays as it was: a service that has a
// bad moment must not look like another one.
func (c *Client) asked(ctx context.Context, d dialect) (about, error) {
	c.mu.Lock()
	a := c.about
	c.mu.Unlock()
	if d.api == Sysdig || time.Now().Before(a.until) {
		return a, nil
	}
	ctx, cancel := context.WithTimeout(ctx, aboutTimeout)
	defer cancel()
	r, err := c.call(ctx, d.api, remote.Request{Method: http.MethodGet, Path: "/version", Limit: maxSmallBody})
	if err != nil {
		return a, err
	}
	if v := version(r); v != "" {
		a.version = v
	}
	if r, err = c.call(ctx, d.api, remote.Request{Method: http.MethodGet, Path: "/system/feeds", Limit: maxSmallBody}); err != nil {
		return a, err
	}
	at, empty := feedsAt(r)
	if !at.IsZero() {
		a.feedsAt = at
	}
	a.empty = empty
	if !empty { // it may take them in any moment
		a.until = time.Now().Add(aboutTTL)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.about = a
	return a, nil
}

func version(r *remote.Reply) string {
	var body struct {
		Service struct {
			Version string `json:"version"`
		} `json:"service"`
	}
	if r.Status != http.StatusOK || json.Unmarshal(r.Body, &body) != nil || len(body.Service.Version) > 40 {
		return ""
	}
	return body.Service.Version
}

// feedsAt returns how old the data of the feeds is: that of the one taken in
// longest ago, since a feed that has stopped must not hide behind another that
// goes on. Feeds that were never taken in are passed over (a service has several
// kinds and uses some); empty says that all were never. An answer that cannot be
// read tells nothing.
func feedsAt(r *remote.Reply) (oldest time.Time, empty bool) {
	var feeds []struct {
		Enabled      *bool     `json:"enabled"`
		LastFullSync time.Time `json:"last_full_sync"`
	}
	if r.Status != http.StatusOK || json.Unmarshal(r.Body, &feeds) != nil {
		return time.Time{}, false
	}
	used := 0
	for _, f := range feeds {
		if f.Enabled != nil && !*f.Enabled {
			continue
		}
		used++
		if at := f.LastFullSync.UTC(); !at.IsZero() && (oldest.IsZero() || at.Before(oldest)) {
			oldest = at
		}
	}
	return oldest, used > 0 && oldest.IsZero()
}
