package cli

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/drain"
	"github.com/imagegate/imagegate/provider/install"
	"github.com/imagegate/imagegate/provider/tlsfiles"
)

// life is how long the parts of a process run. Whichever of them ends with an error
// ends the others: a provider that no longer follows its files would serve an expired
// certificate one day.
type life struct {
	running *errgroup.Group
	// ending ends when the process is told to, alive with the last answer after it.
	ending, alive context.Context
	// answered is called after the last answer.
	answered context.CancelFunc
}

// newLife returns that of a process that is told to end by ctx, and what ends it.
func newLife(ctx context.Context) (life, context.CancelFunc) {
	running, all := errgroup.WithContext(context.WithoutCancel(ctx))
	alive, answered := context.WithCancel(all)
	ending, end := context.WithCancel(ctx)
	stop := context.AfterFunc(alive, end)
	return life{running: running, ending: ending, alive: alive, answered: answered}, func() {
		stop()
		end()
		answered()
	}
}

// succession finds who answers in this process's place by the address that Gatekeeper
// asks, where that is known.
func succession(c *config.Config, ending func() bool) (*drain.Succession, error) {
	if !c.Installs() || c.Install.Provider.URL == "" {
		return drain.NewSuccession(ending, nil, ""), nil
	}
	at, err := url.Parse(c.Install.Provider.URL)
	if err != nil {
		return nil, fmt.Errorf("install.provider.url: %w", err)
	}
	at.Path = "/readyz"
	files := tlsfiles.ClientFiles{CAFile: filepath.Join(c.Install.Certificates.Dir, install.CAFile)}
	transport := &http.Transport{DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		return tlsfiles.NewClient(files, nil).DialTLS(ctx, network, addr) // there is no file before the end of the start
	}}
	return drain.NewSuccession(ending, &http.Client{Transport: transport}, at.String()), nil
}
