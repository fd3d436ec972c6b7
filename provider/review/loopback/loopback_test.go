package loopback

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/frameworks/constraint/pkg/externaldata"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/wire"
)

func start(t *testing.T, h http.Handler) *Server {
	t.Helper()
	s, err := Start(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// client is one as the engine makes it, with or without its certificate.
func client(t *testing.T, s *Server, withCert bool, maxVersion uint16) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.CA())
	config := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12, MaxVersion: maxVersion}
	if withCert {
		pair, err := tls.LoadX509KeyPair(s.ClientFiles())
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 10 * time.Second}
}

func question(t *testing.T, keys ...string) io.Reader {
	t.Helper()
	b, err := json.Marshal(externaldata.NewProviderRequest(keys))
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReader(string(b))
}

func send(t *testing.T, c *http.Client, url string, body io.Reader) (externaldata.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return externaldata.Response{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	var out externaldata.ProviderResponse
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out.Response, nil
}

// answering gives each key a report of the status.
func answering(status report.Status) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		keys, err := wire.ReadRequest(r.Body, wire.Limits{Keys: 100, KeyBytes: 1000})
		if err != nil {
			writeResponse(w, wire.SystemError(err.Error()))
			return
		}
		var items []externaldata.Item
		for _, k := range keys {
			items = append(items, wire.ReportItem(k, report.ScanReport{ImageAndTag: k, Status: status}))
		}
		writeResponse(w, wire.NewResponse(items))
	}
}

func TestServerLetsInOnlyTheEngine(t *testing.T) {
	s := start(t, answering(report.Accepted))
	if _, err := send(t, client(t, s, true, 0), s.URL()+"/scan-reports", question(t, "a")); err != nil {
		t.Errorf("with the client certificate: %v", err)
	}
	if _, err := send(t, client(t, s, false, 0), s.URL()+"/scan-reports", question(t, "a")); err == nil {
		t.Error("without a client certificate: no error")
	}
	if _, err := send(t, client(t, s, true, tls.VersionTLS12), s.URL()+"/scan-reports", question(t, "a")); err == nil {
		t.Error("with TLS 1.2: no error")
	}
	if n := len(s.Take()); n != 1 {
		t.Errorf("%d exchanges are written down, want 1", n)
	}
}

func TestServerWritesDownWhatWasSaid(t *testing.T) {
	s := start(t, nil)
	c := client(t, s, true, 0)
	got, err := send(t, c, s.URL()+"/scan-reports", question(t, "a"))
	if err != nil || got.SystemError == "" {
		t.Errorf("without a handler: %+v, %v", got, err)
	}
	s.Answer(answering(report.NotAvailable))
	if _, err := send(t, c, s.URL()+"/digests", question(t, "b", "c")); err != nil {
		t.Fatal(err)
	}
	taken := s.Take()
	if len(taken) != 2 || taken[0].SystemError == "" || taken[1].Path != "/digests" ||
		strings.Join(taken[1].Keys, " ") != "b c" || taken[1].Items[1].Key != "c#" {
		t.Errorf("got %+v", taken)
	}
	if again := s.Take(); len(again) != 0 {
		t.Errorf("taken twice: %+v", again)
	}
}

func TestCloseRemovesTheClientCertificate(t *testing.T) {
	s, err := Start(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := s.ClientFiles()
	if info, err := os.Stat(filepath.Dir(cert)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(cert)); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
}

func TestPatientAsksUntilNothingIsPending(t *testing.T) {
	asked := 0
	h := Patient(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if wait, err := time.ParseDuration(r.URL.Query().Get("wait")); err != nil || wait <= 0 {
			t.Errorf("question %d: wait %v, %v", asked, wait, err)
		}
		status := report.NotAvailable
		if asked == 3 {
			status = report.Rejected
		}
		answering(status)(w, r)
	}), time.Minute)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/scan-reports", question(t, "a")))
	if asked != 3 || !strings.Contains(w.Body.String(), "rejected") {
		t.Errorf("asked %d times, got %s", asked, w.Body)
	}
}

func TestPatientGivesUp(t *testing.T) {
	asked := 0
	h := Patient(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		answering(report.NotAvailable)(w, r)
	}), time.Millisecond)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/scan-reports", question(t, "a")))
	if asked != 1 || !strings.Contains(w.Body.String(), "report_not_available") {
		t.Errorf("asked %d times, got %s", asked, w.Body)
	}
}

func TestPatientWithoutTimeAsksAsGatekeeperDoes(t *testing.T) {
	h := Patient(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "" {
			t.Errorf("query %q", r.URL.RawQuery)
		}
		answering(report.NotAvailable)(w, r)
	}), 0)
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/scan-reports", question(t, "a")))
}

func TestRemoteForwards(t *testing.T) {
	// The provider is another loopback server: it demands a client certificate.
	s := start(t, answering(report.Accepted))
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, s.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key := s.ClientFiles()
	h, err := Remote{URL: s.URL() + "/", CAFile: ca, CertFile: cert, KeyFile: key}.Handler()
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/scan-reports?wait=1s", question(t, "a")))
	if !strings.Contains(w.Body.String(), `"accepted"`) {
		t.Errorf("got %s", w.Body)
	}
	without, err := Remote{URL: s.URL(), CAFile: ca}.Handler()
	if err != nil {
		t.Fatal(err)
	}
	w = httptest.NewRecorder()
	without.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/scan-reports", question(t, "a")))
	if !strings.Contains(w.Body.String(), "systemError") || !strings.Contains(w.Body.String(), "asking the provider") {
		t.Errorf("without a certificate: got %s", w.Body)
	}
}

func TestRemoteThatIsNoProvider(t *testing.T) {
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "<html>who are you?</html>", http.StatusBadGateway)
	}))
	f := &forwarder{base: s.URL(), client: client(t, s, true, 0)}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/scan-reports", question(t, "a")))
	if !strings.Contains(w.Body.String(), "502 Bad Gateway and no ProviderResponse") {
		t.Errorf("got %s", w.Body)
	}
}

func TestRemoteRefusesBadFlags(t *testing.T) {
	noPEM := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(noPEM, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, r := range map[string]Remote{
		"is not of the form https":       {URL: "http://provider:8443"},
		"reading the provider's CA":      {URL: "https://provider", CAFile: "no-such-file"},
		"holds no PEM certificate":       {URL: "https://provider", CAFile: noPEM},
		"needs both":                     {URL: "https://provider", CertFile: "a"},
		"reading the client certificate": {URL: "https://provider", CertFile: "a", KeyFile: "b"},
		"provider URL: parse":            {URL: "https://a b"},
	} {
		if _, err := r.Handler(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got error %v, want one with %q", r, err, want)
		}
	}
}
