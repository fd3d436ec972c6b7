package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
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
	grace = patience + 5*time.Second
)

// Times bound the server's answers and its end.
type Times struct {
	// Longest is the longest that an answer may take.
	Longest time.Duration
	// Drain is how long new requests are still answered after the end was asked
	// for: Gatekeeper goes on sending until it has heard that this address is
	// gone, and denies a Pod whose question is refused.
	Drain time.Duration
}

// Serve answers on the listener until ctx ends and for Drain after it, then
// lets running requests finish. A nil config is plain HTTP.
func Serve(ctx context.Context, l net.Listener, config *tls.Config, h http.Handler, t Times, log *slog.Logger) error {
	requests, endRequests := context.WithCancel(context.WithoutCancel(ctx))
	defer endRequests()
	srv := &http.Server{
		Handler:           closing(ctx, h),
		TLSConfig:         config,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      readTimeout + t.Longest,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() {
		if config == nil {
			served <- srv.Serve(l)
			return
		}
		served <- srv.ServeTLS(l, "", "")
	}()
	select {
	case err := <-served:
		return fmt.Errorf("serving on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	log.Info("stopping", "listen", l.Addr().String(), "drain", t.Drain)
	select {
	case err := <-served:
		return fmt.Errorf("serving on %s: %w", l.Addr(), err)
	case <-time.After(t.Drain):
	}
	defer time.AfterFunc(patience, endRequests).Stop()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := srv.Shutdown(ending); err != nil {
		return fmt.Errorf("waiting for requests to end: %w", errors.Join(err, srv.Close()))
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// closing has clients close their connections once ctx has ended, with the answers
// that they still get. A connection that is only closed when nothing is under way on
// it may be closed while a request is on its way, which a client does not send again.
func closing(ctx context.Context, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ctx.Err() != nil {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}
