package worker_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/imagegate/imagegate/scanner/harbor"
	"github.com/imagegate/imagegate/scanner/worker"
)

// The registry is go-containerregistry's own, behind Basic authorization.
const (
	user     = "robot"
	password = "let me in"
)

// testRegistry is a real registry on loopback. blob and manifest, when set, may
// take over the answer to such a request.
type testRegistry struct {
	*httptest.Server
	mu       sync.Mutex
	blob     func(w http.ResponseWriter, r *http.Request) bool
	manifest func(w http.ResponseWriter, r *http.Request) bool
	pull     int
}

func startRegistry(t *testing.T) *testRegistry {
	t.Helper()
	reg := &testRegistry{}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	reg.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, ok := r.BasicAuth(); !ok || u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}`, http.StatusUnauthorized)
			return
		}
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			reg.mu.Lock()
			reg.pull++
			take := reg.blob
			reg.mu.Unlock()
			if take != nil && take(w, r) {
				return
			}
		}
		if strings.Contains(r.URL.Path, "/manifests/") {
			reg.mu.Lock()
			take := reg.manifest
			reg.mu.Unlock()
			if take != nil && take(w, r) {
				return
			}
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(reg.Close)
	return reg
}

func (r *testRegistry) onBlob(f func(http.ResponseWriter, *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blob = f
}

func (r *testRegistry) onManifest(f func(http.ResponseWriter, *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.manifest = f
}

func (r *testRegistry) blobs() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pull
}

func (r *testRegistry) host() string { return strings.TrimPrefix(r.URL, "http://") }

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// testWorker is a running worker with the sample database. Its children are the
// shipped binary.
type testWorker struct {
	url, cache string
	stop       func()
}

func startWorker(t *testing.T, change func(*worker.Config)) *testWorker {
	t.Helper()
	cfg := worker.Default()
	cfg.Listen = "127.0.0.1:0"
	cfg.CacheDir = t.TempDir()
	cfg.Database.Sample = true
	cfg.Warm = false // its directory would be in the way of scratchIsEmpty
	cfg.Command = []string{shippedBinary(t), "scan-one"}
	if change != nil {
		change(&cfg)
	}
	w, err := worker.New(cfg, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	var once sync.Once
	tw := &testWorker{url: "http://" + w.Addr().String(), cache: cfg.CacheDir}
	tw.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("worker ended: %v", err)
			}
		})
	}
	t.Cleanup(tw.stop)
	tw.waitReady(t)
	return tw
}

func (w *testWorker) waitReady(t *testing.T) {
	t.Helper()
	for range 600 {
		if status, _, _ := w.do(t, http.MethodGet, "/readyz", nil, nil); status == http.StatusOK {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the worker does not become ready")
}

func (w *testWorker) do(t *testing.T, method, path string, header map[string]string, body []byte) (int, http.Header, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, raw
}

const (
	requestType = "application/vnd.scanner.adapter.scan.request+json; version=1.1"
	reportType  = "application/vnd.security.vulnerability.report; version=1.1"
)

func (w *testWorker) submit(t *testing.T, req harbor.ScanRequest) (int, []byte) {
	t.Helper()
	raw, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	status, _, body := w.do(t, http.MethodPost, "/api/v1/scan", map[string]string{"Content-Type": requestType}, raw)
	return status, body
}

// start submits a scan that must be accepted.
func (w *testWorker) start(t *testing.T, req harbor.ScanRequest) string {
	t.Helper()
	status, body := w.submit(t, req)
	if status != http.StatusAccepted {
		t.Fatalf("scan request: %d %s", status, body)
	}
	var res harbor.ScanResponse
	if err := json.Unmarshal(body, &res); err != nil {
		t.Fatal(err)
	}
	return res.ID
}

// wait polls as an asker would.
func (w *testWorker) wait(t *testing.T, id string) (int, []byte) {
	t.Helper()
	// Longer than any limit on a scan's time in these tests.
	for end := time.Now().Add(hostileTime + 30*time.Second); time.Now().Before(end); {
		status, _, body := w.do(t, http.MethodGet, "/api/v1/scan/"+id+"/report", map[string]string{"Accept": reportType}, nil)
		if status != http.StatusFound {
			return status, body
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the scan does not end")
	return 0, nil
}

func (w *testWorker) report(t *testing.T, req harbor.ScanRequest) harbor.Report {
	t.Helper()
	status, body := w.wait(t, w.start(t, req))
	if status != http.StatusOK {
		t.Fatalf("report: %d %s", status, body)
	}
	var r harbor.Report
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// failed scans and returns the error, which must be one.
func (w *testWorker) failed(t *testing.T, req harbor.ScanRequest) harbor.Error {
	t.Helper()
	status, body := w.wait(t, w.start(t, req))
	if status != http.StatusInternalServerError {
		t.Fatalf("report: %d %s", status, body)
	}
	var e harbor.ErrorResponse
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatal(err)
	}
	return e.Error
}

// scratchIsEmpty checks that scans left nothing behind.
func (w *testWorker) scratchIsEmpty(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(w.cache, "scratch"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("left behind: %s", e.Name())
	}
}

// build compiles a program under testdata and returns its file.
func build(t *testing.T, name string) string {
	t.Helper()
	out, err := compile(filepath.Join("testdata", name), name, ".")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func request(reg *testRegistry, repository, digest string) harbor.ScanRequest {
	return harbor.ScanRequest{
		Registry: harbor.Registry{URL: reg.URL, Authorization: basic(user, password)},
		Artifact: harbor.Artifact{Repository: repository, Digest: digest, MimeType: harbor.TypeDockerManifest},
	}
}

func digestOf(c byte) string { return fmt.Sprintf("sha256:%s", strings.Repeat(string(c), 64)) }

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
