package registry

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/report"
)

// TestARefusalEndsTheProof: the credential died after it had been accepted, and
// a scan that used it was turned down.
func TestARefusalEndsTheProof(t *testing.T) {
	reg, digest := private(t)
	c := newCluster(t)
	c.secret("a", "short-lived", reg.host(), "ann", "secret")
	r := resolver(t, Options{Insecure: []string{reg.host()}, PullSecrets: c.pullSecrets(t)})
	access := Access{Namespace: "a", PullSecrets: []string{"short-lived"}}
	res, err := r.Resolve(t.Context(), reg.host()+"/team/app@"+digest, "", access)
	if err != nil {
		t.Fatal(err)
	}
	reg.renew("changed")
	if _, err := r.Resolve(t.Context(), reg.host()+"/team/app@"+digest, "", access); err != nil {
		t.Fatalf("within the time that a proof counts: %v", err)
	}
	r.Refused(t.Context(), res, access)
	_, err = r.Resolve(t.Context(), reg.host()+"/team/app@"+digest, "", access)
	wantFailure(t, err, report.ReasonUnauthorized, "refused the credentials of pull secret a/short-lived")
}

// TestARefusalEndsTheProofOfEveryListThatHoldsTheCredential: the proof used to be
// kept by list, so that another Pod with one more Secret went on with the dead
// credential for five minutes.
func TestARefusalEndsTheProofOfEveryListThatHoldsTheCredential(t *testing.T) {
	reg, digest := private(t)
	c := newCluster(t)
	c.secret("a", "other", reg.host(), "bob", "wrong")
	c.secret("a", "short-lived", reg.host(), "ann", "secret")
	c.secret("b", "a-copy", reg.host(), "ann", "secret")
	r := resolver(t, Options{Insecure: []string{reg.host()}, PullSecrets: c.pullSecrets(t)})
	image := reg.host() + "/team/app@" + digest
	lists := []Access{
		{Namespace: "a", PullSecrets: []string{"short-lived"}},
		{Namespace: "a", PullSecrets: []string{"other", "short-lived"}},
		{Namespace: "a", PullSecrets: []string{"short-lived", "other"}},
		{Namespace: "b", PullSecrets: []string{"a-copy"}},
	}
	var res *Resolved
	for _, access := range lists {
		var err error
		if res, err = r.Resolve(t.Context(), image, "", access); err != nil {
			t.Fatal(err)
		}
	}
	reg.renew("changed")
	for _, access := range lists {
		if _, err := r.Resolve(t.Context(), image, "", access); err != nil {
			t.Fatalf("%v, within the time that a proof counts: %v", access, err)
		}
	}
	r.Refused(t.Context(), res, lists[3])
	for _, access := range lists {
		_, err := r.Resolve(t.Context(), image, "", access)
		wantFailure(t, err, report.ReasonUnauthorized, "refused")
	}
	// Another credential's proof is its own.
	reg.renew("secret")
	r.failures.Purge()
	if res, err := r.Resolve(t.Context(), image, "", lists[1]); err != nil || res.Credential == "" {
		t.Errorf("%+v, %v", res, err)
	}
}

// TestAuthorizationIsThatOfTheAcceptedCredential and of no other, whatever has
// been forgotten since.
func TestAuthorizationIsThatOfTheAcceptedCredential(t *testing.T) {
	reg, digest := private(t)
	c := newCluster(t)
	c.secret("a", "first", reg.host(), "ann", "expired")
	c.secret("a", "second", reg.host(), "ann", "secret")
	r := resolver(t, Options{Insecure: []string{reg.host()}, PullSecrets: c.pullSecrets(t)})
	access := Access{Namespace: "a", PullSecrets: []string{"first", "second"}}
	res, err := r.Resolve(t.Context(), reg.host()+"/team/app@"+digest, "", access)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := r.Resolve(t.Context(), reg.host()+"/team/app@"+digest, "", access); err != nil || again.Credential != res.Credential || res.Credential == "" {
		t.Fatalf("from memory: %+v, %v", again, err)
	}
	r.proofs.Purge()
	if got, err := r.Authorization(t.Context(), res, access); err != nil || got != basic("ann", "secret") {
		t.Errorf("%q, %v", got, err)
	}
	_, err = r.Authorization(t.Context(), res, Access{Namespace: "a", PullSecrets: []string{"first"}})
	wantFailure(t, err, report.ReasonUnauthorized, "no longer there")

	open := newRegistry(t, false)
	open.push("app:1")
	r = resolver(t, Options{Insecure: []string{open.host()}})
	res, err = r.Resolve(t.Context(), open.host()+"/app:1", "", Access{})
	if err != nil || res.Credential != "" {
		t.Fatalf("without credentials: %+v, %v", res, err)
	}
	if got, err := r.Authorization(t.Context(), res, Access{}); err != nil || got != "" {
		t.Errorf("without credentials: %q, %v", got, err)
	}
}

// TestAScansFailureNamesNoSecret: it may be read in another namespace that holds
// the same credential.
func TestAScansFailureNamesNoSecret(t *testing.T) {
	reg := newRegistry(t, false)
	inner := reg.Config.Handler
	accepted := true
	reg.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case req.URL.Path == "/token" && accepted:
			_, _ = fmt.Fprint(w, `{"token":"pass-on"}`)
		case req.URL.Path == "/token":
			w.WriteHeader(http.StatusUnauthorized)
		case req.Header.Get("Authorization") != "Bearer pass-on":
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="s"`, reg.URL))
			w.WriteHeader(http.StatusUnauthorized)
		default:
			inner.ServeHTTP(w, req)
		}
	})
	c := newCluster(t)
	auth := fmt.Sprintf(`{"auths":{%q:{"auth":%q,"identitytoken":"identity"}}}`, reg.host(), base64.StdEncoding.EncodeToString([]byte("ann:")))
	c.set("a/secrets/name-of-a", map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
		"metadata": map[string]string{"name": "name-of-a", "namespace": "a"},
		"data":     map[string][]byte{".dockerconfigjson": []byte(auth)},
	})
	r := resolver(t, Options{Insecure: []string{reg.host()}, PullSecrets: c.pullSecrets(t)})
	access := Access{Namespace: "a", PullSecrets: []string{"name-of-a"}}
	res := &Resolved{Reference: reg.host() + "/app:1", Repository: "app"}
	_, creds, err := r.opened(t.Context(), res, access)
	if err != nil {
		t.Fatal(err)
	}
	res.Credential = creds.list[0].public()
	accepted = false
	_, err = r.Authorization(t.Context(), res, access)
	f := theFailure(t, err, report.ReasonUnauthorized, "refused the credentials of whoever asked for it")
	if strings.Contains(f.Message, "name-of-a") {
		t.Errorf("the message names a Secret: %s", f.Message)
	}
}
