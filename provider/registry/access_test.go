package registry

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

func private(t *testing.T) (*testRegistry, string) {
	reg := newRegistry(t, false)
	reg.user, reg.pass = "ann", "secret"
	return reg, reg.push("team/app:1")
}

func basic(user, pass string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+pass))
}

func TestProofOfAccessIsNotLent(t *testing.T) {
	reg, digest := private(t)
	c := newCluster(t)
	c.secret("a", "good", reg.host(), "ann", "secret")
	c.secret("b", "bad", reg.host(), "ann", "guess")
	c.secret("c", "other", "elsewhere.example", "ann", "secret")
	r := resolver(t, Options{Insecure: []string{reg.host()}, PullSecrets: c.pullSecrets(t)})
	good := Access{Namespace: "a", PullSecrets: []string{"good"}}
	for _, ref := range []string{"team/app:1", "team/app@" + digest} {
		for range 2 {
			if _, err := r.Resolve(t.Context(), reg.host()+"/"+ref, "", good); err != nil {
				t.Fatal(err)
			}
		}
		_, err := r.Resolve(t.Context(), reg.host()+"/"+ref, "", Access{Namespace: "b", PullSecrets: []string{"bad"}})
		wantFailure(t, err, report.ReasonUnauthorized, "refused the credentials of pull secret b/bad", "team/app", "no pull access")
		for _, access := range []Access{
			{},
			{Namespace: "c", PullSecrets: []string{"other"}},
			{Namespace: "c", PullSecrets: []string{"missing"}},
			{Namespace: "c", PullSecrets: []string{"good"}}, // of namespace a
		} {
			_, err := r.Resolve(t.Context(), reg.host()+"/"+ref, "", access)
			wantFailure(t, err, report.ReasonUnauthorized, "no pull access", "without credentials")
		}
	}
}

func TestEveryPullSecretIsTried(t *testing.T) {
	reg, digest := private(t)
	c := newCluster(t)
	c.secret("a", "old", reg.host(), "ann", "expired")
	c.secret("a", "good", reg.host(), "ann", "secret")
	c.account("a", "builder", "good")
	r := resolver(t, Options{Insecure: []string{reg.host()}, PullSecrets: c.pullSecrets(t)})
	access := Access{Namespace: "a", ServiceAccount: "builder", PullSecrets: []string{"missing", "old"}}
	res, err := r.Resolve(t.Context(), reg.host()+"/team/app:1", "", access)
	if err != nil {
		t.Fatal(err)
	}
	if res.Digest != digest {
		t.Errorf("resolved to %s", res.Digest)
	}
	got, err := r.Authorization(t.Context(), res, access)
	if err != nil {
		t.Fatal(err)
	}
	if want := basic("ann", "secret"); got != want {
		t.Errorf("authorization is %q, want that of the secret that was accepted", got)
	}
}

func TestDefaultServiceAccount(t *testing.T) {
	reg, _ := private(t)
	c := newCluster(t)
	c.secret("a", "good", reg.host(), "ann", "secret")
	c.account("a", "default", "good")
	r := resolver(t, Options{Insecure: []string{reg.host()}, PullSecrets: c.pullSecrets(t)})
	if _, err := r.Resolve(t.Context(), reg.host()+"/team/app:1", "", Access{Namespace: "a"}); err != nil {
		t.Error(err)
	}
}

func TestSecretsAreReadOnceForAWhile(t *testing.T) {
	reg, _ := private(t)
	c := newCluster(t)
	c.secret("a", "good", reg.host(), "ann", "secret")
	r := resolver(t, Options{Insecure: []string{reg.host()}, PullSecrets: c.pullSecrets(t)})
	access := Access{Namespace: "a", PullSecrets: []string{"good", "missing"}}
	for range 20 {
		if _, err := r.Resolve(t.Context(), reg.host()+"/team/app:1", "", access); err != nil {
			t.Fatal(err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.requests != 3 {
		t.Errorf("the API server was asked %d times, want 3: two Secrets and the service account", c.requests)
	}
}

func TestAPIServerErrors(t *testing.T) {
	c := newCluster(t)
	c.fail(http.StatusForbidden)
	r := resolver(t, Options{PullSecrets: c.pullSecrets(t)})
	_, err := r.Resolve(t.Context(), "registry.invalid/app:1", "", Access{Namespace: "a", PullSecrets: []string{"s"}})
	wantFailure(t, err, report.ReasonUnavailable, "API server")
}

func TestMalformedSecret(t *testing.T) {
	c := newCluster(t)
	c.set("a/secrets/s", map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
		"data": map[string][]byte{".dockerconfigjson": []byte("{")},
	})
	r := resolver(t, Options{PullSecrets: c.pullSecrets(t)})
	_, err := r.Resolve(t.Context(), "registry.invalid/app:1", "", Access{Namespace: "a", PullSecrets: []string{"s"}})
	wantFailure(t, err, report.ReasonUnauthorized, "pull secret a/s does not hold a valid docker configuration")
}

func writeDockerConfig(t *testing.T, path, host, user, pass string) {
	t.Helper()
	b, err := json.Marshal(map[string]any{"auths": map[string]any{
		host: map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(user + ":" + pass))},
	}})
	if err != nil {
		t.Fatal(err)
	}
	// As Kubernetes replaces mounted files: never half written.
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestDockerConfigIsReadAgain(t *testing.T) {
	reg, _ := private(t)
	path := filepath.Join(t.TempDir(), "config.json")
	writeDockerConfig(t, path, reg.host(), "ann", "wrong")
	r := resolver(t, Options{Insecure: []string{reg.host()}, DockerConfig: path})
	_, err := r.Resolve(t.Context(), reg.host()+"/team/app:1", "", Access{})
	wantFailure(t, err, report.ReasonUnauthorized, "the provider's docker configuration")

	writeDockerConfig(t, path, reg.host(), "ann", "secret")
	res, err := r.Resolve(t.Context(), reg.host()+"/team/app:1", "", Access{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Authorization(t.Context(), res, Access{})
	if err != nil || got != basic("ann", "secret") {
		t.Errorf("authorization is %q, %v", got, err)
	}
	// A file that is half written, or gone for a moment, takes nothing away.
	r = resolver(t, Options{Insecure: []string{reg.host()}, DockerConfig: path, AccessTTL: time.Microsecond})
	if err := os.WriteFile(path, []byte(`{"auths":{"`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Resolve(t.Context(), reg.host()+"/team/app:1", "", Access{}); err != nil {
		t.Errorf("half written: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Resolve(t.Context(), reg.host()+"/team/app:1", "", Access{}); err != nil {
		t.Errorf("gone: %v", err)
	}
	writeDockerConfig(t, path, reg.host(), "ann", "wrong again")
	_, err = r.Resolve(t.Context(), reg.host()+"/team/app:1", "", Access{})
	wantFailure(t, err, report.ReasonUnauthorized, "the provider's docker configuration")
}

// TestBothMatchingEntriesOfOneSecretAreTried: the one for the path has expired,
// the one for the host is good.
func TestBothMatchingEntriesOfOneSecretAreTried(t *testing.T) {
	reg, digest := private(t)
	config := fmt.Sprintf(`{"auths":{%q:{"username":"ann","password":"expired"},%q:{"username":"ann","password":"secret"},%q:{"auth":"!"}}}`,
		reg.host()+"/team", reg.host(), "broken.example")
	c := newCluster(t)
	c.set("a/secrets/s", map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
		"data": map[string][]byte{".dockerconfigjson": []byte(config)},
	})
	path := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for source, access := range map[string]Access{"pull Secret": {Namespace: "a", PullSecrets: []string{"s"}}, "file": {}} {
		r := resolver(t, Options{Insecure: []string{reg.host()}, PullSecrets: c.pullSecrets(t), DockerConfig: path})
		res, err := r.Resolve(t.Context(), reg.host()+"/team/app:1", "", access)
		if err != nil || res.Digest != digest {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got, err := r.Authorization(t.Context(), res, access); err != nil || got != basic("ann", "secret") {
			t.Errorf("%s: authorization is %q, %v", source, got, err)
		}
		_, err = r.Resolve(t.Context(), "broken.example/app:1", "", access)
		f := theFailure(t, err, report.FailureOf(err).Reason, `entry "broken.example"`)
		if f.Reason == report.ReasonNotFound {
			t.Errorf("%s: %v", source, f)
		}
	}
}

func TestAPullSecretComesBeforeTheDockerConfig(t *testing.T) {
	reg, _ := private(t)
	c := newCluster(t)
	c.secret("a", "bad", reg.host(), "ann", "guess")
	path := filepath.Join(t.TempDir(), "config.json")
	writeDockerConfig(t, path, reg.host(), "ann", "secret")
	r := resolver(t, Options{Insecure: []string{reg.host()}, DockerConfig: path, PullSecrets: c.pullSecrets(t)})
	if _, err := r.Resolve(t.Context(), reg.host()+"/team/app:1", "", Access{Namespace: "a"}); err != nil {
		t.Error(err)
	}
	_, err := r.Resolve(t.Context(), reg.host()+"/team/app:1", "", Access{Namespace: "a", PullSecrets: []string{"bad"}})
	wantFailure(t, err, report.ReasonUnauthorized, "pull secret a/bad")
}

func TestProofExpires(t *testing.T) {
	reg, digest := private(t)
	path := filepath.Join(t.TempDir(), "config.json")
	writeDockerConfig(t, path, reg.host(), "ann", "secret")
	r := resolver(t, Options{Insecure: []string{reg.host()}, DockerConfig: path, AccessTTL: 20 * time.Millisecond})
	resolve := func() error {
		_, err := r.Resolve(t.Context(), reg.host()+"/team/app@"+digest, "", Access{})
		return err
	}
	if err := resolve(); err != nil {
		t.Fatal(err)
	}
	reg.breakWith(answer(http.StatusForbidden, "application/json", ""))
	deadline := time.Now().Add(10 * time.Second)
	for resolve() == nil {
		if time.Now().After(deadline) {
			t.Fatal("access that was withdrawn is believed for ever")
		}
		time.Sleep(5 * time.Millisecond)
	}
	wantFailure(t, resolve(), report.ReasonUnauthorized)
}

// TestTokenServer goes through the token protocol of most public registries,
// with a password and with an identity token.
func TestTokenServer(t *testing.T) {
	reg := newRegistry(t, false)
	digest := reg.push("team/app:1")
	inner := reg.Config.Handler
	reg.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/token" {
			user, pass, _ := req.BasicAuth()
			identity := req.Method == http.MethodPost && req.FormValue("refresh_token") == "identity"
			if !identity && (user != "ann" || pass != "secret") {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			_, _ = fmt.Fprint(w, `{"token":"pass-on"}`)
			return
		}
		if req.Header.Get("Authorization") != "Bearer pass-on" {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="s"`, reg.URL))
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		req.Header.Del("Authorization")
		inner.ServeHTTP(w, req)
	})
	path := filepath.Join(t.TempDir(), "config.json")
	write := func(entry string) {
		t.Helper()
		text := fmt.Sprintf(`{"auths":{%q:%s}}`, reg.host(), entry)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct{ entry, want string }{
		{`{"auth":"` + base64.StdEncoding.EncodeToString([]byte("ann:secret")) + `"}`, basic("ann", "secret")},
		{`{"identitytoken":"identity"}`, "Bearer pass-on"},
		{`{"registrytoken":"pass-on"}`, "Bearer pass-on"},
	} {
		write(tc.entry)
		r := resolver(t, Options{Insecure: []string{reg.host()}, DockerConfig: path})
		for _, ref := range []string{"team/app:1", "team/app@" + digest} {
			res, err := r.Resolve(t.Context(), reg.host()+"/"+ref, "", Access{})
			if err != nil {
				t.Fatalf("%s: %v", tc.entry, err)
			}
			got, err := r.Authorization(t.Context(), res, Access{})
			if err != nil || got != tc.want {
				t.Errorf("authorization is %q, %v; want %q", got, err, tc.want)
			}
		}
	}
	write(`{"auth":"` + base64.StdEncoding.EncodeToString([]byte("ann:wrong")) + `"}`)
	_, err := resolver(t, Options{Insecure: []string{reg.host()}, DockerConfig: path}).
		Resolve(t.Context(), reg.host()+"/team/app:1", "", Access{})
	wantFailure(t, err, report.ReasonUnauthorized, "refused the credentials")
}
