package webhook

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/semaphore"

	"github.com/imagegate/imagegate/provider/drain"
	"github.com/imagegate/imagegate/provider/turns"
	"github.com/imagegate/imagegate/provider/wire"
)

// shutdownTimeout is how long requests under way may take once the server is
// to stop: as long as the API server waits for any of them.
const shutdownTimeout = maxTimeout

// Options configure a Server.
type Options struct {
	// TLS comes from tlsfiles.
	TLS *tls.Config
	// RequireClientCert refuses /mutate without a verified client certificate.
	// Health and metrics stay open: a kubelet has none.
	RequireClientCert bool
	// Ready says whether the server can serve.
	Ready func(ctx context.Context) error
	// Waiting returns how many requests wait for scans.
	Waiting func() int
	// Concurrency bounds the requests under way, BodyBytes one request's body. One
	// namespace has three quarters of them at most.
	Concurrency int64
	BodyBytes   int64
	// Drain is how long new requests are still answered after the end was asked
	// for: the API server goes on sending until it has heard of it.
	Drain time.Duration
	// DrainLimit is for how much longer they are at most, while there are some and
	// until another process has Succeeded this one; nil: it has.
	DrainLimit time.Duration
	Succeeded  func(context.Context) bool
	Registry   *prometheus.Registry
	Log        *slog.Logger
}

// Server is the mutator's HTTPS server.
type Server struct {
	http  *http.Server
	drain drain.Times
	log   *slog.Logger
}

// NewServer returns a server that lets admitter decide.
func NewServer(admitter Admitter, o Options) *Server {
	times := drain.Times{Delay: o.Drain, Longest: o.DrainLimit, Succeeded: o.Succeeded, Grace: shutdownTimeout}
	return &Server{drain: times, log: o.Log, http: &http.Server{
		Handler:           newMux(admitter, o),
		TLSConfig:         o.TLS,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      maxTimeout + 10*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}}
}

func newMux(admitter Admitter, o Options) http.Handler {
	var mutate http.Handler = &handler{
		admitter:  admitter,
		bodyBytes: o.BodyBytes,
		reading:   semaphore.NewWeighted(max(1, o.Concurrency/4)),
		slots:     turns.New(turns.Limits{Turns: int(o.Concurrency), Waiting: waitingPerSlot * int(o.Concurrency)}),
		metrics:   newMetrics(o.Registry, o.Waiting),
		log:       o.Log,
	}
	if o.RequireClientCert {
		mutate = verified(mutate, o.BodyBytes)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /mutate", mutate)
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := o.Ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	return mux
}

// verified lets requests with a verified client certificate through.
func verified(next http.Handler, bodyBytes int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
			wire.Drain(w, r, bodyBytes)
			http.Error(w, "a client certificate is required", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Serve answers requests on l until ctx ends and for as long after it as Options say,
// then lets those under way finish.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	times := s.drain
	times.Ending = func() { s.log.Info("stopping", "drain", s.drain.Delay, "atMost", s.drain.Delay+s.drain.Longest) }
	return drain.Serve(ctx, s.http, l, times)
}
