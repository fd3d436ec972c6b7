package nudge

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/imagegate/imagegate/provider/owner"
)

// TestRequest shows what the API server is asked for each kind, byte for byte.
func TestRequest(t *testing.T) {
	var asked *http.Request
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		asked, body = r, string(b)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":{"name":"web","namespace":"shop"}}`)
	}))
	defer server.Close()
	client, err := metadata.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	n := &Nudger{send: through(client)}
	for kind, path := range map[owner.Kind]string{
		owner.ReplicaSet:            "/apis/apps/v1/namespaces/shop/replicasets/web",
		owner.StatefulSet:           "/apis/apps/v1/namespaces/shop/statefulsets/web",
		owner.DaemonSet:             "/apis/apps/v1/namespaces/shop/daemonsets/web",
		owner.Job:                   "/apis/batch/v1/namespaces/shop/jobs/web",
		owner.ReplicationController: "/api/v1/namespaces/shop/replicationcontrollers/web",
	} {
		before := time.Now().Truncate(time.Millisecond)
		if err := n.annotate(t.Context(), id{"shop", owner.Reference{Kind: kind, Name: "web", UID: "u-1"}}); err != nil {
			t.Fatal(err)
		}
		if asked.Method != http.MethodPatch || asked.URL.String() != path+"?fieldManager=imagegate" ||
			asked.Header.Get("Content-Type") != "application/merge-patch+json" {
			t.Errorf("%s: %s %s of type %s", kind, asked.Method, asked.URL, asked.Header.Get("Content-Type"))
		}
		var got struct {
			Metadata struct {
				Annotations map[string]string `json:"annotations"`
			} `json:"metadata"`
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		at := got.Metadata.Annotations["imagegate.dev/scanned-at"]
		if want := `{"metadata":{"uid":"u-1","annotations":{"imagegate.dev/scanned-at":"` + at + `"}}}`; body != want {
			t.Errorf("%s: %s, want %s", kind, body, want)
		}
		if when, err := time.Parse(time.RFC3339, at); err != nil || when.Before(before) || when.After(time.Now()) {
			t.Errorf("%s: the time %s (%v) is not now", kind, at, err)
		}
	}
}

// TestKubeconfig reaches the API server as the configuration says, with bounds of
// its own in place of client-go's.
func TestKubeconfig(t *testing.T) {
	var agent, authorization string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		agent, authorization = r.UserAgent(), r.Header.Get("Authorization")
		http.Error(w, "no", http.StatusNotFound)
	}))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, []byte(`
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "`+server.URL+`", insecure-skip-tls-verify: true}}]
users: [{name: u, user: {token: nudger}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`), 0o600); err != nil {
		t.Fatal(err)
	}
	o := Options{Kubeconfig: path, PerSecond: 1, Logger: quiet(), Registerer: prometheus.NewRegistry()}
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.annotate(t.Context(), id{"shop", web}); resultOf(err) != resultGone {
		t.Errorf("annotate: %v", err)
	}
	if agent != "imagegate" || authorization != "Bearer nudger" {
		t.Errorf("asked as %q with %q", agent, authorization)
	}

	o.PerSecond = 0
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "PerSecond") {
		t.Errorf("without a rate: %v", err)
	}
	o.Kubeconfig = filepath.Join(t.TempDir(), "none")
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "configuring the API server's client") {
		t.Errorf("without a kubeconfig: %v", err)
	}
}
