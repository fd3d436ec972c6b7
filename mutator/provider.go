package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// pingTimeout is below a kubelet's patience with /readyz.
	pingTimeout = 2 * time.Second
	// pingEvery bounds what whoever asks for /readyz has the provider asked.
	pingEvery = time.Second
)

// providerCheck is whether the provider answers, which it must before this
// mutator is of use: a certificate that does not fit would deny every Pod here,
// while another replica may do better.
type providerCheck struct {
	ask func(ctx context.Context) error
	// once: its first answer is enough. Where images are let in that cannot be
	// pinned, a provider that is away everywhere must not take away who lets them in.
	once bool

	mu       sync.Mutex // held while it asks: who comes meanwhile has the same answer
	answered bool
	at       time.Time
	err      error
}

func (p *providerCheck) ready(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.once && p.answered || !p.at.IsZero() && time.Since(p.at) < pingEvery {
		return p.err
	}
	// Whoever asked may go; others wait for the answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pingTimeout)
	defer cancel()
	p.err = p.ask(ctx)
	p.at, p.answered = time.Now(), p.answered || p.err == nil
	if p.err != nil {
		p.err = fmt.Errorf("provider.url: %w", p.err)
	}
	return p.err
}

// named adds to the errors of connections which setting they come from.
type named struct{ *http.Transport }

func (n named) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := n.Transport.RoundTrip(req)
	if err == nil {
		return resp, nil
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return nil, fmt.Errorf("%w (provider.caFile, and the name in provider.url)", err)
	}
	// What the other side says about our certificate comes as an alert.
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return nil, fmt.Errorf("%w (provider.certFile, as the provider's server.tls.clientCAFile has it)", err)
	}
	return nil, err
}
