package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	remotetransport "github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/imagegate/imagegate/provider/reference"
	"github.com/imagegate/imagegate/provider/registry/transport"
	"github.com/imagegate/imagegate/provider/report"
)

// isRefused reports whether the registry or its token server turned the
// credentials down, which other credentials may cure.
func isRefused(err error) bool {
	te, ok := errors.AsType[*remotetransport.Error](err)
	if !ok {
		return false
	}
	return te.StatusCode == http.StatusUnauthorized || te.StatusCode == http.StatusForbidden
}

func isNetwork(err error) bool {
	if _, ok := errors.AsType[*url.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// failure says in the words of a Pod's author why t has no answer.
func (t target) failure(err error, cred credential) *report.Failure {
	return brief(t.explain(err, cred))
}

func (t target) explain(err error, cred credential) *report.Failure {
	if f, ok := errors.AsType[*report.Failure](err); ok {
		if f.Reason == report.ReasonUnsupported {
			return &report.Failure{Reason: f.Reason, Message: fmt.Sprintf("%s cannot be scanned: %s", t.reference, f.Message), Err: f.Err}
		}
		return f
	}
	if e, ok := errors.AsType[*transport.TokenHostError](err); ok {
		return t.unavailable("cannot be read: "+e.Error(), err)
	}
	if isRefused(err) {
		return t.refused(err, credentials{list: []credential{cred}})
	}
	if te, ok := errors.AsType[*throttledError](err); ok {
		f := t.unavailable("asks for fewer requests", err)
		f.RetryAfter = te.retryAfter
		return f
	}
	if te, ok := errors.AsType[*remotetransport.Error](err); ok {
		return t.answered(te)
	}
	if errors.Is(err, transport.ErrTooLarge) {
		return &report.Failure{
			Reason:  report.ReasonTooLarge,
			Message: fmt.Sprintf("%s cannot be scanned: its manifest is larger than %d bytes", t.reference, maxManifestBytes),
			Err:     err,
		}
	}
	if isNetwork(err) {
		return t.unreachable(err)
	}
	return &report.Failure{
		Reason:  report.ReasonInternal,
		Message: fmt.Sprintf("registry %s gave an answer about %s that cannot be used: %s", t.host(), t.reference, quote(err)),
		Err:     err,
	}
}

// host is the registry as it is counted, kept and spoken of.
func (t target) host() string { return reference.Host(t.ref.Context().RegistryStr()) }

func (t target) unavailable(what string, err error) *report.Failure {
	return &report.Failure{
		Reason:  report.ReasonUnavailable,
		Message: fmt.Sprintf("registry %s %s", t.host(), what),
		Err:     err,
	}
}

func (t target) slow(err error) *report.Failure {
	return t.unavailable(fmt.Sprintf("has not answered about %s in time", t.reference), err)
}

func (t target) unreachable(err error) *report.Failure {
	op, ok := errors.AsType[*net.OpError](err)
	connected := !ok || op.Op != "dial"
	if connected && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		return t.slow(err)
	}
	if p, ok := errors.AsType[*plainHTTPError](err); ok && reference.Host(p.host) != t.host() {
		return t.unavailable(fmt.Sprintf("sends its readers on to %s over plain HTTP, which is allowed only for registries listed under registry.insecure in the provider's configuration", p.host), err)
	}
	if errors.Is(err, http.ErrSchemeMismatch) {
		err = fmt.Errorf("it answers in plain HTTP and is not listed under registry.insecure (--insecure-registries): %w", err)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		err = fmt.Errorf("its certificate is not trusted (registry.caFiles): %w", err)
	}
	// One sentence for whatever is behind it: a Pod's author chooses who is asked,
	// and must not find out by that what listens where. The log has the cause.
	return t.unavailable("cannot be reached; the provider's log says why", err)
}

func (t target) answered(err *remotetransport.Error) *report.Failure {
	switch {
	case err.StatusCode == http.StatusNotFound:
		return &report.Failure{Reason: report.ReasonNotFound, Message: t.missing(err), Err: err}
	case err.StatusCode == http.StatusRequestTimeout || err.StatusCode >= http.StatusInternalServerError:
		return t.unavailable(fmt.Sprintf("answered with status %d", err.StatusCode), err)
	case err.StatusCode == http.StatusBadRequest && hasCode(err, remotetransport.NameInvalidErrorCode, remotetransport.TagInvalidErrorCode, remotetransport.DigestInvalidErrorCode):
		return &report.Failure{
			Reason:  report.ReasonNotFound,
			Message: fmt.Sprintf("registry %s does not accept the name %s", t.host(), t.reference),
			Err:     err,
		}
	}
	return &report.Failure{
		Reason:  report.ReasonInternal,
		Message: fmt.Sprintf("registry %s answered about %s with status %d", t.host(), t.reference, err.StatusCode),
		Err:     err,
	}
}

func hasCode(err *remotetransport.Error, codes ...remotetransport.ErrorCode) bool {
	for _, d := range err.Errors {
		for _, c := range codes {
			if d.Code == c {
				return true
			}
		}
	}
	return false
}

func (t target) missing(err *remotetransport.Error) string {
	repo := t.ref.Context().RepositoryStr()
	if hasCode(err, remotetransport.NameUnknownErrorCode) {
		return fmt.Sprintf("registry %s has no repository %s", t.host(), repo)
	}
	if t.tag != "" {
		return fmt.Sprintf("registry %s has no tag %s in repository %s", t.host(), t.tag, repo)
	}
	return fmt.Sprintf("registry %s has no image %s in repository %s", t.host(), t.ref.Identifier(), repo)
}

// refused says that none of the credentials opens the repository. Docker Hub
// and others answer the same when there is no such repository.
func (t target) refused(err error, creds credentials) *report.Failure {
	repo := t.ref.Context().RepositoryStr()
	if creds.doubt != nil {
		return unreadable(creds.doubt)
	}
	var msg string
	switch last := creds.list[len(creds.list)-1]; {
	case last.source == "":
		msg = fmt.Sprintf("registry %s gives nobody without credentials access to repository %s, and there are no credentials for it (no pull access)", t.host(), repo)
	case len(creds.list) == 1:
		msg = fmt.Sprintf("registry %s refused the credentials of %s for repository %s (no pull access)", t.host(), last.source, repo)
	default:
		msg = fmt.Sprintf("registry %s refused all %d credentials for repository %s, the last of %s (no pull access)", t.host(), len(creds.list), repo, last.source)
	}
	if t.host() == reference.DockerHub {
		msg += "; Docker Hub answers the same for a repository that does not exist"
	}
	return &report.Failure{Reason: report.ReasonUnauthorized, Message: msg, Err: err}
}
