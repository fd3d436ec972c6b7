package pullthrough

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/registry/transport"
	"github.com/imagegate/imagegate/provider/report"
)

// Options configure a Server.
type Options struct {
	// Listen is host:port; default 127.0.0.1:0, for scanners on this machine.
	Listen string
	// URL is where scanners find the server: http(s)://host[:port]. Empty is the
	// address that it listens on, in plain HTTP.
	URL string
	// TLS is required for a URL of https.
	TLS *tls.Config
	// Ways are how registries are reached.
	Ways *transport.Set
	// Logger gets what goes wrong.
	Logger *slog.Logger
	// Registerer takes the metrics; nil: they are kept to oneself.
	Registerer prometheus.Registerer
}

const (
	defaultListen = "127.0.0.1:0"
	// maxConnections bounds those of all scanners: whoever reaches the port
	// could take the process's files otherwise.
	maxConnections    = 512
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 90 * time.Second
	// chunkTimeout is how long a scanner may take to accept one chunk.
	chunkTimeout = time.Minute
)

// Server hands verified images on to scanners, each to whoever holds the token
// of its scan. It is safe for concurrent use.
type Server struct {
	base    string
	ways    *transport.Set
	work    *work
	http    *http.Server
	log     *slog.Logger
	metrics *metrics
	served  chan struct{}

	mu       sync.Mutex
	sessions map[[sha256.Size]byte]*session
}

// New listens and serves until Close. Its errors name the option at fault.
func New(ctx context.Context, o Options) (*Server, error) {
	if o.Listen == "" {
		o.Listen = defaultListen
	}
	scheme, err := schemeOf(o.URL)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	if scheme == "https" && o.TLS == nil {
		return nil, errors.New("url: https needs a certificate")
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("registering the metrics of the pull-through: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s := &Server{
		base:     o.URL,
		ways:     o.Ways,
		work:     newWork(),
		log:      o.Logger,
		metrics:  m,
		served:   make(chan struct{}),
		sessions: map[[sha256.Size]byte]*session{},
	}
	if s.base == "" {
		s.base = "http://" + listener.Addr().String()
	}
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	listener = netutil.LimitListener(listener, maxConnections)
	go func() {
		defer close(s.served)
		var err error
		if scheme == "https" {
			s.http.TLSConfig = o.TLS
			err = s.http.ServeTLS(listener, "", "")
		} else {
			err = s.http.Serve(listener)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the pull-through for scanners has ended", "error", err)
		}
	}()
	return s, nil
}

// URL is where scanners find the server.
func (s *Server) URL() string { return s.base }

// Close breaks off what is being served. Scans have ended by then.
func (s *Server) Close() {
	_ = s.http.Close()
	<-s.served
}

// begin verifies what can be before a scanner is asked, and opens the image to
// whoever holds the token. Its errors are *report.Failure.
func (s *Server) begin(ctx context.Context, image backend.Image) (*session, token, error) {
	origin, err := open(ctx, s.ways, image)
	if err != nil {
		return nil, "", err
	}
	content, err := origin.content(ctx, image)
	if err != nil {
		s.metrics.count(err)
		return nil, "", err
	}
	n := &session{
		image:   image,
		origin:  origin,
		content: content,
		work:    s.work,
		slots:   make(chan struct{}, transfersPerJob),
		passing: map[string]*report.Failure{},

		handedOn: map[string]bool{},
	}
	n.ctx, n.cancel = context.WithCancelCause(ctx)
	token := newToken()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[token.key()] = n
	return n, token, nil
}

func (s *Server) finish(n *session, t token) {
	s.mu.Lock()
	delete(s.sessions, t.key())
	s.mu.Unlock()
	n.end()
}

func (s *Server) session(t token) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[t.key()]
}
