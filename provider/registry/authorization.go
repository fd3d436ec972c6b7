package registry

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/imagegate/imagegate/provider/report"
)

// Authorization returns the value of the HTTP Authorization header by which a
// scanner opens what was resolved for access: "Basic ...", "Bearer ...", or
// empty for anonymous. It is that of the credential by which the registry let
// the asker in and of no other, and an error once the asker no longer has it.
// It is a secret. Every error is a *report.Failure.
func (r *Resolver) Authorization(ctx context.Context, res *Resolved, access Access) (string, error) {
	ctx = onBehalf(ctx, access.Namespace)
	t, creds, err := r.opened(ctx, res, access)
	if err != nil {
		return "", err
	}
	for _, cred := range creds.list {
		if cred.public() == res.Credential {
			if cred.source != "" {
				// What comes of it may be told to others that hold the same
				// credential, and a Secret's name is its namespace's own.
				cred.source = "whoever asked for it"
			}
			return r.header(ctx, t, cred)
		}
	}
	return "", &report.Failure{
		Reason:  report.ReasonUnauthorized,
		Message: fmt.Sprintf("the credentials that opened repository %s of registry %s are no longer there", res.Repository, t.host()),
	}
}

// Refused ends the proof of access that the resolution stands for: the registry
// has since turned its credential down. The next Resolve asks it again, with a
// new token, whoever holds the credential and beside whatever others.
func (r *Resolver) Refused(ctx context.Context, res *Resolved, access Access) {
	t, creds, err := r.opened(ctx, res, access)
	if err != nil {
		return // without credentials nothing is remembered for the access either
	}
	for _, cred := range creds.list {
		if cred.public() == res.Credential {
			r.proofs.Remove(proofKey(t.repository(), res.Digest, cred))
			r.pullers.Remove(pullerKey(t, cred))
		}
	}
}

// opened returns what was asked for and the asker's credentials for it now.
func (r *Resolver) opened(ctx context.Context, res *Resolved, access Access) (target, credentials, error) {
	t, err := r.target(res.Reference, "")
	if err != nil {
		return target{}, credentials{}, err
	}
	creds, err := r.keys.credentials(ctx, t.ref.Context(), access)
	return t, creds, err
}

func (r *Resolver) header(ctx context.Context, t target, cred credential) (string, error) {
	c := cred.config
	switch {
	case c.RegistryToken != "":
		return "Bearer " + c.RegistryToken, nil
	case c.IdentityToken != "":
		header, err := r.exchange(ctx, t.ref.Context(), cred)
		if err != nil {
			return "", t.failure(err, cred)
		}
		return header, nil
	case c.Username != "" || c.Password != "":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password)), nil
	case c.Auth != "":
		return "Basic " + c.Auth, nil
	}
	return "", nil
}

// exchange turns an identity token, which only the registry's token server
// understands, into one for pulling from one repository.
func (r *Resolver) exchange(ctx context.Context, repo name.Repository, cred credential) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	challenge, err := transport.Ping(ctx, repo.Registry, r.way)
	if err != nil {
		return "", err
	}
	if challenge.Scheme == "" {
		return "", nil
	}
	token, err := transport.Exchange(ctx, repo.Registry, authn.FromConfig(cred.config), r.way, []string{repo.Scope(transport.PullScope)}, challenge)
	if err != nil {
		return "", err
	}
	return "Bearer " + cmp.Or(token.AccessToken, token.Token), nil
}
