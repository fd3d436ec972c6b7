package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/open-policy-agent/frameworks/constraint/pkg/externaldata"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/imagegate/imagegate/mutator/config"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/tlsfiles"
	"github.com/imagegate/imagegate/provider/tlsfiles/tlstest"
	"github.com/imagegate/imagegate/provider/version"
	"github.com/imagegate/imagegate/provider/wire"
)

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// standIn is a provider that speaks the wire protocol. A question that waits
// is announced on waiting and answered when release is closed.
type standIn struct {
	waiting chan struct{}
	release chan struct{}
	mu      sync.Mutex
	peak    int
	now     int
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	keys, err := wire.ReadRequest(r.Body, wire.Limits{Keys: 256, KeyBytes: 2048})
	if err != nil {
		_ = json.NewEncoder(w).Encode(wire.SystemError(err.Error()))
		return
	}
	if r.URL.Path == wire.PathScanReports && r.URL.Query().Get(wire.ParamWait) != "" && s.release != nil {
		s.enter(1)
		s.waiting <- struct{}{}
		<-s.release
		s.enter(-1)
	}
	var items []externaldata.Item
	for _, k := range keys {
		key, err := wire.ParseKey(k)
		switch {
		case err != nil:
			items = append(items, wire.ErrorItem(k, err))
		case r.URL.Path == wire.PathDigests:
			repository, _, _ := strings.Cut(key.Reference, ":")
			items = append(items, externaldata.Item{Key: k, Value: repository + "@" + digest})
		default:
			items = append(items, wire.ReportItem(k, report.ScanReport{ImageAndTag: key.Reference, Status: report.Accepted}))
		}
	}
	_ = json.NewEncoder(w).Encode(wire.NewResponse(items))
}

func (s *standIn) enter(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now += n
	s.peak = max(s.peak, s.now)
}

// system is a mutator and a provider, both on real TLS.
type system struct {
	url    string
	client *http.Client
	stop   func() error
}

func start(t testing.TB, provider http.Handler, change func(*config.Config)) *system {
	t.Helper()
	return startLogging(t, provider, change, func(string) {})
}

// startLogging also gives each line of the log to logged.
func startLogging(t testing.TB, provider http.Handler, change func(*config.Config), logged func(string)) *system {
	t.Helper()
	ca := tlstest.NewCA(t, "CA")
	file := func(dir, name string) string { return filepath.Join(dir, name) }

	pd := ca.Directory(t, "provider")
	p := httptest.NewUnstartedServer(provider)
	p.TLS = tlsfiles.NewServer(tlsfiles.ServerFiles{CertFile: file(pd, "tls.crt"), KeyFile: file(pd, "tls.key"),
		ClientCAFile: file(pd, "ca.crt"), RequireClientCert: true}, nil).Config()
	p.StartTLS()
	t.Cleanup(p.Close)

	md := ca.Directory(t, "mutator")
	c := config.Default()
	c.Server.Listen = "127.0.0.1:0"
	c.Server.ShutdownDelay.Duration = 0
	c.Server.TLS.CertFile, c.Server.TLS.KeyFile = file(md, "tls.crt"), file(md, "tls.key")
	c.Provider.URL, c.Provider.CAFile = p.URL, file(md, "ca.crt")
	c.Provider.CertFile, c.Provider.KeyFile = file(md, "tls.crt"), file(md, "tls.key")
	if change != nil {
		change(&c)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	log := &addressLog{found: make(chan string, 1), logged: logged}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, &c, newLogger(&c.Log, log)) }()
	s := &system{stop: sync.OnceValue(func() error { cancel(); return <-done })}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	select {
	case addr := <-log.found:
		s.url = "https://" + addr
	case err := <-done:
		t.Fatal(err)
	}
	api := tlsfiles.NewClient(tlsfiles.ClientFiles{CAFile: file(md, "ca.crt")}, nil)
	s.client = &http.Client{Transport: &http.Transport{DialTLSContext: api.DialTLS, MaxIdleConnsPerHost: 16}}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

// addressLog finds the address in the line that says the mutator starts.
type addressLog struct {
	found  chan string
	logged func(string)
}

func (a *addressLog) Write(b []byte) (int, error) {
	a.logged(string(b))
	var line struct{ Msg, Listen string }
	if json.Unmarshal(b, &line) == nil && line.Msg == "mutator starts" {
		a.found <- line.Listen
	}
	return len(b), nil
}

func (s *system) mutate(image string) (*admissionv1.AdmissionResponse, error) {
	body := fmt.Sprintf(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","namespace":"team","operation":"CREATE",
		"resource":{"group":"","version":"v1","resource":"pods"},"object":{"metadata":{},"spec":{"containers":[{"name":"c","image":%q}]}}}}`, image)
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.url+"/mutate?timeout=30s", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(b, &review); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", resp.Status, b, err)
	}
	return review.Response, nil
}

func (s *system) get(t *testing.T, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestWaitCapOverMutualTLS(t *testing.T) {
	provider := &standIn{waiting: make(chan struct{}, 100), release: make(chan struct{})}
	// Ten that wait for one scan share the only turn.
	const share = 10
	s := start(t, provider, func(c *config.Config) { c.Wait.Max = 1 })
	type result struct {
		resp *admissionv1.AdmissionResponse
		err  error
	}
	results := make(chan result, 20)
	ask := func() {
		resp, err := s.mutate("a:1")
		results <- result{resp, err}
	}
	for range share {
		go ask()
		<-provider.waiting
	}
	// All of these are beyond the cap and are answered while the first wait.
	for range 20 - share {
		go ask()
	}
	check := func(r result) {
		t.Helper()
		if r.err != nil || !r.resp.Allowed || !strings.Contains(string(r.resp.Patch), "a@"+digest) {
			t.Errorf("answer %+v, %v", r.resp, r.err)
		}
	}
	for range 20 - share {
		check(<-results)
	}
	_, metrics := s.get(t, "/metrics")
	for _, want := range []string{"imagegate_mutator_waiting 10", `imagegate_mutator_waits_total{result="capped"} 10`, `imagegate_mutator_images_total{result="pinned"} 10`} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("metrics have no %q", want)
		}
	}
	close(provider.release)
	for range share {
		check(<-results)
	}
	if provider.peak != share {
		t.Errorf("%d waited at once", provider.peak)
	}
}

func TestShutdownFinishesWhatIsUnderWay(t *testing.T) {
	provider := &standIn{waiting: make(chan struct{}, 1), release: make(chan struct{})}
	s := start(t, provider, nil)
	answered := make(chan error, 1)
	go func() {
		_, err := s.mutate("a:1")
		answered <- err
	}()
	<-provider.waiting
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	close(provider.release)
	if err := errors.Join(<-answered, <-stopped); err != nil {
		t.Error(err)
	}
}

// Who has not heard yet that the mutator ends is still answered.
func TestShutdownDrains(t *testing.T) {
	const drain = time.Second
	s := start(t, &standIn{}, func(c *config.Config) { c.Server.ShutdownDelay.Duration = drain })
	began := time.Now()
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	n := 0
	for time.Since(began) < drain/2 {
		s.client.CloseIdleConnections() // the next one is a new client
		if resp, err := s.mutate("a:1"); err != nil || !resp.Allowed {
			t.Fatalf("while it drains: %+v, %v", resp, err)
		}
		n++
	}
	if err := <-stopped; err != nil || n == 0 {
		t.Errorf("stopping after %d requests: %v", n, err)
	}
	if _, err := s.mutate("a:1"); err == nil {
		t.Error("it still answers")
	}
}

func TestProviderDownAndBack(t *testing.T) {
	var mu sync.Mutex
	down := true
	provider := &standIn{}
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		fail := down
		mu.Unlock()
		if fail {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close()
			}
			return
		}
		provider.ServeHTTP(w, r)
	}), nil)
	resp, err := s.mutate("a:1")
	if err != nil || resp.Allowed || resp.Result.Code != http.StatusServiceUnavailable ||
		!strings.Contains(resp.Result.Message, "cannot pin image 'a:1' of container 'c'") || !strings.Contains(resp.Result.Message, "the provider cannot be reached") {
		t.Errorf("down: %+v, %v", resp, err)
	}
	if code, body := s.get(t, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "provider.url: the provider cannot be reached") {
		t.Errorf("ready without a provider: %d %s", code, body)
	}
	mu.Lock()
	down = false
	mu.Unlock()
	if resp, err := s.mutate("a:1"); err != nil || !resp.Allowed {
		t.Errorf("back: %+v, %v", resp, err)
	}
	s.waitReady(t)
}

// waitReady waits until what was said of the provider is asked again.
func (s *system) waitReady(t *testing.T) {
	t.Helper()
	for range 100 {
		code, body := s.get(t, "/readyz")
		if code == http.StatusOK {
			return
		}
		if !strings.Contains(body, "provider.url") {
			t.Fatal(body)
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("it does not become ready")
}

func TestReadyOnlyWithAProviderThatTakesItsCertificate(t *testing.T) {
	other := tlstest.NewCA(t, "another CA").Directory(t, "mutator")
	for name, tc := range map[string]struct {
		change func(*config.Config)
		want   string
	}{
		"an authority that did not sign the provider": {func(c *config.Config) { c.Provider.CAFile = filepath.Join(other, "ca.crt") }, "provider.caFile"},
		"a certificate that the provider does not know": {func(c *config.Config) {
			c.Provider.CertFile, c.Provider.KeyFile = filepath.Join(other, "tls.crt"), filepath.Join(other, "tls.key")
		}, "provider.certFile"},
		"a name that is not in its certificate": {func(c *config.Config) {
			c.Provider.URL = strings.Replace(c.Provider.URL, "127.0.0.1", "127.0.0.2", 1)
		}, "provider.url"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, &standIn{}, tc.change)
			if code, body := s.get(t, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, tc.want) {
				t.Errorf("%d %s, want %s", code, body, tc.want)
			}
			if resp, err := s.mutate("a:1"); err != nil || resp.Allowed || !strings.Contains(resp.Result.Message, "the provider cannot be reached") {
				t.Errorf("%+v, %v", resp, err)
			}
		})
	}
	s := start(t, &standIn{}, nil)
	if code, body := s.get(t, "/readyz"); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
}

func TestTheProviderIsAskedOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked int
		var fails error
		p := &providerCheck{ask: func(context.Context) error { asked++; return fails }}
		for range 10 {
			if err := p.ready(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		fails = errors.New("gone")
		time.Sleep(pingEvery)
		if err := p.ready(t.Context()); !errors.Is(err, fails) || asked != 2 {
			t.Errorf("%v after %d questions", err, asked)
		}
		// Where images are let in unpinned, one answer is enough, for good.
		p = &providerCheck{ask: func(context.Context) error { return fails }, once: true}
		if err := p.ready(t.Context()); err == nil {
			t.Error("ready without an answer")
		}
		fails = nil
		time.Sleep(pingEvery)
		if err := p.ready(t.Context()); err != nil {
			t.Error(err)
		}
		fails = errors.New("gone")
		time.Sleep(pingEvery)
		if err := p.ready(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestHealthCommand(t *testing.T) {
	provider := &standIn{}
	var certFile string
	s := start(t, provider, func(c *config.Config) { certFile = c.Server.TLS.CertFile })
	keyFile := filepath.Join(filepath.Dir(certFile), "tls.key")
	ask := func(args ...string) (int, string) {
		var out, stderr bytes.Buffer
		none := func(string) (string, bool) { return "", false }
		args = append(append([]string{"health"}, args...), "--tls-cert", certFile, "--tls-key", keyFile, "--listen", strings.TrimPrefix(s.url, "https://"))
		code := run(args, none, &out, &stderr)
		return code, out.String() + stderr.String()
	}
	for _, args := range [][]string{nil, {"--live"}} {
		if code, said := ask(args...); code != 0 || said != "ok\n" {
			t.Errorf("%v: %d %s", args, code, said)
		}
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if code, said := ask("--live"); code != 1 || !strings.Contains(said, "server.listen") {
		t.Errorf("%d %s", code, said)
	}
}

func TestWarnsOfAnAddressThatIsOpenToAll(t *testing.T) {
	for _, tc := range []struct {
		ip, clientCA string
		want         bool
	}{
		{"127.0.0.1", "", false},
		{"::1", "", false},
		{"0.0.0.0", "", true},
		{"::", "", true},
		{"10.1.2.3", "", true},
		{"0.0.0.0", "ca.crt", false},
	} {
		var b bytes.Buffer
		c := config.Default()
		c.Server.TLS.ClientCAFile = tc.clientCA
		warnIfOpen(t.Context(), &c, &net.TCPAddr{IP: net.ParseIP(tc.ip), Port: 8444}, newLogger(&c.Log, &b))
		if got := strings.Contains(b.String(), `"level":"WARN"`) && strings.Contains(b.String(), "clientCAFile"); got != tc.want {
			t.Errorf("%s, client CA %q: logged %q", tc.ip, tc.clientCA, &b)
		}
	}
}

func TestWarnsAtStart(t *testing.T) {
	warned := make(chan struct{}, 1)
	startLogging(t, &standIn{}, func(c *config.Config) { c.Server.Listen = "0.0.0.0:0" }, func(line string) {
		if strings.Contains(line, "clientCAFile") {
			warned <- struct{}{}
		}
	})
	select {
	case <-warned:
	case <-time.After(5 * time.Second):
		t.Error("no warning")
	}
}

func TestExitStatus(t *testing.T) {
	none := func(string) (string, bool) { return "", false }
	for _, tc := range []struct {
		args []string
		want int
		says string
	}{
		{[]string{"--help"}, 0, "--max-waiting"},
		{[]string{"--version"}, 0, "mutator " + version.Number},
		{[]string{"version"}, 0, "mutator " + version.Number},
		{[]string{"--nonsense"}, 2, "nonsense"},
		{[]string{"extra"}, 2, "extra"},
		{nil, 2, "server.tls.certFile"},
		{[]string{"--tls-cert", "a", "--tls-key", "b", "--config", "/does/not/exist"}, 2, "/does/not/exist"},
		{[]string{"--tls-cert", "a", "--tls-key", "b", "--listen", taken(t)}, 1, "server.listen"},
	} {
		var stderr bytes.Buffer // and what it prints
		if got := run(tc.args, none, &stderr, &stderr); got != tc.want || !strings.Contains(stderr.String(), tc.says) {
			t.Errorf("%q: status %d, output %s", tc.args, got, &stderr)
		}
	}
}

// taken returns an address that something listens on.
func taken(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// BenchmarkMutate is one Pod with one image through both TLS connections:
// resolve, patch, wait for a report that is final at once.
func BenchmarkMutate(b *testing.B) {
	s := start(b, &standIn{}, func(c *config.Config) { c.Wait.Max = 1000 })
	for b.Loop() {
		if resp, err := s.mutate("a:1"); err != nil || !resp.Allowed {
			b.Fatal(resp, err)
		}
	}
}

func TestAMisspelledVariableIsRefused(t *testing.T) {
	t.Setenv("IMAGEGATE_MUTATOR_MAX_WAITNG", "9")
	var stderr bytes.Buffer
	code := run(nil, func(string) (string, bool) { return "", false }, io.Discard, &stderr)
	if code != 2 || !strings.Contains(stderr.String(), "did you mean IMAGEGATE_MUTATOR_MAX_WAITING?") {
		t.Errorf("exit code %d, %q", code, stderr.String())
	}
}
