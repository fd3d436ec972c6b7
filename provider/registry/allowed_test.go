package registry

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/report"
)

func TestOnlyAllowedRegistriesAreAskedAtAll(t *testing.T) {
	reg := newRegistry(t, false)
	reg.push("team/app:1")
	reg.push("other/app:1")
	reg.breakWith(nil)
	r := resolver(t, Options{Insecure: []string{reg.host()}, Allowed: []string{reg.host() + "/team", "docker.io/nginx"}})
	if _, err := r.Resolve(t.Context(), reg.host()+"/team/app:1", "", Access{}); err != nil {
		t.Error(err)
	}
	reg.breakWith(nil)
	for _, image := range []string{reg.host() + "/other/app:1", reg.host() + "/teammate/app:1", "evil.invalid/team/app:1", "redis"} {
		_, err := r.Resolve(t.Context(), image, "", Access{})
		wantFailure(t, err, report.ReasonUnsupported, "registry.allowed")
	}
	reg.mu.Lock()
	defer reg.mu.Unlock()
	if len(reg.seen) > 0 {
		t.Errorf("the registry was asked: %v", reg.seen)
	}
	for _, never := range []string{"nginx", "https://ghcr.io", "ghcr.io/Team", "ghcr.io/a:1"} {
		if _, err := New(Options{Allowed: []string{never}}); err == nil || !strings.Contains(err.Error(), "Allowed") {
			t.Errorf("%q was taken: %v", never, err)
		}
	}
}

func TestARegistryIsLeftAloneForAsLongAsItAsks(t *testing.T) {
	reg := newRegistry(t, false)
	reg.push("a:1")
	reg.breakWith(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	c := newCluster(t)
	c.secret("a", "s", reg.host(), "ann", "secret")
	r := resolver(t, Options{Insecure: []string{reg.host()}, PullSecrets: c.pullSecrets(t)})
	_, err := r.Resolve(t.Context(), reg.host()+"/a:1", "", Access{})
	wantFailure(t, err, report.ReasonUnavailable, "fewer requests")
	r.failures.Purge() // as time does
	for _, image := range []string{"/a:1", "/b:1", "/c:1"} {
		_, err := r.ResolveNow(t.Context(), reg.host()+image, "", Access{})
		f := theFailure(t, err, report.ReasonUnavailable, "is not asked again before", "UTC")
		if f.RetryAfter <= 0 || f.RetryAfter > maxWait {
			t.Errorf("retry after %s", f.RetryAfter)
		}
	}
	if n := len(reg.requests("")); n != 1 {
		t.Errorf("it was asked %d times", n)
	}
	// Another's account is not used up by that.
	reg.user, reg.pass = "ann", "secret"
	reg.breakWith(nil)
	if _, err := r.Resolve(t.Context(), reg.host()+"/a:1", "", Access{Namespace: "a", PullSecrets: []string{"s"}}); err != nil {
		t.Error(err)
	}
}

// TestOneSentenceForWhatCannotBeReached: five told a closed port from a name
// that does not exist and from another's certificate.
func TestOneSentenceForWhatCannotBeReached(t *testing.T) {
	closed, foreign, plain := newRegistry(t, false), newRegistry(t, true), newRegistry(t, false)
	gone := closed.host()
	closed.Close()
	resets := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.(*tls.Conn).NetConn().(*net.TCPConn).SetLinger(0)
		_ = conn.(*tls.Conn).NetConn().Close()
	}))
	defer resets.Close()
	reset := strings.TrimPrefix(resets.URL, "https://")
	r := resolver(t, Options{Hosts: (&testRegistry{Server: resets, t: t}).hosts()})
	for _, host := range []string{gone, foreign.host(), plain.host(), "name.invalid", reset} {
		_, err := r.Resolve(t.Context(), host+"/app:1", "", Access{})
		f := theFailure(t, err, report.ReasonUnavailable)
		if want := "registry " + host + " cannot be reached; the provider's log says why"; f.Message != want {
			t.Errorf("message %q, want %q", f.Message, want)
		}
		if f.Err == nil || f.Err.Error() == "" {
			t.Errorf("%s: the log learns nothing", host)
		}
	}
}
