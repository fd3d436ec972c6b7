package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-policy-agent/frameworks/constraint/pkg/externaldata"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/owner"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/selfsigned"
	"github.com/imagegate/imagegate/provider/server"
	"github.com/imagegate/imagegate/provider/service"
	"github.com/imagegate/imagegate/provider/tlsfiles"
	"github.com/imagegate/imagegate/provider/wire"
)

// answering answers each reference with the status that is its name.
type answering struct {
	// budget gets the time each call had.
	budget func(time.Duration)
	// slow, if not nil, hears of each call that is going to take its time.
	slow chan<- string
}

func (s answering) Reports(ctx context.Context, queries []service.Query) []report.ScanReport {
	if deadline, ok := ctx.Deadline(); ok && s.budget != nil {
		s.budget(time.Until(deadline))
	}
	out := make([]report.ScanReport, len(queries))
	for i, q := range queries {
		if q.Reference == "panic" {
			panic("told to")
		}
		if q.Reference == "slow" {
			if s.slow != nil {
				s.slow <- q.Access.Namespace
			}
			<-ctx.Done()
		}
		out[i] = report.ScanReport{ImageAndTag: q.Reference, Status: report.Status(q.Reference), Message: q.Access.Namespace}
	}
	return out
}

func (answering) Digest(_ context.Context, q service.Query) (string, error) {
	if q.Reference == "missing" {
		return "", errors.New("there is no such image")
	}
	return q.Reference + "@sha256:0", nil
}

func handler(t testing.TB, change ...func(*server.Options)) http.Handler {
	t.Helper()
	o := server.Options{
		Service: answering{}, Budget: 50 * time.Millisecond, MaxWait: 300 * time.Millisecond, Concurrency: 2,
		Limits:  wire.Limits{BodyBytes: 2000, Keys: 5, KeyBytes: 100},
		Logger:  slog.New(slog.NewTextHandler(io.Discard, nil)),
		Metrics: prometheus.NewRegistry(),
	}
	o.Probes = server.NewProbes(server.ProbeOptions{
		Ready: func(context.Context) []server.Check { return nil }, Logger: o.Logger, Metrics: o.Metrics,
	})
	for _, c := range change {
		c(&o)
	}
	h, err := server.NewHandler(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func body(keys ...string) string {
	b, _ := json.Marshal(externaldata.NewProviderRequest(keys)) // strings always encode
	return string(b)
}

func post(t *testing.T, h http.Handler, path, body string) externaldata.Response {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body)))
	if rec.Code != http.StatusOK {
		t.Fatalf("HTTP %d: %s", rec.Code, rec.Body)
	}
	return decode(t, rec.Body)
}

func decode(t *testing.T, r io.Reader) externaldata.Response {
	t.Helper()
	var resp externaldata.ProviderResponse
	if err := json.NewDecoder(r).Decode(&resp); err != nil {
		t.Fatal(err)
	}
	if resp.APIVersion != "externaldata.gatekeeper.sh/v1beta1" || resp.Kind != "ProviderResponse" || !resp.Response.Idempotent {
		t.Errorf("not a ProviderResponse that mutation may use: %+v", resp)
	}
	return resp.Response
}

func TestScanReports(t *testing.T) {
	resp := post(t, handler(t), "/scan-reports", body(
		"accepted?namespace=dev", "report_not_available?namespace=dev", "BAD NAME", "rejected?nonsense=1", "rejected"))
	got := map[string]string{}
	for _, item := range resp.Items {
		if item.Error != "" {
			got[item.Key] = "error"
			continue
		}
		value := item.Value.(map[string]any)
		got[item.Key] = fmt.Sprint(value["ImageAndTag"], " ", value["Message"])
	}
	want := map[string]string{
		"accepted?namespace=dev":              "accepted dev",
		"report_not_available?namespace=dev#": "report_not_available dev",
		"BAD NAME":                            "error",
		"rejected?nonsense=1":                 "error",
		"rejected":                            "rejected <nil>",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("answers\n%v\nwant\n%v", got, want)
	}
}

func TestDigests(t *testing.T) {
	resp := post(t, handler(t), "/digests", body("nginx", "missing", ":"))
	if len(resp.Items) != 3 || resp.Items[0].Value != "nginx@sha256:0" || resp.Items[0].Key != "nginx" {
		t.Fatalf("%+v", resp.Items)
	}
	if resp.Items[1].Error != "there is no such image" || !strings.Contains(resp.Items[2].Error, "invalid image reference") {
		t.Errorf("%+v", resp.Items)
	}
}

func TestBadRequestsAreSystemErrors(t *testing.T) {
	h := handler(t)
	for name, tc := range map[string]struct{ path, body, want string }{
		"no JSON":       {"/scan-reports", "}", "not a ProviderRequest"},
		"large":         {"/scan-reports", body(strings.Repeat("x", 3000)), "limit of 2000 bytes"},
		"too many keys": {"/digests", body("a", "b", "c", "d", "e", "f"), "over the limit of 5"},
		"wait":          {"/scan-reports?wait=long", body("a"), `wait="long"`},
		"negative wait": {"/scan-reports?wait=-1s", body("a"), `wait="-1s"`},
		"panic":         {"/scan-reports", body("panic"), "internal error"},
	} {
		t.Run(name, func(t *testing.T) {
			if resp := post(t, h, tc.path, tc.body); !strings.Contains(resp.SystemError, tc.want) || len(resp.Items) != 0 {
				t.Errorf("%+v lacks %q", resp, tc.want)
			}
		})
	}
}

func TestLongKeyIsItsOwnError(t *testing.T) {
	long := strings.Repeat("x", 101)
	resp := post(t, handler(t), "/scan-reports", body(long, "accepted"))
	if len(resp.Items) != 2 || !strings.Contains(resp.Items[0].Error, "limit of 100") || resp.Items[1].Value == nil {
		t.Errorf("%+v", resp.Items)
	}
}

func TestBudgetAndWait(t *testing.T) {
	for path, want := range map[string]time.Duration{
		"/scan-reports":            50 * time.Millisecond,
		"/scan-reports?wait=200ms": 200 * time.Millisecond,
		"/scan-reports?wait=0s":    50 * time.Millisecond,
		"/scan-reports?wait=1h":    300 * time.Millisecond,
	} {
		var got time.Duration
		h := handler(t, func(o *server.Options) { o.Service = answering{budget: func(d time.Duration) { got = d }} })
		post(t, h, path, body("accepted"))
		if got <= 0 || got > want || got < want-40*time.Millisecond {
			t.Errorf("%s had %s, want %s", path, got, want)
		}
	}
}

func TestOneRequestTooManyIsRefusedAtOnce(t *testing.T) {
	started := make(chan string)
	h := handler(t, func(o *server.Options) {
		o.Service, o.Concurrency, o.Budget = answering{slow: started}, 1, 10*time.Second
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/scan-reports", strings.NewReader(body("slow")))
		h.ServeHTTP(httptest.NewRecorder(), r)
	}()
	<-started
	if resp := post(t, h, "/scan-reports", body("accepted")); !strings.Contains(resp.SystemError, "too many requests") {
		t.Errorf("%+v", resp)
	}
	cancel()
	<-ended
	if resp := post(t, h, "/scan-reports", body("accepted")); resp.SystemError != "" {
		t.Errorf("the slot was not given back: %+v", resp)
	}
}

// TestANamespacesRequestsLeaveSlotsToOthers: as many as are sent of one, and then
// one of another.
func TestANamespacesRequestsLeaveSlotsToOthers(t *testing.T) {
	started := make(chan string)
	h := handler(t, func(o *server.Options) {
		o.Service, o.Concurrency, o.Budget = answering{slow: started}, 8, time.Minute
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	ask := func(key string) {
		wg.Go(func() {
			r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/scan-reports", strings.NewReader(body(key)))
			h.ServeHTTP(httptest.NewRecorder(), r)
		})
	}
	for range 6 { // three quarters
		ask("slow?namespace=evil")
		<-started
	}
	for range 20 {
		if resp := post(t, h, "/scan-reports", body("accepted?namespace=evil")); !strings.Contains(resp.SystemError, "too many requests") {
			t.Errorf("beyond its part: %+v", resp)
		}
	}
	for _, key := range []string{"accepted?namespace=good", "accepted", "accepted?namespace=third"} {
		if resp := post(t, h, "/scan-reports", body(key)); resp.SystemError != "" {
			t.Errorf("%s: %s", key, resp.SystemError)
		}
	}
	// A request about several namespaces is none of them.
	if resp := post(t, h, "/scan-reports", body("accepted?namespace=evil", "accepted?namespace=good")); resp.SystemError != "" {
		t.Errorf("of two namespaces: %s", resp.SystemError)
	}
	cancel()
	wg.Wait()
}

func TestOperations(t *testing.T) {
	var log bytes.Buffer
	ready := []server.Check{
		{Name: "certificate"},
		{Name: "store", Err: errors.New("it is away")},
		{Name: "scanner", Needed: true, Err: fmt.Errorf("x: %w", &report.Failure{Message: "it cannot be reached", Err: errors.New("connection refused")})},
	}
	h := handler(t, func(o *server.Options) {
		o.Probes = server.NewProbes(server.ProbeOptions{
			Ready: func(context.Context) []server.Check { return ready }, Logger: slog.New(slog.NewTextHandler(&log, nil)), Metrics: o.Metrics,
		})
	})
	get := func(path string) (int, string) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return rec.Code, rec.Body.String()
	}
	if code, _ := get("/healthz"); code != http.StatusOK {
		t.Errorf("healthz: %d", code)
	}
	if code, text := get("/readyz"); code != http.StatusServiceUnavailable ||
		text != "not ready\ncertificate: ok\nstore: it is away\nscanner: x: it cannot be reached\n" {
		t.Errorf("readyz: %d %s", code, text)
	}
	if !strings.Contains(log.String(), "connection refused") {
		t.Errorf("the log does not learn why: %s", log.String())
	}
	ready[2].Needed = false
	if code, text := get("/readyz"); code != http.StatusOK || !strings.HasPrefix(text, "ready\n") || !strings.Contains(text, "\nscanner: x: it cannot") {
		t.Errorf("readyz: %d %s", code, text)
	}
	post(t, h, "/scan-reports", "}")
	if _, text := get("/metrics"); !strings.Contains(text, `imagegate_requests_total{endpoint="scan-reports",result="system_error"} 1`) {
		t.Errorf("metrics:\n%s", text)
	}
	if code, _ := get("/scan-reports"); code != http.StatusMethodNotAllowed {
		t.Errorf("GET of a protocol endpoint: %d", code)
	}
}

// drain is how long the servers of these tests go on after they were stopped.
const drain = 100 * time.Millisecond

// serve runs h as the provider does and returns its address, the certificate
// folder, and a function that stops it.
func serve(t testing.TB, h http.Handler) (string, string, func() error) {
	t.Helper()
	dir := t.TempDir()
	if err := selfsigned.Ensure(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	files := tlsfiles.NewServer(tlsfiles.ServerFiles{
		CertFile:     filepath.Join(dir, selfsigned.ServerCertFile),
		KeyFile:      filepath.Join(dir, selfsigned.ServerKeyFile),
		ClientCAFile: filepath.Join(dir, selfsigned.CAFile),
	}, log)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- server.Serve(ctx, l, files.Config(), h, server.Times{Longest: time.Minute, Drain: drain}, log)
	}()
	return "https://" + l.Addr().String(), dir, func() error { cancel(); return <-served }
}

func client(t testing.TB, dir string, withCert bool) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	ca, err := os.ReadFile(filepath.Join(dir, selfsigned.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	pool.AppendCertsFromPEM(ca)
	c := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}
	if withCert {
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, selfsigned.ClientCertFile), filepath.Join(dir, selfsigned.ClientKeyFile))
		if err != nil {
			t.Fatal(err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	transport := &http.Transport{TLSClientConfig: c}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestClientsNeedACertificateForTheProtocolOnly(t *testing.T) {
	url, dir, stop := serve(t, handler(t, func(o *server.Options) { o.RequireClientCert = true }))
	with, without := client(t, dir, true), client(t, dir, false)
	status := func(c *http.Client, path string) (int, externaldata.Response) {
		t.Helper()
		resp, err := c.Post(url+path, "application/json", strings.NewReader(body("accepted")))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		return resp.StatusCode, decode(t, resp.Body)
	}
	if code, resp := status(with, "/scan-reports"); code != http.StatusOK || len(resp.Items) != 1 {
		t.Errorf("with a certificate: %d %+v", code, resp)
	}
	if code, resp := status(without, "/scan-reports"); code != http.StatusOK || !strings.Contains(resp.SystemError, "client certificate") || len(resp.Items) != 0 {
		t.Errorf("without a certificate: %d %+v", code, resp)
	}
	resp, err := without.Get(url + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("a probe without a certificate: %d", resp.StatusCode)
	}
	if err := stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
}

func TestTLS12IsRefused(t *testing.T) {
	url, dir, stop := serve(t, handler(t))
	c := client(t, dir, true)
	c.Transport.(*http.Transport).TLSClientConfig.MinVersion = tls.VersionTLS12
	c.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS12
	if resp, err := c.Get(url + "/healthz"); err == nil {
		_ = resp.Body.Close()
		t.Error("a TLS 1.2 client was served")
	}
	if err := stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
}

type outcome struct {
	resp externaldata.Response
	err  error
}

func ask(c *http.Client, url, key string) (o outcome) {
	resp, err := c.Post(url, "application/json", strings.NewReader(body(key)))
	if err != nil {
		return outcome{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	var out externaldata.ProviderResponse
	err = json.NewDecoder(resp.Body).Decode(&out)
	return outcome{out.Response, err}
}

// Requests that run at the end are answered: a short one in its own time, and
// one that waits for a scan as pending, long before its minute is over.
func TestShutdownAnswersRunningRequests(t *testing.T) {
	for path, budget := range map[string]time.Duration{
		"/scan-reports":          200 * time.Millisecond,
		"/scan-reports?wait=60s": time.Minute,
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			entered := make(chan time.Duration, 1)
			url, dir, stop := serve(t, handler(t, func(o *server.Options) {
				o.Service = answering{budget: func(d time.Duration) { entered <- d }}
				o.Budget, o.MaxWait = 200*time.Millisecond, time.Minute
			}))
			c := client(t, dir, true)
			answered := make(chan outcome, 1)
			go func() { answered <- ask(c, url+path, "slow") }()
			if d := <-entered; d > budget {
				t.Errorf("it has %s, want at most %s", d, budget)
			}
			if err := stop(); err != nil {
				t.Errorf("stopping: %v", err)
			}
			if o := <-answered; o.err != nil || len(o.resp.Items) != 1 {
				t.Errorf("the running request got %+v", o)
			}
		})
	}
}

// Who has not heard yet that the server ends is still answered.
func TestShutdownDrains(t *testing.T) {
	url, dir, stop := serve(t, handler(t))
	c := client(t, dir, true)
	stopped := make(chan error, 1)
	began := time.Now()
	go func() { stopped <- stop() }()
	n := 0
	for time.Since(began) < drain/2 {
		if o := ask(c, url+"/scan-reports", "accepted"); o.err != nil || len(o.resp.Items) != 1 {
			t.Fatalf("while it drains: %+v", o)
		}
		c.CloseIdleConnections() // the next one is a new client
		n++
	}
	if err := <-stopped; err != nil || n == 0 {
		t.Errorf("stopping after %d requests: %v", n, err)
	}
	if o := ask(c, url+"/scan-reports", "accepted"); o.err == nil {
		t.Error("it still answers")
	}
}

// blocking answers a request for a full view once it is let go.
type blocking struct {
	answering
	started chan struct{}
	release chan struct{}
}

func (b blocking) Reports(ctx context.Context, queries []service.Query) []report.ScanReport {
	if queries[0].View == report.ViewFull {
		b.started <- struct{}{}
		<-b.release
	}
	return b.answering.Reports(ctx, queries)
}

// Slots alone bound no bytes: answers that may be large wait for each other.
func TestAnswersUnderWayAreBoundedInBytes(t *testing.T) {
	b := blocking{started: make(chan struct{}, 9), release: make(chan struct{})}
	h := handler(t, func(o *server.Options) {
		o.Service, o.Concurrency = b, 9
		o.InFlightBytes, o.AnswerBytes, o.FindingsBytes = 22_000, 22_000, 15_000
	})
	answered := make(chan externaldata.Response, 1)
	ask := func(keys ...string) externaldata.Response {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/scan-reports", strings.NewReader(body(keys...))))
		return decode(t, rec.Body)
	}
	go func() { answered <- ask("accepted?view=full") }()
	<-b.started
	if resp := ask("accepted?view=findings"); !strings.Contains(resp.SystemError, "too many large answers") {
		t.Errorf("a second large answer is made beside the first: %+v", resp)
	}
	if resp := ask("accepted?namespace=other"); resp.SystemError != "" || len(resp.Items) != 1 {
		t.Errorf("a small answer is refused: %+v", resp)
	}
	b.release <- struct{}{}
	if resp := <-answered; resp.SystemError != "" || len(resp.Items) != 1 {
		t.Errorf("the first: %+v", resp)
	}
	if resp := ask("accepted?view=findings", "pending?view=findings"); resp.SystemError != "" {
		t.Errorf("bytes are not given back: %+v", resp)
	}
}

// Large answers of one namespace left no byte for the smallest of any other.
func TestOneNamespacesLargeAnswersLeaveRoomForOthers(t *testing.T) {
	const concurrency = 40
	b := blocking{started: make(chan struct{}, concurrency), release: make(chan struct{})}
	h := handler(t, func(o *server.Options) {
		o.Service, o.Concurrency = b, concurrency
		o.InFlightBytes, o.AnswerBytes, o.FindingsBytes = 128<<10, 16<<10, 16<<10
	})
	ask := func(key string) externaldata.Response {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/scan-reports", strings.NewReader(body(key))))
		return decode(t, rec.Body)
	}
	var wg sync.WaitGroup
	refused := make(chan struct{}, 20)
	for range 20 {
		wg.Go(func() {
			if resp := ask("accepted?namespace=evil&view=full"); resp.SystemError != "" {
				refused <- struct{}{}
			}
		})
	}
	for range 20 { // each is under way or refused
		select {
		case <-b.started:
		case <-refused:
		}
	}
	if resp := ask("accepted?namespace=good"); resp.SystemError != "" || len(resp.Items) != 1 {
		t.Errorf("a small answer is refused: %+v", resp)
	}
	close(b.release)
	wg.Wait()
}

// A Pod with one image that cannot be named is its namespace's all the same: else
// it would have an account of its own beside it.
func TestABadKeyIsOnItsNamespacesAccount(t *testing.T) {
	const concurrency = 16
	b := blocking{started: make(chan struct{}, concurrency), release: make(chan struct{})}
	h := handler(t, func(o *server.Options) { o.Service, o.Concurrency = b, concurrency })
	ask := func(keys ...string) externaldata.Response {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/scan-reports", strings.NewReader(body(keys...))))
		return decode(t, rec.Body)
	}
	var wg sync.WaitGroup
	const most = concurrency * 3 / 4 // of one namespace
	for range most {
		wg.Go(func() { ask("accepted?namespace=evil&view=full") })
		<-b.started
	}
	for _, keys := range [][]string{{"accepted?namespace=evil", "UPPER?namespace=evil"}, {"UPPER?namespace=evil", "accepted?namespace=evil"}} {
		if resp := ask(keys...); !strings.Contains(resp.SystemError, "too many requests") {
			t.Errorf("%q is answered: %+v", keys, resp)
		}
	}
	if resp := ask("accepted?namespace=good", "UPPER?namespace=good"); resp.SystemError != "" || len(resp.Items) != 2 {
		t.Errorf("another's: %+v", resp)
	}
	close(b.release)
	wg.Wait()
}

func FuzzProtocol(f *testing.F) {
	f.Add([]byte(body("nginx?namespace=a", "accepted")))
	f.Add([]byte(`{"request":{"keys":[null]}}`))
	f.Add([]byte{0xff})
	h, err := server.NewHandler(server.Options{
		Service: answering{}, Budget: time.Second, MaxWait: time.Second, Concurrency: 8,
		Limits: wire.Limits{BodyBytes: 2000, Keys: 5, KeyBytes: 100},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/digests", bytes.NewReader(b)))
		if resp := decode(t, rec.Body); len(resp.Items) > 5 {
			t.Errorf("%q is answered with %d items", b, len(resp.Items))
		}
	})
}

// asking remembers what it is asked.
type asking struct {
	answering
	queries *[]service.Query
}

func (a asking) Reports(ctx context.Context, queries []service.Query) []report.ScanReport {
	*a.queries = append(*a.queries, queries...)
	return a.answering.Reports(ctx, queries)
}

func TestTheOwnerReachesTheService(t *testing.T) {
	var queries []service.Query
	h := handler(t, func(o *server.Options) { o.Service, o.Limits.KeyBytes = asking{queries: &queries}, 200 })
	post(t, h, "/scan-reports", body("accepted?namespace=dev&owner=apps/v1/ReplicaSet/web-5c/u-1", "rejected?namespace=dev"))
	if len(queries) != 2 || queries[0].Owner != (owner.Reference{Kind: owner.ReplicaSet, Name: "web-5c", UID: "u-1"}) || queries[1].Owner != (owner.Reference{}) {
		t.Errorf("asked %+v", queries)
	}
}

// The log says on what occasion an image was asked about.
func TestTheAskerReachesTheService(t *testing.T) {
	var queries []service.Query
	h := handler(t, func(o *server.Options) { o.Service, o.Limits.KeyBytes = asking{queries: &queries}, 200 })
	post(t, h, "/scan-reports", body("accepted?namespace=dev", "rejected?namespace=dev&asker=audit", "accepted"))
	post(t, h, "/scan-reports?wait=10s", body("accepted?namespace=dev"))
	var askers []service.Asker
	for _, q := range queries {
		askers = append(askers, q.Asker)
	}
	if want := []service.Asker{service.AskerAdmission, service.AskerAudit, service.AskerUnknown, service.AskerMutation}; !slices.Equal(askers, want) {
		t.Errorf("asked by %q, want %q", askers, want)
	}
}

// TestAProcessThatStartsSaysSo to the kubelet and to whoever asks about images,
// who must not take silence for anything.
func TestAProcessThatStartsSaysSo(t *testing.T) {
	metrics := prometheus.NewRegistry()
	checks := func(context.Context) []server.Check {
		return []server.Check{{Name: "store", Err: errors.New("it is being read"), Needed: true}, {Name: "certificate"}}
	}
	metrics.MustRegister(server.NewReadyMetric(checks))
	h := server.NewStarting(server.ProbeOptions{Ready: checks, Logger: slog.New(slog.DiscardHandler), Metrics: metrics})
	for _, path := range []string{wire.PathScanReports, wire.PathDigests} {
		if resp := post(t, h, path, body("nginx")); !strings.Contains(resp.SystemError, "is starting") || len(resp.Items) != 0 {
			t.Errorf("%s: %+v", path, resp)
		}
	}
	for path, want := range map[string]string{
		"/healthz": "ok\n", "/readyz": "not ready\nstore: it is being read\ncertificate: ok\n",
		"/metrics": "imagegate_part_ready{part=\"certificate\"} 1\nimagegate_part_ready{part=\"store\"} 0\n",
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if !strings.HasSuffix(rec.Body.String(), want) {
			t.Errorf("%s: %s", path, rec.Body)
		}
	}
}
