package registry

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

func answer(status int, mediaType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}
}

func TestFailures(t *testing.T) {
	const (
		oci   = "application/vnd.oci.image.manifest.v1+json"
		index = "application/vnd.oci.image.index.v1+json"
		plain = "application/json"
	)
	manifest := func(config string) string {
		return fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":%q,"digest":"sha256:%064d","size":2},"layers":[]}`, config, 0)
	}
	for name, tc := range map[string]struct {
		fault  http.HandlerFunc
		reason report.Reason
		words  string
	}{
		"forbidden":     {answer(403, plain, `{"errors":[{"code":"DENIED"}]}`), report.ReasonUnauthorized, "no pull access"},
		"unknown tag":   {answer(404, plain, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`), report.ReasonNotFound, "has no tag 1 in repository app"},
		"unknown repo":  {answer(404, plain, `{"errors":[{"code":"NAME_UNKNOWN"}]}`), report.ReasonNotFound, "has no repository app"},
		"bare 404":      {answer(404, "text/html", `<html>`), report.ReasonNotFound, "has no tag"},
		"bad name":      {answer(400, plain, `{"errors":[{"code":"NAME_INVALID"}]}`), report.ReasonNotFound, "does not accept the name"},
		"teapot":        {answer(418, plain, ``), report.ReasonInternal, "418"},
		"server error":  {answer(500, plain, ``), report.ReasonUnavailable, "status 500"},
		"bad gateway":   {answer(502, "text/html", `<html>`), report.ReasonUnavailable, "status 502"},
		"not JSON":      {answer(200, oci, `{`), report.ReasonUnsupported, "not valid JSON"},
		"wrong type":    {answer(200, "text/html", `{}`), report.ReasonUnsupported, "text/html"},
		"no config":     {answer(200, oci, `{"layers":[]}`), report.ReasonUnsupported, "no image configuration"},
		"helm chart":    {answer(200, oci, manifest("application/vnd.cncf.helm.config.v1+json")), report.ReasonUnsupported, "Helm chart"},
		"artifact":      {answer(200, oci, manifest("application/vnd.oci.empty.v1+json")), report.ReasonUnsupported, "artifact of type"},
		"schema 1":      {answer(200, "application/vnd.docker.distribution.manifest.v1+prettyjws", `{}`), report.ReasonUnsupported, "schema 1"},
		"two kinds":     {answer(200, index, `{"manifests":[],"config":{}}`), report.ReasonUnsupported, "at once"},
		"contradiction": {answer(200, oci, `{"mediaType":"`+index+`","manifests":[]}`), report.ReasonUnsupported, "calls itself"},
		"empty index":   {answer(200, index, `{"manifests":[]}`), report.ReasonUnsupported, "without any container image"},
		"huge index":    {answer(200, index, `{"manifests":[`+strings.Repeat(`{},`, 200)+`{}]}`), report.ReasonUnsupported, "more than 128"},
		"bad digest":    {answer(200, index, `{"manifests":[{"mediaType":"`+index+`","digest":"sha256:../../x"}]}`), report.ReasonUnsupported, "invalid digest"},
		"too large":     {answer(200, oci, strings.Repeat(" ", maxManifestBytes+1)), report.ReasonTooLarge, "larger than"},
		"dropped": {func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		}, report.ReasonUnavailable, "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			reg := newRegistry(t, false)
			reg.breakWith(func(w http.ResponseWriter, req *http.Request) {
				if req.Method == http.MethodHead {
					// As registries do that know no HEAD: the GET decides.
					w.WriteHeader(http.StatusMethodNotAllowed)
					return
				}
				tc.fault(w, req)
			})
			r := resolver(t, Options{Insecure: []string{reg.host()}})
			f := theFailure(t, unscannable(r.Resolve(t.Context(), reg.host()+"/app:1", "", Access{})), tc.reason, tc.words)
			if !strings.Contains(f.Message, reg.host()) {
				t.Errorf("message %q does not name the registry or image", f.Message)
			}
		})
	}
}

func TestThrottling(t *testing.T) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		reg := newRegistry(t, false)
		reg.breakWith(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
		})
		r := resolver(t, Options{Insecure: []string{reg.host()}})
		_, err := r.Resolve(t.Context(), reg.host()+"/app:1", "", Access{})
		f := theFailure(t, err, report.ReasonUnavailable, "fewer requests")
		if f.RetryAfter != 7*time.Second {
			t.Errorf("%d: retry after %s, want 7s", status, f.RetryAfter)
		}
		if n := len(reg.requests("")); n != 1 {
			t.Errorf("%d: %d requests, want one", status, n)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for in, want := range map[string]time.Duration{
		"": 0, "-1": 0, "soon": 0, "9": 9 * time.Second, "99999999": 24 * time.Hour,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0,
	} {
		if got := retryAfter(in, now); got != want {
			t.Errorf("retryAfter(%q) is %s, want %s", in, got, want)
		}
	}
}

func TestWrongBytesForADigestAreRefused(t *testing.T) {
	reg := newRegistry(t, false)
	digest := reg.push("app:1")
	reg.breakWith(answer(200, "application/vnd.oci.image.manifest.v1+json", `{"config":{"mediaType":"application/vnd.oci.image.config.v1+json"}}`))
	r := resolver(t, Options{Insecure: []string{reg.host()}})
	_, err := r.Resolve(t.Context(), reg.host()+"/app@"+digest, "", Access{})
	wantFailure(t, err, report.ReasonInternal, "cannot be used", "does not match")
}

func TestUnreachable(t *testing.T) {
	reg := newRegistry(t, false)
	host := reg.host()
	reg.Close()
	r := resolver(t, Options{Insecure: []string{host}})
	_, err := r.Resolve(t.Context(), host+"/app:1", "", Access{})
	wantFailure(t, err, report.ReasonUnavailable, host, "cannot be reached")
	_, err = r.Resolve(t.Context(), "registry.invalid/app:1", "", Access{})
	wantFailure(t, err, report.ReasonUnavailable, "registry.invalid")
	_, err = r.Resolve(t.Context(), "Not A Reference", "", Access{})
	wantFailure(t, err, report.ReasonNotFound, "not a valid image reference")
}

func TestAHangingRegistryIsNamedToTheNextAsker(t *testing.T) {
	reg := newRegistry(t, false)
	reg.push("team/app:v1")
	r := resolver(t, Options{Insecure: []string{reg.host()}, Timeout: 100 * time.Millisecond, FailureTTL: 300 * time.Millisecond})
	release := make(chan struct{})
	reg.breakWith(func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-release:
		case <-req.Context().Done():
		}
	})
	image := reg.host() + "/team/app:v1"
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := r.Resolve(impatient, image, "", Access{})
	wantFailure(t, err, report.ReasonUnavailable)
	_, err = r.Resolve(t.Context(), image, "", Access{}) // joins the first asker's flight
	wantFailure(t, err, report.ReasonUnavailable, "has not answered")
	asked := len(reg.requests(http.MethodHead))
	_, err = r.Resolve(impatient, image, "", Access{})
	wantFailure(t, err, report.ReasonUnavailable, "has not answered")
	if n := len(reg.requests(http.MethodHead)); n != asked {
		t.Errorf("a remembered failure was asked of the registry again")
	}
	close(release)
	reg.breakWith(nil)
	for err != nil && t.Context().Err() == nil {
		time.Sleep(20 * time.Millisecond)
		_, err = r.Resolve(t.Context(), image, "", Access{})
	}
}
