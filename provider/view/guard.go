package view

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

const (
	// atOnce bounds the pages that are made at once, patience how long one more waits.
	atOnce   = 8
	patience = 2 * time.Second
)

// Longest bounds the making of one page.
const Longest = 10 * time.Second

// policy lets a browser run and load nothing but what is in assets, and takes from
// scripts the ways to make code of text.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// guard stands before all pages.
type guard struct {
	places chan struct{}
	log    *slog.Logger
}

func newGuard(log *slog.Logger) *guard { return &guard{places: make(chan struct{}, atOnce), log: log} }

func (g *guard) handle(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers(w.Header())
		if why := foreign(r); why != "" {
			g.log.WarnContext(r.Context(), "a page was refused", "why", why, "host", cut(r.Host), "origin", cut(r.Header.Get("Origin")))
			http.Error(w, why, http.StatusForbidden)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), Longest)
		defer cancel()
		wait := time.NewTimer(patience)
		defer wait.Stop()
		select {
		case g.places <- struct{}{}:
		case <-wait.C:
			w.Header().Set("Retry-After", "5")
			http.Error(w, "too many pages are being made; try again shortly", http.StatusServiceUnavailable)
			return
		case <-ctx.Done():
			return
		}
		defer func() { <-g.places }()
		r.Body = http.MaxBytesReader(w, r.Body, 0)
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func headers(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Embedder-Policy", "require-corp")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Cache-Control", "no-store")
}

// onlyReads refuses all that is more than to look.
func onlyReads(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "pages can only be looked at", http.StatusMethodNotAllowed)
			return
		}
		if r.Method == http.MethodHead {
			read := *r // the router knows GET alone; the server leaves the body out
			read.Method = http.MethodGet
			r = &read
		}
		next.ServeHTTP(w, r)
	})
}

// foreign says why a request may be the doing of another site that the same browser
// shows, or nothing. The listener is reached by loopback alone, so no other name than
// one of loopback is right: a name of somebody's domain that leads here is DNS
// rebinding. Another site may lead here by a link, as a message with one does, and may
// not read or embed what is here.
func foreign(r *http.Request) string {
	if !loopbackHost(r.Host) {
		return "pages are served at localhost, 127.0.0.1 and [::1] only; ask for them by one of these names"
	}
	switch origin := r.Header.Get("Origin"); origin {
	case "":
	case "null":
		return "pages are not for other sites"
	default:
		if u, err := url.Parse(origin); err != nil || u.Scheme != "http" || u.Host != r.Host {
			return "pages are not for other sites"
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return ""
	}
	if r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" {
		return ""
	}
	return "pages are not for other sites"
}

// loopbackHost reports whether a Host header, with a port or without, is of loopback.
func loopbackHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.IsLoopback()
}

// cut is a header as it is logged.
func cut(s string) string {
	const most = 128
	return s[:min(len(s), most)]
}
