package pullthrough

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	remotetransport "github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/internal/remote"
	"github.com/imagegate/imagegate/provider/registry/transport"
	"github.com/imagegate/imagegate/provider/report"
)

// origin is the repository that an image is read from, with its credentials.
type origin struct {
	host       string
	repository string
	base       string
	// share is whose image it is.
	share  string
	client *http.Client
}

const userAgent = "imagegate"

func open(ctx context.Context, ways *transport.Set, image backend.Image) (*origin, error) {
	u, err := url.Parse(image.Registry)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, &report.Failure{Reason: report.ReasonInternal, Message: "the registry's address is not a URL", Err: err}
	}
	o := &origin{host: u.Host, repository: image.Repository, share: image.Share, base: u.Scheme + "://" + u.Host + "/v2/" + image.Repository}
	way := &way{ways: ways}
	var names []name.Option
	if u.Scheme == "http" {
		way.plain = u.Host
		names = append(names, name.Insecure)
	}
	repo, err := name.NewRepository(u.Host+"/"+image.Repository, names...)
	if err != nil {
		return nil, o.wrong("its name is not valid")
	}
	auth, err := transport.Authenticator(image.Authorization)
	if err != nil {
		return nil, &report.Failure{Reason: report.ReasonInternal, Message: err.Error()}
	}
	rt, err := remotetransport.NewWithContext(ctx, repo.Registry, auth, ways.Around(way), []string{repo.Scope(remotetransport.PullScope)})
	if err != nil {
		return nil, o.trouble("its content", err)
	}
	o.client = &http.Client{Transport: rt}
	return o, nil
}

// blob begins to read a blob of the repository, which ends with ctx. The reader
// fails when the registry sends too slowly.
func (o *origin) blob(ctx context.Context, digest string) (*body, error) {
	return o.get(ctx, "/blobs/"+digest, "")
}

func (o *origin) manifest(ctx context.Context, digest, mediaType string) (*body, error) {
	return o.get(ctx, "/manifests/"+digest, mediaType)
}

// body is content on its way.
type body struct {
	io.Reader
	// length is what the registry says it will send, or -1.
	length int64
	// ended reports whether all of what the registry sends has been read.
	ended func() bool
	close func()
}

func (o *origin) get(ctx context.Context, path, accept string) (*body, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.base+path, nil)
	if err != nil {
		cancel(nil)
		return nil, fmt.Errorf("making a request: %w", err)
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set(contentMark, "1")
	// net/http would unpack by itself what is said to be packed for the way.
	req.Header.Set("Accept-Encoding", "identity")
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := o.client.Do(req)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	end := func() {
		cancel(nil)
		_ = resp.Body.Close()
	}
	if resp.StatusCode != http.StatusOK {
		end()
		return nil, &statusError{code: resp.StatusCode, retryAfter: remote.Delay(resp.Header, "Retry-After", maxRetryAfter)}
	}
	p := newPaced(ctx, resp.Body, cancel)
	return &body{Reader: p, length: resp.ContentLength, ended: func() bool { return p.ended }, close: end}, nil
}

// contentMark is a header by which the way knows the requests whose answers are
// bounded by their reader. It is never sent.
const contentMark = "Imagegate-Content"

// maxAnswer bounds every other answer: tokens and errors.
const maxAnswer = 1 << 20

// way is how one image's registry is spoken to: over plain HTTP that registry
// alone, and only when its configured scheme says so. go-containerregistry
// tries it by itself on loopback and private addresses.
type way struct {
	ways  *transport.Set
	plain string
}

// RoundTrip implements http.RoundTripper.
func (w *way) RoundTrip(req *http.Request) (*http.Response, error) {
	content := req.Header.Get(contentMark) != ""
	req = req.Clone(req.Context())
	req.Header.Del(contentMark)
	switch {
	case w.plain != "" && req.URL.Host == w.plain:
		req.URL.Scheme = "http"
	case req.URL.Scheme != "https":
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, fmt.Errorf("plain HTTP to %s is off", req.URL.Host)
	}
	resp, err := w.ways.For(req.URL.Host).RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if !content || resp.StatusCode != http.StatusOK {
		resp.Body = transport.Bound(resp.Body, maxAnswer)
	}
	return resp, nil
}

// maxRetryAfter bounds what a registry may ask for.
const maxRetryAfter = 24 * time.Hour
