package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
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
	// listenTimeout bounds how long it then takes to listen.
	listenTimeout, listenPoll = 10 * time.Second, 50 * time.Millisecond
	// watchEvery is how often it is looked whether the server still runs.
	watchEvery = time.Second
	// lastRestart is the longest pause between two starts.
	lastRestart = 30 * time.Second
	// nagEvery is how often the log is told what is waited for.
	nagEvery = 15 * time.Second
	// noteEvery is how often it is noted what the buckets hold, and tolerated how
	// many messages fewer are no news.
	noteEvery = time.Minute
	tolerated = 50
)

// embedded is a server in this process. Its files are held by a lock; when its
// JetStream gives up, as on a full disk, it is started anew.
type embedded struct {
	o    *Options
	log  *slog.Logger
	dir  string // of lock, ledger and store
	lock *os.File
	tls  *tlsfiles.Client // nil without a cluster

	current atomic.Pointer[running]
	disk    disk
	ledger  ledger

	mu   sync.Mutex
	down error // why it does not run
}

// running is a server that was started, and what it says.
type running struct {
	*server.Server
	log *serverLog
}

// healthy reports whether the server does what it is for.
func (r *running) healthy() bool {
	return r.Running() && r.JetStreamEnabled() && !r.log.broken.Load() && r.log.fatal() == ""
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
	if conn.IsConnected() {
		b.connected(conn)
	}
	return conn, nil
}

// serverOptions returns the options of a server that is about to be started.
func (e *embedded) serverOptions() (*server.Options, error) {
	o := &server.Options{
		ServerName:             "imagegate",
		DontListen:             true,
		NoSigs:                 true,
		DisableJetStreamBanner: true,
		JetStream:              true,
		JetStreamMaxMemory:     e.o.MaxMemory,
		JetStreamMaxStore:      e.o.MaxBytes,
		StoreDir:               e.dir,
		SyncInterval:           e.o.SyncEvery,
		SyncAlways:             e.o.Sync == SyncAlways,
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
	e.compare(s)
	e.log.Info("the embedded NATS server runs", "dataDir", e.dir, "after", time.Since(begun).Round(time.Millisecond))
	e.current.Store(&running{s, log})
	return nil
}

// started waits until a server listens where it is to, and returns why it does not
// run.
func (e *embedded) started(s *server.Server, log *serverLog) error {
	for begun := time.Now(); log.fatal() == "" && !s.ReadyForConnections(listenPoll); {
		if time.Since(begun) > listenTimeout {
			return fmt.Errorf("the embedded server: it does not listen after %s", listenTimeout)
		}
	}
	switch fatal := log.fatal(); {
	case strings.Contains(fatal, "JetStream"):
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

// keep starts the server anew whenever it has given up, until ctx ends.
func (e *embedded) keep(ctx context.Context) {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	noted, restarted, pause := time.Now(), time.Time{}, watchEvery
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		s := e.current.Load()
		switch {
		case s != nil && s.healthy():
			if time.Since(noted) > noteEvery {
				noted = time.Now()
				e.note(s.Server)
			}
			if time.Since(restarted) > 2*lastRestart {
				pause = watchEvery
			}
		case s != nil && s.Running() && s.JetStreamEnabled() && s.log.fatal() == "" && e.disk.check() != nil:
			// It still reads, which a new one may not on a full disk.
		case time.Since(restarted) >= pause:
			e.restart(ctx, s)
			restarted, pause = time.Now(), min(2*pause, lastRestart)
		}
	}
}

// restart replaces the server, nil when there is none.
func (e *embedded) restart(ctx context.Context, s *running) {
	if s != nil {
		e.log.Error("the embedded NATS server has given up; it is started anew", "dataDir", e.dir, "error", s.log.fatal())
		e.setReason(fmt.Errorf("the embedded server has given up and is started anew: %s", s.log.fatal()))
		e.current.Store(nil)
		s.Shutdown()
		s.WaitForShutdown()
	}
	if err := e.start(ctx); err != nil && ctx.Err() == nil {
		e.setReason(err)
		e.log.Error("the embedded NATS server cannot be started; it is tried again", "dataDir", e.dir, "error", err)
	}
}

// count returns how many messages there are in each bucket.
func (e *embedded) count(s *server.Server) map[string]uint64 {
	info, err := s.Jsz(&server.JSzOptions{Accounts: true, Streams: true})
	if err != nil {
		return nil
	}
	counts := map[string]uint64{}
	for _, account := range info.AccountDetails {
		for _, stream := range account.Streams {
			counts[stream.Name] = stream.State.Msgs
		}
	}
	return counts
}

// compare warns of buckets that hold much less than when they were last seen: the
// server reads what it can, and says nothing of the rest.
func (e *embedded) compare(s *server.Server) {
	counts := e.count(s)
	before, err := e.ledger.count(counts)
	if err != nil {
		e.log.Warn("it cannot be noted what the buckets hold", "error", err)
	}
	for name, was := range before {
		if now := counts[name]; now+was.Messages/10+tolerated < was.Messages {
			e.log.Error("a bucket holds less than when it was last seen: entries have ended by their age, or the files were damaged; what is lost is made again",
				"bucket", name, "messages", now, "before", was.Messages, "seen", was.Seen, "dataDir", e.dir)
		}
	}
}

// note notes what the buckets hold.
func (e *embedded) note(s *server.Server) {
	if _, err := e.ledger.count(e.count(s)); err != nil {
		e.log.Debug("it cannot be noted what the buckets hold", "error", err)
	}
}

// room returns why nothing may be written now. A server whose disk is full gives
// up reading as well: it is not let come to that.
func (e *embedded) room() error {
	if err := e.disk.check(); err != nil {
		return err
	}
	if s := e.current.Load(); s != nil && s.log.broken.Load() {
		return errors.New("the embedded server could not write to its disk, and is started anew")
	}
	return nil
}

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

// stop ends the server and lets go of its files.
func (e *embedded) stop() {
	if s := e.current.Swap(nil); s != nil {
		e.note(s.Server)
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
