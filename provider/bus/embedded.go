package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/imagegate/imagegate/provider/tlsfiles"
)

const (
	// startTimeout bounds the start of a server, which reads what it has stored.
	startTimeout = 5 * time.Minute
	// watchEvery is how often it is looked whether the server still runs.
	watchEvery = time.Second
	// nagEvery is how often the log is told what is waited for.
	nagEvery = 15 * time.Second
)

// embedded is a server in this process. Its files are held by a lock; when its
// JetStream gives up, as on a full disk, it is started anew.
type embedded struct {
	o    *Options
	log  *slog.Logger
	dir  string // of lock, ledger and store
	lock *os.File
	tls  *tlsfiles.Client // nil without a cluster

	current atomic.Pointer[server.Server]
	disk    disk
	ledger  ledger

	mu   sync.Mutex
	down error // why it does not run
}

// InProcessConn implements nats.InProcessConnProvider with whatever server runs.
func (e *embedded) InProcessConn() (net.Conn, error) {
	s := e.current.Load()
	if s == nil {
		return nil, e.reason()
	}
	return s.InProcessConn()
}

func (e *embedded) reason() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down == nil {
		return errors.New("the embedded server is being started")
	}
	return e.down
}

func (e *embedded) setReason(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.down = err
}

// embed starts the server and connects to it.
func (b *Bus) embed(ctx context.Context) (*nats.Conn, error) {
	e := &embedded{o: &b.o, log: b.log, dir: filepath.Join(b.o.DataDir, "nats")}
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return nil, fmt.Errorf("dataDir: %w", err)
	}
	var err error
	if e.lock, err = lockFolder(e.dir); err != nil {
		return nil, fmt.Errorf("dataDir: %w", err)
	}
	b.server = e
	e.disk = disk{dir: e.dir, least: b.o.MinFree}
	if err := e.ledger.open(filepath.Join(e.dir, "buckets.json")); err != nil {
		return nil, err
	}
	if c := b.o.Cluster; c != nil {
		e.tls = b.follow(tlsfiles.ClientFiles{CAFile: c.TLS.CAFile, CertFile: c.TLS.CertFile, KeyFile: c.TLS.KeyFile, Side: "nats"})
	}
	if err := e.start(ctx); err != nil {
		return nil, err
	}
	b.background.Go(func() { e.keep(b.ended) })
	if b.o.Cluster != nil {
		b.background.Go(func() { e.nag(b.ended) })
	}
	conn, err := nats.Connect("", append(b.common(), nats.InProcessServer(e))...)
	if err != nil {
		return nil, fmt.Errorf("connecting to the embedded server: %w", err)
	}
	return conn, nil
}

// serverOptions returns the options of a server that is about to be started.
func (e *embedded) serverOptions() (*server.Options, error) {
	o := &server.Options{
		ServerName:             "imagegate",
		DontListen:             true,
		NoSigs:                 true,
		NoSystemAccount:        false,
		DisableJetStreamBanner: true,
		JetStream:              true,
		JetStreamMaxMemory:     e.o.MaxMemory,
		JetStreamMaxStore:      e.o.MaxBytes,
		StoreDir:               e.dir,
		SyncInterval:           e.o.SyncEvery,
		SyncAlways:             e.o.Sync == SyncAlways,
		MaxControlLine:         4096,
		MaxPayload:             1 << 20,
		MaxPending:             64 << 20,
		LameDuckDuration:       2 * time.Second,
		LameDuckGracePeriod:    100 * time.Millisecond,
	}
	if e.o.Cluster != nil {
		return o, e.clusterOptions(o, e.o.Cluster)
	}
	return o, nil
}

// start starts a server, and waits until it has read what it has stored.
func (e *embedded) start(ctx context.Context) error {
	o, err := e.serverOptions()
	if err != nil {
		return err
	}
	s, err := server.NewServer(o)
	if err != nil {
		return fmt.Errorf("the embedded server: %w", err)
	}
	log := &serverLog{log: e.log}
	s.SetLoggerV2(log, e.log.Enabled(ctx, slog.LevelDebug), false, false)
	begun, started := time.Now(), make(chan struct{})
	go func() {
		defer close(started)
		s.Start()
	}()
	limit := time.NewTimer(startTimeout)
	defer limit.Stop()
	select {
	case <-started:
	case <-ctx.Done():
		err = ctx.Err()
	case <-limit.C:
		err = fmt.Errorf("it has not started within %s", startTimeout)
	}
	if err == nil {
		err = e.started(s, log)
	}
	if err != nil {
		s.Shutdown()
		s.WaitForShutdown()
		return err
	}
	e.log.Info("the embedded NATS server runs", "dataDir", e.dir, "after", time.Since(begun).Round(time.Millisecond))
	e.current.Store(s)
	return nil
}

// started returns why a server that was started does not run.
func (e *embedded) started(s *server.Server, log *serverLog) error {
	switch fatal := log.fatal(); {
	case fatal != "" && !s.JetStreamEnabled():
		return fmt.Errorf("dataDir: the store in %s cannot be opened: %s; when nothing else helps, remove this folder: reports and queued scans in it are lost and made again", e.store(), fatal)
	case fatal != "":
		return fmt.Errorf("the embedded server: %s", fatal)
	case !s.JetStreamEnabled():
		return errors.New("the embedded server: JetStream has not started")
	}
	return nil
}

// store is the folder that JetStream's files are in.
func (e *embedded) store() string { return filepath.Join(e.dir, server.JetStreamStoreDir) }

// keep starts the server anew whenever its JetStream has given up, until ctx
// ends.
func (e *embedded) keep(ctx context.Context) {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for failed := 0; ; {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		s := e.current.Load()
		if s != nil && s.Running() && s.JetStreamEnabled() {
			failed = 0
			continue
		}
		if s != nil {
			e.log.Error("the embedded NATS server has given up; it is started anew", "dataDir", e.dir, "error", e.disk.check())
			e.setReason(errors.New("the embedded server has given up and is started anew"))
			e.current.Store(nil)
			s.Shutdown()
			s.WaitForShutdown()
		}
		if err := e.start(ctx); err != nil && ctx.Err() == nil {
			e.setReason(err)
			if failed++; failed == 1 {
				e.log.Error("the embedded NATS server cannot be started; it is tried again", "dataDir", e.dir, "error", err)
			}
		}
	}
}

// room returns why nothing may be written now. A server whose disk is full gives
// up reading as well: it is not let come to that.
func (e *embedded) room() error { return e.disk.check() }

// made is told when a bucket is found, or was made: one that was there before is
// a loss.
func (e *embedded) made(name string, created bool) {
	known, err := e.ledger.add(name)
	if err != nil {
		e.log.Warn("it cannot be noted which buckets there are", "error", err)
	}
	if created && known {
		e.log.Error("a bucket that was there before is lost and begins empty; what it held is made again", "bucket", name, "dataDir", e.dir)
	}
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
	said, complete := time.Time{}, false
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		here, missing := e.peers()
		switch {
		case e.current.Load() == nil:
		case len(missing) == 0 && !complete:
			complete = true
			e.log.Info("all servers of the NATS cluster are here", "peers", here)
		case len(missing) > 0 && time.Since(said) > nagEvery:
			said, complete = time.Now(), false
			e.log.Warn("waiting for servers of the NATS cluster", "missing", missing, "here", append(here, e.o.Cluster.Name), "majority", len(e.o.Cluster.Peers)/2+1)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// stop ends the server and lets go of its files.
func (e *embedded) stop() {
	if s := e.current.Swap(nil); s != nil {
		if e.o.Cluster != nil {
			s.LameDuckShutdown() // others lead first
		}
		s.Shutdown()
		s.WaitForShutdown()
	}
	if e.lock != nil {
		_ = e.lock.Close()
		e.lock = nil
	}
}

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
		TLSConfig:   peerTLS(e.tls, c),
		TLSTimeout:  connectTimeout.Seconds(),
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
