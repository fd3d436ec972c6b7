package drain

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"
)

// The headers by which processes know each other in the answers to /readyz.
const (
	// processHeader tells one process from another behind one address.
	processHeader = "Imagegate-Process"
	// endingHeader is there once the process was told to end: alone while nobody else
	// is known to answer in its place, relieved afterwards.
	endingHeader = "Imagegate-Ending"
	alone        = "alone"
	relieved     = "relieved"
)

// askTimeout is for one question. There is another one soon.
const askTimeout = 2 * time.Second

// Succession is whether another process answers where this one is about to end. Where
// all replicas of a Service end at once, because what runs them is exchanged for
// something else, a cluster goes on asking those that end for as long as they call
// themselves ready (kube-proxy since Kubernetes 1.26, KEP 1669): to leave before
// another is ready is to have every Pod denied.
type Succession struct {
	ending func() bool
	client *http.Client
	readyz string

	id       string
	relieved atomic.Bool
}

// NewSuccession returns that of a process. ending says whether it was told to end.
// readyz is the address of /readyz behind the Service, which client asks; empty where
// there is none, and nobody is waited for.
func NewSuccession(ending func() bool, client *http.Client, readyz string) *Succession {
	return &Succession{ending: ending, client: client, readyz: readyz, id: rand.Text()}
}

// Alone says whether the process ends and nobody is known to answer in its place.
func (s *Succession) Alone() bool { return s.ending() && s.readyz != "" && !s.relieved.Load() }

// Mark puts into an answer's headers who gives it.
func (s *Succession) Mark(h http.Header) {
	h.Set(processHeader, s.id)
	switch {
	case s.Alone():
		h.Set(endingHeader, alone)
	case s.ending():
		h.Set(endingHeader, relieved)
	}
}

// Succeeded is for Times. It asks over a connection of its own, since each may lead to
// another replica, whether one answers that is not this process, is ready, and does
// not end itself. What does not say which process it is may be this one.
func (s *Succession) Succeeded(ctx context.Context) bool {
	if s.readyz == "" {
		return true
	}
	h, code, err := askReady(ctx, s.client, s.readyz)
	by := h.Get(processHeader)
	var unknown *net.DNSError
	switch {
	case errors.As(err, &unknown) && unknown.IsNotFound:
		// The Service is gone, and nobody asks through it.
	case err != nil || code != http.StatusOK || h.Get(endingHeader) != "" || by == "" || by == s.id:
		return false
	}
	s.relieved.Store(true)
	return true
}

// Companion returns a function for Times.Succeeded of a process that ends together
// with another, whose /readyz it asks: it is succeeded when that one is, or is over.
// One that does not answer in time is not over.
func Companion(client *http.Client, readyz string) func(context.Context) bool {
	return func(ctx context.Context) bool {
		h, _, err := askReady(ctx, client, readyz)
		if err != nil {
			return errors.Is(err, syscall.ECONNREFUSED)
		}
		return h.Get(endingHeader) != alone
	}
}

func askReady(ctx context.Context, client *http.Client, readyz string) (http.Header, int, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, readyz, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Close = true
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 16<<10)) // the headers say all
	return resp.Header, resp.StatusCode, resp.Body.Close()
}
