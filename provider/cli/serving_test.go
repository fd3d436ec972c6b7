package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/imagegate/imagegate/provider/config"
)

// patience is for what must happen; nothing is measured by it.
const patience = 60 * time.Second

// eventually fails the test with what ok last said when that never becomes empty.
func eventually(t *testing.T, ok func() string) {
	t.Helper()
	var last string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if last = ok(); last == "" {
			return
		}
	}
	t.Fatal(last)
}

// world is what a provider is between: a registry and a scanner.
type world struct {
	registry string // host:port
	adapter  *adapter
}

func newWorld(t *testing.T) *world {
	t.Helper()
	reg := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(reg.Close)
	return &world{registry: strings.TrimPrefix(reg.URL, "http://"), adapter: newAdapter(t)}
}

// push pushes an image of its own content and returns its reference.
func (w *world) push(t *testing.T, repository string) string {
	t.Helper()
	image := w.registry + "/" + repository + ":1"
	ref, err := name.ParseReference(image, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	content, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, content); err != nil {
		t.Fatal(err)
	}
	return image
}

// adapter plays a scanner by the Harbor API. It finds little.
type adapter struct {
	*httptest.Server

	mu      sync.Mutex
	scanned []string // repositories
	// held has scans take until it is closed.
	held chan struct{}
	down bool
	// refused are repositories that it cannot make anything of.
	refused map[string]bool
}

func newAdapter(t *testing.T) *adapter {
	a := &adapter{refused: map[string]bool{}, held: make(chan struct{})}
	close(a.held)
	const report = "application/vnd.security.vulnerability.report; version=1.1"
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/metadata", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"scanner": map[string]string{"name": "x", "vendor": "y", "version": "1"},
			"capabilities": []map[string]any{{
				"consumes_mime_types": []string{"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json"},
				"produces_mime_types": []string{report},
			}},
		})
	})
	mux.HandleFunc("POST /api/v1/scan", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Artifact struct{ Repository, Digest string }
		}
		_ = json.NewDecoder(r.Body).Decode(&body)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.scanned = append(a.scanned, body.Artifact.Repository)
		if a.refused[body.Artifact.Repository] {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		_ = json.NewEncoder(w).Encode(map[string]string{"id": strings.ReplaceAll(body.Artifact.Repository, "/", "_") + "@" + body.Artifact.Digest})
	})
	mux.HandleFunc("GET /api/v1/scan/{id}/report", func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		held := a.held
		a.mu.Unlock()
		select {
		case <-held:
		case <-r.Context().Done():
			return
		}
		_, digest, _ := strings.Cut(r.PathValue("id"), "@")
		w.Header().Set("Content-Type", report)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"generated_at": time.Now(), "artifact": map[string]string{"digest": digest},
			"scanner": map[string]string{"name": "x", "vendor": "y", "version": "1"}, "severity": "Low",
			"vulnerabilities": []map[string]any{{"id": "CVE-1", "package": "p", "version": "1", "severity": "Low"}},
		})
	})
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		down := a.down
		a.mu.Unlock()
		if down {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		a.CloseClientConnections()
		a.Close()
	})
	return a
}

// change changes the adapter.
func (a *adapter) change(f func(*adapter)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(a)
}

// hold has scans take until release.
func (a *adapter) hold() (release func()) {
	held := make(chan struct{})
	a.change(func(a *adapter) { a.held = held })
	return sync.OnceFunc(func() { close(held) })
}

func (a *adapter) scans() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string{}, a.scanned...)
}

// running is a provider in this process.
type running struct {
	log      *lines
	listen   string
	probes   string
	view     string
	stop     context.CancelFunc
	returned chan error
	client   *http.Client
}

// configured is the default configuration in the world, with a folder of its own.
func (w *world) configured(t *testing.T, change ...func(*config.Config)) *config.Config {
	t.Helper()
	c := config.Default()
	c.DataDir = t.TempDir()
	c.Server.Listen, c.Server.TLS.ClientAuth, c.Server.ShutdownDelay.Duration = "127.0.0.1:0", config.ClientAuthOff, 0
	c.Registry.Insecure = []string{w.registry}
	c.Scanner.Harbor = config.Harbor{URL: w.adapter.URL, Verify: config.VerifyOff}
	c.Scanner.Harbor.PollInterval.Duration = 20 * time.Millisecond
	for _, f := range change {
		f(&c)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return &c
}

// launch starts a provider and does not wait for it.
func launch(t *testing.T, c *config.Config) *running {
	t.Helper()
	r := &running{log: &lines{}, returned: make(chan error, 1), client: &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		Timeout:   patience,
	}}
	log, err := logger(config.Log{Level: "debug", Format: "json"}, r.log)
	if err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	go func() { r.returned <- serve(ctx, c, log) }()
	t.Cleanup(func() { r.end(t) })
	return r
}

func start(t *testing.T, c *config.Config) *running {
	t.Helper()
	r := launch(t, c)
	r.serving(t)
	return r
}

// serving waits until it is, and learns where.
func (r *running) serving(t *testing.T) {
	t.Helper()
	var line struct{ Listen, Probes, View string }
	eventually(t, func() string {
		select {
		case err := <-r.returned:
			r.returned <- nil // that is told once
			t.Fatalf("it has ended: %v\n%s", err, r.log)
		default:
		}
		if said := r.log.line("serving"); said == "" {
			return "it does not serve:\n" + r.log.String()
		} else if err := json.Unmarshal([]byte(said), &line); err != nil {
			t.Fatal(err)
		}
		return ""
	})
	r.listen, r.probes, r.view = line.Listen, line.Probes, line.View
}

// end stops it and waits for its end.
func (r *running) end(t *testing.T) {
	t.Helper()
	if r.stop == nil {
		return
	}
	r.stop()
	r.stop = nil
	r.client.CloseIdleConnections()
	if err := <-r.returned; err != nil {
		t.Errorf("it ended with %v\n%s", err, r.log)
	}
}

type answer struct {
	Status, Message string
}

// ask asks for the report of an image and waits for the scan that long.
func (r *running) ask(t *testing.T, image, namespace string, wait time.Duration) (a answer) {
	t.Helper()
	body := fmt.Sprintf(`{"apiVersion":"externaldata.gatekeeper.sh/v1beta1","kind":"ProviderRequest","request":{"keys":[%q]}}`, image+"?namespace="+namespace)
	resp, err := r.client.Post("https://"+r.listen+"/scan-reports?wait="+wait.String(), "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatalf("%v\n%s", err, r.log)
	}
	defer func() { _ = resp.Body.Close() }()
	var got struct {
		Response struct {
			Items       []struct{ Value answer }
			SystemError string
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if len(got.Response.Items) != 1 {
		return answer{Status: "system error", Message: got.Response.SystemError}
	}
	return got.Response.Items[0].Value
}

// get returns the status and body of a page.
func (r *running) get(t *testing.T, url string) (int, string) {
	t.Helper()
	status, _, text := r.page(t, url)
	return status, text
}

// page is get, with the headers.
func (r *running) page(t *testing.T, url string) (int, http.Header, string) {
	t.Helper()
	resp, err := r.client.Get(url)
	if err != nil {
		t.Fatalf("%v\n%s", err, r.log)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

// ready waits until /readyz has that status and all of the lines.
func (r *running) ready(t *testing.T, base string, code int, want ...string) {
	t.Helper()
	eventually(t, func() string {
		got, text := r.get(t, base+"/readyz")
		for _, line := range want {
			if !strings.Contains(text, line) {
				return fmt.Sprintf("/readyz lacks %q: %d %s", line, got, text)
			}
		}
		if got != code {
			return fmt.Sprintf("/readyz: %d %s, want %d", got, text, code)
		}
		return ""
	})
}

// lines is a log that tests look into.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// line is the first with that message.
func (l *lines) line(msg string) string {
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, `"msg":"`+msg+`"`) {
			return line
		}
	}
	return ""
}

// natsServer is one that is not ours, at a port of its choice where port is -1.
func natsServer(t *testing.T, dir string, port int) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{ServerName: "external", Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server has not started")
	}
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	return s
}
