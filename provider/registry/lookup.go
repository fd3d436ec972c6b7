package registry

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	remotetransport "github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/imagegate/imagegate/provider/report"
)

var errNotRemembered = errors.New("not remembered")

// lookup asks the registry, with each of the credentials until one is let in.
func (r *Resolver) lookup(ctx context.Context, t target, creds credentials) (*Resolved, error) {
	asked := time.Now()
	var refused error
	for i, cred := range creds.list {
		if f := r.left(t, cred); f != nil {
			return nil, f
		}
		digest, doc, err := r.fetch(ctx, t, creds, i)
		if isRefused(err) {
			refused = err
			continue
		}
		if err != nil {
			r.asksFor(t, cred, err)
			return nil, t.failure(err, cred)
		}
		r.proofs.Add(proofKey(t.repository(), digest, cred), struct{}{})
		if t.tag != "" {
			r.tags.Add(tagKey(t, creds), seen{digest: digest, at: asked})
		}
		res, err := r.meaning(t, cred, digest, doc, func(digest string) (*document, error) {
			return r.child(ctx, t, cred, digest)
		})
		if err == nil && t.held && !doc.index && res.Artifact == nil {
			err = r.hold(ctx, t, cred, digest)
		}
		if err != nil {
			r.asksFor(t, cred, err)
			return nil, t.failure(err, cred)
		}
		return res, nil
	}
	f := brief(t.refused(refused, creds))
	f.Message += r.options.Advice
	return nil, f
}

// fetch returns the digest the reference stands for and what is there, and by
// doing so proves that the credential opens it.
func (r *Resolver) fetch(ctx context.Context, t target, creds credentials, i int) (string, *document, error) {
	puller, err := r.puller(t, creds.list[i])
	if err != nil {
		return "", nil, err
	}
	defer r.pullers.Weigh(pullerKey(t, creds.list[i]), maxClient)
	if _, ok := t.ref.(name.Digest); ok {
		if doc, ok := r.documents.Get(t.repository() + "@" + t.ref.Identifier()); ok {
			if _, err := puller.Head(ctx, t.ref); err == nil {
				return t.ref.Identifier(), doc, nil
			}
		}
		return r.get(ctx, t, puller, t.ref)
	}
	head, err := puller.Head(ctx, t.ref)
	switch {
	case err == nil:
		digest := head.Digest.String()
		doc, err := r.document(ctx, t, creds.list[i], digest)
		return digest, doc, err
	case headIsFinal(err):
		return "", nil, err
	}
	// Some registries refuse HEAD or leave out its headers, and a GET's error
	// has a body that says more.
	return r.get(ctx, t, puller, t.ref)
}

// headIsFinal reports whether a GET would fare no better than the HEAD did.
func headIsFinal(err error) bool {
	if te, ok := errors.AsType[*remotetransport.Error](err); ok {
		return te.StatusCode >= http.StatusInternalServerError && te.StatusCode != http.StatusNotImplemented
	}
	return isNetwork(err)
}

// document returns the manifest of a digest that the same repository pointed
// to. It does not prove access when the answer was remembered.
func (r *Resolver) document(ctx context.Context, t target, cred credential, digest string) (*document, error) {
	if doc, ok := r.documents.Get(t.repository() + "@" + digest); ok {
		return doc, nil
	}
	puller, err := r.puller(t, cred)
	if err != nil {
		return nil, err
	}
	defer r.pullers.Weigh(pullerKey(t, cred), maxClient)
	_, doc, err := r.get(ctx, t, puller, t.ref.Context().Digest(digest))
	return doc, err
}

// child is document for what an index lists, and remembers what is unfit too:
// an index may hold that and have an answer all the same.
func (r *Resolver) child(ctx context.Context, t target, cred credential, digest string) (*document, error) {
	doc, err := r.rememberedChild(t, digest)
	if !errors.Is(err, errNotRemembered) {
		return doc, err
	}
	if doc, err = r.document(ctx, t, cred, digest); err == nil {
		return doc.image()
	}
	if f, ok := errors.AsType[*report.Failure](err); ok && isUnsupported(err) {
		r.unfit.Add(t.repository()+"@"+digest, report.FailureOf(brief(f)))
	}
	return doc, err
}

func (r *Resolver) rememberedChild(t target, digest string) (*document, error) {
	key := t.repository() + "@" + digest
	if doc, ok := r.documents.Get(key); ok {
		return doc.image()
	}
	if f, ok := r.unfit.Get(key); ok {
		return nil, f
	}
	return nil, errNotRemembered
}

func (r *Resolver) get(ctx context.Context, t target, puller *client, ref name.Reference) (string, *document, error) {
	desc, err := puller.Get(ctx, ref)
	if err != nil {
		return "", nil, err
	}
	doc, err := parse(string(desc.MediaType), desc.Manifest)
	if err != nil {
		return "", nil, err
	}
	digest := desc.Digest.String()
	if _, ok := ref.(name.Digest); ok {
		digest = ref.Identifier()
	}
	doc.digest = digest
	r.documents.Add(t.repository()+"@"+digest, doc)
	return digest, doc, nil
}
