package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/provider/install/trust"
)

// lookAtMost is the longest between two looks of a replica that nothing wakes.
const lookAtMost = 30 * time.Second

// serve keeps the folder of what is served right until ctx ends.
func (i *Installer) serve(ctx context.Context) {
	said := ""
	for ctx.Err() == nil {
		again, err := i.lookOnce(ctx)
		i.withheld.Store(&err)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != said && ctx.Err() == nil {
			if said = text; err != nil {
				i.log.WarnContext(ctx, "the newest certificate is not served", "error", err)
			}
		}
		timer := time.NewTimer(again)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-i.look:
		}
		timer.Stop()
	}
}

// lookOnce writes what may be served. The error says why the newest certificate is
// not.
func (i *Installer) lookOnce(ctx context.Context) (again time.Duration, err error) {
	files, err := i.served.files()
	if err != nil {
		return unfinished, err
	}
	state, cm, err := i.state.read(ctx)
	if err != nil {
		// What is served stays, whoever the API server is busy with.
		return unfinished, err
	}
	claimErr := i.claim(ctx, state, cm)
	i.seen.Store(&state)
	i.metrics.show(state.Status)
	asking, complete := i.gatekeepers(ctx, state)

	serving := leafOf(files)
	again = lookAtMost
	leaf, problem := i.newest(ctx)
	if problem == nil && !leaf.Equal(serving) {
		now := time.Now()
		problem = i.plan.Serve(state.Ours, leaf, len(serving.Cert) > 0, now)
		var notYet *trust.NotYetError
		switch {
		case problem == nil:
			serving = leaf
		case errors.As(problem, &notYet) && !notYet.At.IsZero():
			again = max(notYet.At.Sub(now), 10*time.Millisecond)
		}
	}
	next := map[string][]byte{}
	if len(serving.Cert) > 0 {
		next[CertFile], next[KeyFile] = serving.Cert, serving.Key
	}
	ours := state.Ours.Bundle()
	clients, clientsErr := i.clients(asking)
	if len(ours) == 0 {
		ours = files[CAFile] // the state is being made again
	}
	if len(ours) > 0 {
		next[CAFile] = ours
		next[ClientCAFile] = slices.Concat(ours, clients)
	}
	if _, err := i.served.write(next); err != nil {
		return unfinished, err
	}
	if len(serving.Cert) > 0 {
		i.firstOnce.Do(func() { close(i.first) })
	}
	if !complete {
		again = min(again, unfinished)
	}
	return again, errors.Join(problem, clientsErr, claimErr)
}

// clients are the authorities of those who ask us, beside our own: Gatekeeper's, or
// the given ones.
func (i *Installer) clients(gatekeeper trust.Clients) ([]byte, error) {
	pem := gatekeeper.PEM()
	if i.o.Gatekeeper.CAFile != "" {
		given, err := os.ReadFile(i.o.Gatekeeper.CAFile)
		if err != nil {
			return pem, fmt.Errorf("install.gatekeeper.caFile: %w", err)
		}
		clients, err := (trust.Clients{}).Follow(given)
		if err != nil {
			return pem, fmt.Errorf("install.gatekeeper.caFile %s: %w", i.o.Gatekeeper.CAFile, err)
		}
		pem = clients.PEM()
	}
	return pem, nil
}

// newest returns the newest certificate of the source.
func (i *Installer) newest(ctx context.Context) (trust.Leaf, error) {
	m, _, err := i.material(ctx)
	if err != nil {
		return trust.Leaf{}, err
	}
	if len(m.Leaf.Cert) == 0 || len(m.Leaf.Key) == 0 {
		return trust.Leaf{}, fmt.Errorf("%s has no certificate yet", i.sourceName())
	}
	return m.Leaf, nil
}

func (i *Installer) sourceName() string {
	c := &i.o.Certificates
	if c.Source == SourceFiles {
		return c.CertFile + " and " + c.KeyFile
	}
	return "Secret " + i.o.Namespace + "/" + c.Secret
}

// The keys of the Secret that are not of its type's.
const (
	caKeyKey   = "ca.key"
	nextCAKey  = "next-ca.crt"
	nextKeyKey = "next-ca.key"
)

// material reads the source. The Secret is nil where there is none.
func (i *Installer) material(ctx context.Context) (m trust.Material, s *corev1.Secret, err error) {
	c := &i.o.Certificates
	if c.Source == SourceFiles {
		for path, into := range map[string]*[]byte{c.CertFile: &m.Leaf.Cert, c.KeyFile: &m.Leaf.Key, c.CAFile: &m.CACert} {
			if *into, err = os.ReadFile(path); err != nil {
				return m, nil, fmt.Errorf("install.certificates: %w", err)
			}
		}
		return m, nil, nil
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	s, err = i.core.CoreV1().Secrets(i.o.Namespace).Get(ctx, c.Secret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		if c.Source == SourceOwn {
			return m, nil, nil
		}
		return m, nil, fmt.Errorf("%s (install.certificates.secret) does not exist", i.sourceName())
	}
	if err != nil {
		return m, nil, refused("reading "+i.sourceName(), err)
	}
	d := s.Data
	m = trust.Material{CACert: d[CAFile], Leaf: trust.Leaf{Cert: d[CertFile], Key: d[KeyFile]}}
	if c.Source == SourceOwn {
		m.CAKey, m.NextCert, m.NextKey = d[caKeyKey], d[nextCAKey], d[nextKeyKey]
	}
	return m, s, nil
}
