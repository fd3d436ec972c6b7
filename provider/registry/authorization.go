package registry

import (
	"cmp"
	"context"
	"encoding/base64"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Authorization returns the value of the HTTP Authorization header by which a
// scanner opens what was resolved for access: "Basic ...", "Bearer ...", or
// empty for anonymous. It is a secret. Every error is a *report.Failure.
func (r *Resolver) Authorization(ctx context.Context, res *Resolved, access Access) (string, error) {
	ctx = onBehalf(ctx, access.Namespace)
	t, err := r.target(res.Reference, "")
	if err != nil {
		return "", err
	}
	creds, err := r.keys.credentials(ctx, t.ref.Context(), access)
	if err != nil {
		return "", err
	}
	// The one that the registry accepted, the first when that is forgotten.
	i, ok := r.proofs.Get(proofKey(t.repository(), res.Digest, creds))
	if !ok || i >= len(creds.list) {
		i = 0
	}
	return r.header(ctx, t, creds.list[i])
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
	challenge, err := transport.Ping(ctx, repo.Registry, r.gate)
	if err != nil {
		return "", err
	}
	if challenge.Scheme == "" {
		return "", nil
	}
	token, err := transport.Exchange(ctx, repo.Registry, authn.FromConfig(cred.config), r.gate, []string{repo.Scope(transport.PullScope)}, challenge)
	if err != nil {
		return "", err
	}
	return "Bearer " + cmp.Or(token.AccessToken, token.Token), nil
}
