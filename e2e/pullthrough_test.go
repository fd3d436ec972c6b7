package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/imagegate/imagegate/e2e/registry"
)

// impostor is a registry without a password that serves the manifest and the
// configuration of an image in the shared registry, and other layers of the same
// length.
func impostor(t *testing.T, repository string, img v1.Image) string {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	lengths := map[string]int64{}
	for _, l := range layers {
		digest, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if lengths[digest.String()], err = l.Size(); err != nil {
			t.Fatal(err)
		}
	}
	auth, err := shared.Registry.Auth().Authorization()
	if err != nil {
		t.Fatal(err)
	}
	through := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: shared.Registry.Host()})
		r.Out.URL.Path = strings.Replace(r.In.URL.Path, "/v2/app/", "/v2/"+repository+"/", 1)
		r.Out.SetBasicAuth(auth.Username, auth.Password)
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if length, ok := lengths[r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]]; ok {
			_, _ = w.Write(make([]byte, length)) // a tar that ends at once
			return
		}
		through.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// eavesdropper passes requests on to the scanner and keeps what it was told.
type eavesdropper struct {
	*httptest.Server

	mu   sync.Mutex
	told []string
}

func eavesdrop(t *testing.T, scanner string) *eavesdropper {
	t.Helper()
	target, err := url.Parse(scanner)
	if err != nil {
		t.Fatal(err)
	}
	e := &eavesdropper{}
	proxy := httputil.NewSingleHostReverseProxy(target)
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if len(body) > 0 {
			e.mu.Lock()
			e.told = append(e.told, string(body))
			e.mu.Unlock()
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(e.Close)
	return e
}

// TestAForeignScannerReadsImagesThroughTheProvider: a scanner of one's own reads
// a private image without its credentials, and a registry that serves a real
// manifest with other layers leaves nothing behind that answers for the real
// image.
func TestAForeignScannerReadsImagesThroughTheProvider(t *testing.T) {
	img := image(t, registry.Vulnerable)
	shop := push(t, img, "v1")
	evil := impostor(t, slug(t), img) + "/app@" + shop.Digest
	scanner := eavesdrop(t, shared.System.Scanner.URL)
	data := t.TempDir()
	host, _, _ := strings.Cut(evil, "/")
	s := standAlone(t, "--data-dir="+data, "--listen=127.0.0.1:0", "--shutdown-delay=0s", "--scanner-url="+scanner.URL,
		"--insecure-registries="+shared.Registry.Host()+","+host, "--docker-config="+filepath.Join(shared.Dir, "system", "docker", "config.json"))
	url := "https://" + s.line(t, "serving")["listen"].(string)
	client := localClient(t, filepath.Join(data, "tls"))
	ask := func(ref string, want ...string) {
		t.Helper()
		key := fmt.Sprintf(`{"apiVersion":"externaldata.gatekeeper.sh/v1beta1","kind":"ProviderRequest","request":{"keys":[%q]}}`, ref)
		code, body, err := exchange(t.Context(), client, http.MethodPost, url+"/scan-reports?wait=25s", key)
		if err != nil || code != http.StatusOK {
			t.Fatalf("%s: %d %s %v", ref, code, body, err)
		}
		for _, w := range want {
			if !strings.Contains(body, w) {
				t.Errorf("%s: %s lacks %q", ref, body, w)
			}
		}
	}
	ask(evil, `"Status":"scan_failed"`, "the registry sent other bytes than the digest names")
	ask(shop.Pinned, `"Status":"rejected"`, advisory[0])
	ask(evil, `"Status":"scan_failed"`)

	auth, err := shared.Registry.Auth().Authorization()
	if err != nil {
		t.Fatal(err)
	}
	scanner.mu.Lock()
	defer scanner.mu.Unlock()
	if len(scanner.told) == 0 {
		t.Fatal("the scanner was told nothing")
	}
	for _, told := range scanner.told {
		var request struct {
			Registry struct{ URL, Authorization string }
		}
		if err := json.Unmarshal([]byte(told), &request); err != nil {
			t.Fatal(err)
		}
		req := &http.Request{Header: http.Header{"Authorization": {request.Registry.Authorization}}}
		_, password, ok := req.BasicAuth()
		if !ok || password == auth.Password || strings.Contains(request.Registry.URL, shared.Registry.Host()) {
			t.Errorf("the scanner is told %s", told)
		}
	}
}
