package server

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/imagegate/imagegate/provider/drain"
)

// The limits of a connection. The protocol's own budget is far below them:
// they are for clients that are broken or hostile.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 16 << 10
	// patience is how long running requests may go on once no new ones are
	// taken. Those that still wait for a scan then are told that it is pending.
	patience = 3 * time.Second
	// grace is what is left after that for writing the answers.
	grace = 5 * time.Second
)

// Times bound the server's answers and its end.
type Times struct {
	// Longest is the longest that an answer may take.
	Longest time.Duration
	// Drain is how long new requests are still answered after the end was asked
	// for: Gatekeeper goes on sending until it has heard that this address is
	// gone, and denies a Pod whose question is refused.
	Drain time.Duration
	// DrainLimit is for how much longer they are at most, while there are some and
	// until another process has Succeeded this one; nil: it has.
	DrainLimit time.Duration
	Succeeded  func(context.Context) bool
}

// Serve answers on the listener until ctx ends and for as long after it as t says,
// then lets running requests finish. A nil config is plain HTTP.
func Serve(ctx context.Context, l net.Listener, config *tls.Config, h http.Handler, t Times, log *slog.Logger) error {
	requests, endRequests := context.WithCancel(context.WithoutCancel(ctx))
	defer endRequests()
	srv := &http.Server{
		Handler:           h,
		TLSConfig:         config,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      readTimeout + t.Longest,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	return drain.Serve(ctx, srv, l, drain.Times{
		Delay: t.Drain, Longest: t.DrainLimit, Succeeded: t.Succeeded, Patience: patience, Grace: grace, Cut: endRequests,
		Ending: func() {
			log.Info("stopping", "listen", l.Addr().String(), "drain", t.Drain, "atMost", t.Drain+t.DrainLimit)
		},
	})
}
