package registry

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/imagegate/imagegate/provider/registry/transport"
	"github.com/imagegate/imagegate/provider/report"
)

// testRegistry is a real registry (go-containerregistry's) behind a door that
// can ask for a password, break, and count.
type testRegistry struct {
	*httptest.Server
	t    testing.TB
	user string
	pass string

	mu    sync.Mutex
	fault http.HandlerFunc
	far   time.Duration // how long a request is on its way
	seen  []string
}

func newRegistry(t testing.TB, tls bool) *testRegistry {
	t.Helper()
	r := &testRegistry{t: t}
	inner := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	h := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		fault, far, wantUser, wantPass := r.fault, r.far, r.user, r.pass
		r.seen = append(r.seen, req.Method+" "+req.URL.Path)
		r.mu.Unlock()
		time.Sleep(far)
		if user, pass, _ := req.BasicAuth(); user != wantUser || pass != wantPass {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if fault != nil && strings.Contains(req.URL.Path, "/manifests/") {
			fault(w, req)
			return
		}
		inner.ServeHTTP(w, req)
	})
	r.Server = httptest.NewUnstartedServer(h)
	r.Config.ErrorLog = log.New(io.Discard, "", 0)
	if tls {
		r.StartTLS()
	} else {
		r.Start()
	}
	t.Cleanup(r.Close)
	return r
}

func (r *testRegistry) host() string {
	u, err := url.Parse(r.URL)
	if err != nil {
		r.t.Fatal(err)
	}
	return u.Host
}

// renew changes the password.
func (r *testRegistry) renew(pass string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pass = pass
}

func (r *testRegistry) breakWith(h http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault, r.seen = h, nil
}

func (r *testRegistry) requests(method string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, s := range r.seen {
		if strings.HasPrefix(s, method) && strings.Contains(s, "/manifests/") {
			out = append(out, s)
		}
	}
	return out
}

// hosts trusts the registry's own authority for it, and lists token servers.
func (r *testRegistry) hosts(tokenHosts ...string) *transport.Hosts {
	h, err := transport.NewHosts(map[string]string{r.host(): r.caFile()}, tokenHosts, slog.New(slog.DiscardHandler))
	if err != nil {
		r.t.Fatal(err)
	}
	return h
}

func (r *testRegistry) caFile() string {
	path := filepath.Join(r.t.TempDir(), "ca.crt")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw})
	if err := os.WriteFile(path, b, 0o600); err != nil {
		r.t.Fatal(err)
	}
	return path
}

func (r *testRegistry) ref(s string) name.Reference {
	ref, err := name.ParseReference(r.host()+"/"+s, name.Insecure)
	if err != nil {
		r.t.Fatal(err)
	}
	return ref
}

func (r *testRegistry) writeOptions() []remote.Option {
	opts := []remote.Option{remote.WithTransport(r.Client().Transport)}
	if r.user != "" {
		opts = append(opts, remote.WithAuth(&authn.Basic{Username: r.user, Password: r.pass}))
	}
	return opts
}

func (r *testRegistry) push(ref string) string {
	img, err := random.Image(64, 1)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.pushImage(ref, img)
}

func (r *testRegistry) pushImage(ref string, img v1.Image) string {
	if err := remote.Write(r.ref(ref), img, r.writeOptions()...); err != nil {
		r.t.Fatal(err)
	}
	d, err := img.Digest()
	if err != nil {
		r.t.Fatal(err)
	}
	return d.String()
}

// pushIndex pushes an index of one image per platform; "" names no platform.
func (r *testRegistry) pushIndex(ref string, platforms ...string) (string, map[string]string) {
	digests := map[string]string{}
	idx := v1.ImageIndex(empty.Index)
	for _, s := range platforms {
		img, err := random.Image(64, 1)
		if err != nil {
			r.t.Fatal(err)
		}
		d, err := img.Digest()
		if err != nil {
			r.t.Fatal(err)
		}
		digests[s] = d.String()
		add := mutate.IndexAddendum{Add: img}
		if s != "" {
			if add.Platform, err = v1.ParsePlatform(s); err != nil {
				r.t.Fatal(err)
			}
		}
		idx = mutate.AppendManifests(idx, add)
	}
	return r.writeIndex(ref, idx), digests
}

func (r *testRegistry) writeIndex(ref string, idx v1.ImageIndex) string {
	if err := remote.WriteIndex(r.ref(ref), idx, r.writeOptions()...); err != nil {
		r.t.Fatal(err)
	}
	d, err := idx.Digest()
	if err != nil {
		r.t.Fatal(err)
	}
	return d.String()
}

func resolver(t testing.TB, o Options) *Resolver {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func wantFailure(t *testing.T, err error, reason report.Reason, words ...string) {
	t.Helper()
	_ = theFailure(t, err, reason, words...)
}

func theFailure(t *testing.T, err error, reason report.Reason, words ...string) *report.Failure {
	t.Helper()
	f, ok := errors.AsType[*report.Failure](err)
	if !ok {
		t.Fatalf("error is %T %v, want a *report.Failure", err, err)
	}
	if f.Reason != reason {
		t.Errorf("reason is %s (%s; %v), want %s", f.Reason, f.Message, f.Err, reason)
	}
	for _, w := range words {
		if !strings.Contains(f.Message, w) {
			t.Errorf("message %q does not contain %q", f.Message, w)
		}
	}
	return f
}

// cluster speaks the two reads of the API server that pull secrets need. The
// end-to-end tests read real Secrets from a real API server.
type cluster struct {
	*httptest.Server
	mu       sync.Mutex
	objects  map[string]any
	status   int
	requests int
}

func newCluster(t *testing.T) *cluster {
	c := &cluster{objects: map[string]any{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.requests++
		w.Header().Set("Content-Type", "application/json")
		o, ok := c.objects[strings.TrimPrefix(req.URL.Path, "/api/v1/namespaces/")]
		switch {
		case c.status != 0:
			w.WriteHeader(c.status)
			_, _ = fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":%d}`, c.status)
		case !ok:
			w.WriteHeader(http.StatusNotFound)
			_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
		default:
			_ = json.NewEncoder(w).Encode(o)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *cluster) pullSecrets(t *testing.T) PullSecrets {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"c",
		"clusters":[{"name":"c","cluster":{"server":%q}}],
		"contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],"users":[{"name":"u","user":{}}]}`, c.URL)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return PullSecrets{Enabled: true, Kubeconfig: path}
}

func (c *cluster) set(path string, o any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.objects[path] = o
}

func (c *cluster) fail(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = status
}

func (c *cluster) secret(namespace, secret, host, user, pass string) {
	auths := map[string]any{host: map[string]string{"username": user, "password": pass}}
	b, _ := json.Marshal(map[string]any{"auths": auths})
	c.set(namespace+"/secrets/"+secret, map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
		"metadata": map[string]string{"name": secret, "namespace": namespace},
		"data":     map[string][]byte{".dockerconfigjson": b},
	})
}

func (c *cluster) account(namespace, account string, secrets ...string) {
	refs := []map[string]string{}
	for _, s := range secrets {
		refs = append(refs, map[string]string{"name": s})
	}
	c.set(namespace+"/serviceaccounts/"+account, map[string]any{
		"apiVersion": "v1", "kind": "ServiceAccount",
		"metadata":         map[string]string{"name": account, "namespace": namespace},
		"imagePullSecrets": refs,
	})
}
