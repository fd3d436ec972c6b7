package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/imagegate/imagegate/provider/platform"
	"github.com/imagegate/imagegate/provider/reference"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/turns"
)

// Access says on whose behalf an image is resolved.
type Access struct {
	// Namespace is the Pod's; empty means that nobody's pull secrets count.
	Namespace string
	// ServiceAccount is the Pod's; empty means "default".
	ServiceAccount string
	// PullSecrets are names of Secrets in Namespace.
	PullSecrets []string
}

// Manifest is one image manifest to judge.
type Manifest struct {
	// Digest of the manifest, sha256:...
	Digest    string
	MediaType string
	// Platform is os/arch[/variant], or empty for a plain manifest.
	Platform string
	// Size of the manifest itself in bytes.
	Size int64
}

// Resolved is what a reference means now. It is shared between askers: do not
// change it.
type Resolved struct {
	// Reference as asked.
	Reference string
	// Digest of the index or manifest: what gets pinned.
	Digest string
	// Tag in the reference, "latest" when it names none; empty by digest.
	Tag string
	// Registry is the base URL of the registry with its scheme.
	Registry string
	// Repository is the path within the registry.
	Repository string
	// Credential tells which of the asker's credentials the registry accepted,
	// without giving it away; empty for none. Two that opened an image by the
	// same one may share whatever comes of it.
	Credential string
	// Holder names where that credential was found, so that another replica finds
	// it again: a Secret, the provider's own configuration, or nothing for none.
	// It is not for messages.
	Holder string
	// Manifests are the manifest itself, or for an index those chosen by platform.
	// They are empty for an artifact only.
	Manifests []Manifest
	// Artifact is why there is nothing to scan: the reference is one of a model, a
	// Helm chart or something else that is no container image. Nil for images.
	Artifact *report.Failure
}

// Resolver resolves references. It is safe for concurrent use.
type Resolver struct {
	options   Options
	platforms platform.Set
	gate      *gate
	way       http.RoundTripper // the gate, with token servers at listed addresses
	keys      *keychain
	allowed   []reference.Prefix
	flights   flights
	turns     *turns.Turns

	// tags: tag and credentials -> digest.
	tags *bounded[seen]
	// proofs: repository, digest and one credential -> the registry accepted it.
	// It is for whoever holds the credential, beside whatever others, and so is
	// its end.
	proofs *bounded[struct{}]
	// failures: namespace, question and credentials -> why it had no answer just now. An
	// asker rarely stays until a registry that hangs has timed out; without
	// this each would be told to try again, and none why.
	failures *bounded[*report.Failure]
	// documents: repository and digest -> what the manifest says.
	documents *bounded[*document]
	// unfit: repository and digest of an index's child -> why it is neither an
	// image nor an index.
	unfit *bounded[*report.Failure]
	// pullers: repository and one credential -> client that holds its token.
	pullers *bounded[*client]
	// waits: registry and credential -> until when it asked to be left alone.
	waits *bounded[time.Time]
}

const (
	documentTTL = 24 * time.Hour
	// What the caches may hold of foreign text, in bytes. Their entries are
	// bounded in number too, by Options.CacheSize.
	documentBytes = 64 << 20
	pullerBytes   = 32 << 20
	tagBytes      = 16 << 20
	proofBytes    = 16 << 20
	failureBytes  = 16 << 20
	unfitBytes    = 8 << 20
	waitBytes     = 8 << 20
)

// seen is what a tag meant.
type seen struct {
	digest string
	// at is when the registry was about to be asked.
	at time.Time
}

// New makes a Resolver. Its errors name the option at fault.
func New(o Options) (*Resolver, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	list, err := o.platforms()
	if err != nil {
		return nil, err
	}
	g, err := newGate(o)
	if err != nil {
		return nil, err
	}
	keys, err := newKeychain(o)
	if err != nil {
		return nil, err
	}
	allowed, err := o.allowed()
	if err != nil {
		return nil, err
	}
	r := &Resolver{
		options:   o,
		platforms: list,
		gate:      g,
		way:       g.ways.Around(g),
		keys:      keys,
		allowed:   allowed,
		flights:   flights{all: map[string]*flight{}},
		turns:     turns.New(lookupTurns()),
	}
	return r, r.makeCaches()
}

func (r *Resolver) makeCaches() error {
	o, small := r.options, func(time.Time) int { return 0 }
	var errs [7]error
	r.tags, errs[0] = newBounded(o.CacheSize, tagBytes, max(o.TagTTL, o.PinTTL), func(s seen) int { return len(s.digest) })
	r.proofs, errs[1] = newBounded(o.CacheSize, proofBytes, o.AccessTTL, func(struct{}) int { return 0 })
	r.failures, errs[2] = newBounded(o.CacheSize, failureBytes, o.FailureTTL, failureSize)
	r.documents, errs[3] = newBounded(o.CacheSize, documentBytes, documentTTL, (*document).bytes)
	r.unfit, errs[4] = newBounded(o.CacheSize, unfitBytes, o.AccessTTL, failureSize)
	r.pullers, errs[5] = newBounded(o.CacheSize, pullerBytes, o.AccessTTL, (*client).bytes)
	r.waits, errs[6] = newBounded(o.CacheSize, waitBytes, maxWait, small)
	if err := errors.Join(errs[:]...); err != nil {
		return fmt.Errorf("making the caches: %w", err)
	}
	return nil
}

// Close drops idle connections. Resolutions under way end by their timeout.
func (r *Resolver) Close() { r.gate.closeIdle() }

// target is a parsed question.
type target struct {
	reference string
	ref       name.Reference
	tag       string
	base      string
	// wanted are the platforms to judge an index by, any of them that it has.
	wanted platform.Set
	// held says that a manifest without an index is held against wanted too.
	held bool
}

// repository is where t is, in one spelling.
func (t target) repository() string { return t.base + "/" + t.ref.Context().RepositoryStr() }

// Resolve says what the reference written means now. platforms is what is known of
// where it may run, as platform.Parse reads it; empty for those in use. Every
// error is a *report.Failure. Equal questions share one resolution, which goes on
// when an asker gives up, and a failure answers them for FailureTTL. A tag may be
// answered as it was up to TagTTL ago.
//
// An artifact that is no image is no error: it has a digest, and Resolved.Artifact
// says why there is nothing to scan. Whether it may be used is for the policies to say.
func (r *Resolver) Resolve(ctx context.Context, written, platforms string, access Access) (*Resolved, error) {
	return r.resolve(ctx, written, platforms, access, r.options.TagTTL)
}

// ResolveNow is Resolve for whoever keeps the digest: a tag is answered as it is
// after the question, or up to PinTTL before.
func (r *Resolver) ResolveNow(ctx context.Context, written, platforms string, access Access) (*Resolved, error) {
	return r.resolve(ctx, written, platforms, access, r.options.PinTTL)
}

func (r *Resolver) resolve(ctx context.Context, written, platforms string, access Access, tagTTL time.Duration) (*Resolved, error) {
	t, err := r.target(written, platforms)
	if err != nil {
		return nil, err
	}
	creds, err := r.keys.credentials(ctx, t.ref.Context(), access)
	if err != nil {
		return nil, err
	}
	if res, ok := r.remembered(t, creds, tagTTL); ok {
		return res, nil
	}
	if f := r.left(t, creds.list[0]); f != nil {
		return nil, f
	}
	// Each namespace has flights of its own: one waits for its namespace's turn,
	// which may be long in coming, and may end for it.
	key := strings.Join([]string{access.Namespace, written, platforms, creds.id}, "\n")
	fresh := t.tag != "" && tagTTL == 0
	if f, ok := r.failures.Get(key); ok && !(fresh && f.Reason == report.ReasonNotFound) {
		return nil, f
	}
	flight := r.flights.join(key, fresh, func(begin func() bool) (*Resolved, error) {
		ctx, cancel := context.WithTimeout(onBehalf(context.WithoutCancel(ctx), access.Namespace), r.options.Timeout)
		defer cancel()
		done, err := r.turns.Take(ctx, turns.Share{Namespace: access.Namespace, Registry: t.host()})
		if err != nil {
			// Not remembered: it is the asker's turn that failed, not the question.
			return nil, t.noTurn(err)
		}
		defer done()
		if fresh := begin(); !fresh {
			// Another flight may have ended between the look above and this turn.
			if res, ok := r.remembered(t, creds, r.options.TagTTL); ok {
				return res, nil
			}
		}
		res, err := r.lookup(ctx, t, creds)
		if err != nil {
			r.failures.Add(key, report.FailureOf(err))
			return nil, err
		}
		r.failures.Remove(key)
		return res, nil
	})
	select {
	case <-flight.done:
		return flight.res, flight.err
	case <-ctx.Done():
		return nil, t.slow(ctx.Err())
	}
}

func (r *Resolver) target(written, platforms string) (target, error) {
	ref, err := reference.Parse(written)
	if err != nil {
		return target{}, &report.Failure{
			Reason:  report.ReasonNotFound,
			Message: fmt.Sprintf("%s is not a valid image reference: %s", report.Clean(strconv.Quote(written), maxQuote), err),
			Err:     err,
		}
	}
	if !r.isAllowed(ref.Context()) {
		return target{}, &report.Failure{
			Reason:  report.ReasonUnsupported,
			Message: fmt.Sprintf("images of %s are not looked up: registry.allowed in the provider's configuration does not list it", reference.Repository(ref.Context())),
		}
	}
	t := target{reference: written, ref: ref}
	if tag, ok := ref.(name.Tag); ok {
		t.tag = tag.TagStr()
	}
	scheme := r.gate.scheme(ref.Context().RegistryStr())
	t.base = scheme + "://" + reference.Address(scheme, ref.Context().RegistryStr())
	known, err := platform.Parse(platforms)
	if err != nil {
		return target{}, &report.Failure{Reason: report.ReasonUnsupported, Message: err.Error(), Err: err}
	}
	t.wanted, t.held = known.Within(r.platforms), r.options.ReadPlatform && len(known) > 0
	return t, nil
}

// remembered answers from the caches alone, and only when these credentials
// themselves have proved access lately.
func (r *Resolver) remembered(t target, creds credentials, tagTTL time.Duration) (*Resolved, bool) {
	digest := t.ref.Identifier()
	if t.tag != "" {
		tag, ok := r.tags.Get(tagKey(t, creds))
		if !ok || time.Since(tag.at) >= tagTTL {
			return nil, false
		}
		digest = tag.digest
	}
	proved := slices.IndexFunc(creds.list, func(cred credential) bool {
		_, ok := r.proofs.Get(proofKey(t.repository(), digest, cred))
		return ok
	})
	if proved < 0 {
		return nil, false
	}
	doc, ok := r.documents.Get(t.repository() + "@" + digest)
	if !ok || t.held && !doc.index {
		return nil, false
	}
	res, err := r.meaning(t, creds.list[proved], digest, doc, func(digest string) (*document, error) {
		return r.rememberedChild(t, digest)
	})
	return res, err == nil
}

// meaning is what t stands for when doc is what cred opened.
func (r *Resolver) meaning(t target, cred credential, digest string, doc *document, read func(digest string) (*document, error)) (*Resolved, error) {
	res := t.resolved(digest, cred)
	if doc.artifact != "" {
		res.Artifact = t.failure(unsupported(doc.artifact, nil), cred)
		return res, nil
	}
	var err error
	res.Manifests, err = r.choose(t, doc, read)
	return res, err
}

func (t target) resolved(digest string, cred credential) *Resolved {
	return &Resolved{
		Credential: cred.public(),
		Holder:     cred.holder(),
		Reference:  t.reference,
		Digest:     digest,
		Tag:        t.tag,
		Registry:   t.base,
		Repository: t.ref.Context().RepositoryStr(),
	}
}

func tagKey(t target, creds credentials) string { return t.ref.Name() + "\n" + creds.id }

func proofKey(repository, digest string, cred credential) string {
	return repository + "@" + digest + "\n" + cred.id
}
