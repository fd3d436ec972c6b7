package bus

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// routePing is how often peers ask each other whether they are there.
const routePing = 3 * time.Second

// clusterOptions makes the server one of the cluster's.
func (e *embedded) clusterOptions(o *server.Options, c *Cluster) error {
	host, port, err := splitAddress(c.Listen)
	if err != nil {
		return fmt.Errorf("cluster listen: %w", err)
	}
	o.ServerName = c.Name
	o.Cluster = server.ClusterOpts{
		Name:        e.o.Prefix,
		Host:        host,
		Port:        port,
		Advertise:   c.Peers[c.Name],
		NoAdvertise: true, // clients are told of no address that is not theirs
		// One connection for each pair: with several, one of them may be down unnoticed.
		PoolSize: -1,
		// A peer that is cut off is noticed within three times as long.
		PingInterval: routePing,
		MaxPingsOut:  2,
		TLSConfig:    peerTLS(e.tls, c),
		TLSTimeout:   connectTimeout.Seconds(),
	}
	for name, address := range c.Peers {
		if name != c.Name {
			o.Routes = append(o.Routes, &url.URL{Scheme: "nats-route", Host: address})
		}
	}
	// A server that takes no clients at all would take no routes either.
	o.DontListen = false
	o.Host, o.Port = "127.0.0.1", server.RANDOM_PORT
	if c.ClientListen != "" {
		if o.Host, o.Port, err = splitAddress(c.ClientListen); err != nil {
			return fmt.Errorf("cluster clientListen: %w", err)
		}
	}
	o.TLSConfig = clientTLS(e.tls, c)
	o.TLS, o.TLSVerify = true, true
	o.TLSTimeout = connectTimeout.Seconds()
	return nil
}

// peers returns which other servers of the cluster there are routes to, and which
// are missing.
func (e *embedded) peers() (here, missing []string) {
	s := e.current.Load()
	if s == nil || e.o.Cluster == nil {
		return nil, nil
	}
	routes, err := s.Routez(nil)
	if err != nil {
		return nil, nil
	}
	for name := range e.o.Cluster.Peers {
		switch {
		case name == e.o.Cluster.Name:
		case slices.ContainsFunc(routes.Routes, func(r *server.RouteInfo) bool { return r.RemoteName == name }):
			here = append(here, name)
		default:
			missing = append(missing, name)
		}
	}
	slices.Sort(here)
	slices.Sort(missing)
	return here, missing
}

// trouble says what is wrong with the server, if anything is known.
func (e *embedded) trouble() string {
	if e.current.Load() == nil {
		return e.reason().Error()
	}
	if _, missing := e.peers(); len(missing) > 0 {
		return fmt.Sprintf("%d of %d servers of the cluster are missing: %s", len(missing), len(e.o.Cluster.Peers), strings.Join(missing, ", "))
	}
	if err := e.disk.check(); err != nil {
		return err.Error()
	}
	return ""
}

// nag tells the log which servers of a cluster are missing, until ctx ends.
func (e *embedded) nag(ctx context.Context) {
	said, waited, complete := time.Time{}, 0, false
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		here, missing := e.peers()
		switch {
		case e.current.Load() == nil:
		case len(missing) == 0 && !complete:
			waited, complete = 0, true
			e.log.Info("all servers of the NATS cluster are here", "peers", here)
		case len(missing) > 0 && (len(missing) != waited || time.Since(said) > nagEvery):
			said, waited, complete = time.Now(), len(missing), false
			e.log.Warn("waiting for servers of the NATS cluster", "missing", missing, "here", append(here, e.o.Cluster.Name), "majority", len(e.o.Cluster.Peers)/2+1)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}
