package server

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/harbor"
	"github.com/imagegate/imagegate/scanner/jobs"
)

// memory is a queue that answers what it is told to.
type memory struct {
	results map[string]jobs.Result
	full    bool
	last    harbor.ScanRequest
	share   string
}

func (m *memory) Add(r harbor.ScanRequest, share string) (string, error) {
	if m.full {
		return "", failure.New(failure.Busy, "full")
	}
	m.last, m.share = r, share
	return "new", nil
}

func (m *memory) Cancel(id string) bool {
	_, ok := m.results[id]
	delete(m.results, id)
	return ok
}
func (m *memory) Get(id string) jobs.Result { return m.results[id] }

type data struct {
	err  error
	kind string
}

func (d data) Ready() error { return d.err }
func (d data) BuiltAt() (time.Time, string, bool) {
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), d.kind, d.kind != ""
}

func newServer(q *memory, d data) http.Handler {
	return New(Config{
		Queue: q, Database: d, Scanner: harbor.Scanner{Name: "Grype", Vendor: "Anchore", Version: "1"},
		PlainHTTP: func(host string) bool { return host == "127.0.0.1:5000" },
		BodyLimit: 2000, Refresh: 1500 * time.Millisecond, Log: slog.New(slog.DiscardHandler), Metrics: http.NotFoundHandler(),
	})
}

const (
	requestType = "application/vnd.scanner.adapter.scan.request+json; version=1.1"
	errorType   = "application/vnd.scanner.adapter.error+json; version=1.0"
	okBody      = `{"registry":{"url":"https://r.example","authorization":"Basic eDp5"},"artifact":{"repository":"a/b","digest":"sha256:` +
		`0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","tag":"v1","mime_type":"application/vnd.oci.image.manifest.v1+json"}}`
)

func call(h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAccept(t *testing.T) {
	q := &memory{}
	w := call(newServer(q, data{kind: "grype"}), http.MethodPost, "/api/v1/scan", okBody, "Content-Type", requestType)
	if w.Code != http.StatusAccepted || w.Header().Get("Content-Type") != "application/vnd.scanner.adapter.scan.response+json; version=1.1" ||
		w.Body.String() != `{"id":"new"}` {
		t.Errorf("%d %s %s", w.Code, w.Header(), w.Body)
	}
	if q.last.Artifact.Repository != "a/b" || q.last.Registry.Authorization != "Basic eDp5" {
		t.Errorf("request: %+v", q.last)
	}
	w = call(newServer(q, data{kind: "grype"}), http.MethodPost, "/api/v1/scan", okBody,
		"Content-Type", "application/vnd.scanner.adapter.scan.request+json; version=1.0")
	if got := w.Header().Get("Content-Type"); got != "application/vnd.scanner.adapter.scan.response+json; version=1.0" {
		t.Errorf("answer to version 1.0: %s", got)
	}
}

func TestBadRequests(t *testing.T) {
	with := func(old, replacement string) string { return strings.Replace(okBody, old, replacement, 1) }
	for name, c := range map[string]struct {
		body, contentType, accept string
		status                    int
		part                      string
	}{
		"no JSON":                       {"hello", requestType, "", 400, "not a scan request"},
		"two documents":                 {okBody + okBody, requestType, "", 400, "not a scan request"},
		"wrong type":                    {`{"registry":7}`, requestType, "", 400, "not a scan request"},
		"too large":                     {`{"registry":{"url":"` + strings.Repeat("x", 3000) + `"}}`, requestType, "", 413, "more than 2000 bytes"},
		"content type":                  {okBody, "application/json", "", 415, "Content-Type must be"},
		"no content type":               {okBody, "", "", 415, "Content-Type must be"},
		"future version":                {okBody, "application/vnd.scanner.adapter.scan.request+json; version=9.0", "", 415, "Content-Type must be"},
		"accept":                        {okBody, requestType, "text/html", 406, "can only be"},
		"empty":                         {`{}`, requestType, "", 422, "registry.url"},
		"no scheme":                     {with("https://r.example", "r.example"), requestType, "", 422, "registry.url"},
		"other scheme":                  {with("https://r.example", "ftp://r.example"), requestType, "", 422, "https:// or http://"},
		"plain HTTP":                    {with("https://r.example", "http://r.example"), requestType, "", 422, "without TLS"},
		"path in registry":              {with("https://r.example", "https://r.example/v2"), requestType, "", 422, "nothing else"},
		"user in registry":              {with("https://r.example", "https://u:p@r.example"), requestType, "", 422, "nothing else"},
		"repository":                    {with("a/b", "../etc"), requestType, "", 422, "artifact.repository"},
		"digest":                        {with("sha256:0", "sha256:"), requestType, "", 422, "artifact.digest"},
		"tag":                           {with(`"v1"`, `"v 1"`), requestType, "", 422, "artifact.tag"},
		"artifact type":                 {with("vnd.oci.image.manifest.v1+json", "vnd.cncf.helm"), requestType, "", 422, "not scanned"},
		"authorization":                 {with("Basic eDp5", "eDp5"), requestType, "", 422, "registry.authorization"},
		"other scheme of authorization": {with("Basic eDp5", "Digest x"), requestType, "", 422, "registry.authorization"},
	} {
		t.Run(name, func(t *testing.T) {
			w := call(newServer(&memory{}, data{kind: "grype"}), http.MethodPost, "/api/v1/scan", c.body, "Content-Type", c.contentType, "Accept", c.accept)
			wantError(t, w, c.status, "", c.part)
		})
	}
}

func wantError(t *testing.T, w *httptest.ResponseRecorder, status int, code, part string) {
	t.Helper()
	var e harbor.ErrorResponse
	raw, _ := io.ReadAll(w.Body)
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatalf("%d %q: %v", w.Code, raw, err)
	}
	if w.Code != status || w.Header().Get("Content-Type") != errorType || !strings.Contains(e.Error.Message, part) || e.Error.Code == "" {
		t.Errorf("%d %s %+v, want %d with ...%s...", w.Code, w.Header().Get("Content-Type"), e.Error, status, part)
	}
	if code != "" && e.Error.Code != code {
		t.Errorf("code %q, want %q", e.Error.Code, code)
	}
}

func TestBusyAndNoDatabase(t *testing.T) {
	w := call(newServer(&memory{full: true}, data{kind: "grype"}), http.MethodPost, "/api/v1/scan", okBody, "Content-Type", requestType)
	wantError(t, w, http.StatusTooManyRequests, "busy", "full")
	if w.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	none := data{err: failure.New(failure.Database, "none yet")}
	w = call(newServer(&memory{}, none), http.MethodPost, "/api/v1/scan", okBody, "Content-Type", requestType)
	wantError(t, w, http.StatusServiceUnavailable, "database", "none yet")
	if w := call(newServer(&memory{}, none), http.MethodGet, "/readyz", ""); w.Code != http.StatusServiceUnavailable || w.Body.String() != "none yet\n" {
		t.Errorf("readyz: %d %s", w.Code, w.Body)
	}
	if w := call(newServer(&memory{}, none), http.MethodGet, "/healthz", ""); w.Code != http.StatusOK {
		t.Errorf("healthz: %d", w.Code)
	}
}

// What is not in Harbor's API: whose turn a scan takes, and that it is given up.
func TestShareAndCancel(t *testing.T) {
	q := &memory{results: map[string]jobs.Result{"p": {State: jobs.Pending}}}
	h := newServer(q, data{kind: "grype"})
	if w := call(h, http.MethodPost, "/api/v1/scan", okBody, "Content-Type", requestType, "Imagegate-Share", "team-a"); w.Code != http.StatusAccepted || q.share != "team-a" {
		t.Errorf("%d %s for %q", w.Code, w.Body, q.share)
	}
	w := call(h, http.MethodPost, "/api/v1/scan", okBody, "Content-Type", requestType, "Imagegate-Share", strings.Repeat("x", 2000))
	wantError(t, w, http.StatusBadRequest, "bad_request", "Imagegate-Share has more than")
	if w := call(h, http.MethodDelete, "/api/v1/scan/p", ""); w.Code != http.StatusNoContent || w.Body.Len() != 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	wantError(t, call(h, http.MethodDelete, "/api/v1/scan/p", ""), http.StatusNotFound, "unknown_scan", "has not ended")
	w = call(h, http.MethodGet, "/api/v1/metadata", "")
	if !strings.Contains(w.Body.String(), `"imagegate.dev/share":"true"`) {
		t.Errorf("metadata %s do not say that scans are shared", w.Body)
	}
	if !strings.Contains(w.Body.String(), `"imagegate.dev/cancel":"true"`) {
		t.Errorf("the metadata do not say that scans can be given up: %s", w.Body)
	}
}

func TestReport(t *testing.T) {
	h := newServer(&memory{results: map[string]jobs.Result{
		"p": {State: jobs.Pending},
		"d": {State: jobs.Done, Report: []byte(`{"x":1}`)},
		"f": {State: jobs.Failed, Failure: failure.New(failure.Timeout, "too long")},
	}}, data{kind: "grype"})
	get := func(id string, header ...string) *httptest.ResponseRecorder {
		return call(h, http.MethodGet, "/api/v1/scan/"+id+"/report", "", header...)
	}
	const report = "application/vnd.security.vulnerability.report; version=1.1"
	const legacy = "application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0"
	if w := get("p", "Accept", report); w.Code != http.StatusFound || w.Header().Get("Refresh-After") != "2" {
		t.Errorf("pending: %d %v", w.Code, w.Header())
	}
	for accept, want := range map[string]string{"": report, report: report, legacy: legacy, "text/html, " + report: report, "*/*": report} {
		if w := get("d", "Accept", accept); w.Code != http.StatusOK || w.Header().Get("Content-Type") != want || w.Body.String() != `{"x":1}` {
			t.Errorf("done, Accept %q: %d %s %s", accept, w.Code, w.Header(), w.Body)
		}
	}
	wantError(t, get("d", "Accept", "text/html"), http.StatusNotAcceptable, "bad_request", "can only be")
	wantError(t, get("f"), http.StatusInternalServerError, "timeout", "too long")
	wantError(t, get("x"), http.StatusNotFound, "unknown_scan", "start it again")
	wantError(t, call(h, http.MethodDelete, "/api/v1/metadata", ""), http.StatusMethodNotAllowed, "", "method")
	wantError(t, call(h, http.MethodGet, "/api/v2", ""), http.StatusNotFound, "", "no such endpoint")
}

func TestMetadata(t *testing.T) {
	for kind, note := range map[string]bool{"grype": false, "sample": true, "": false} {
		w := call(newServer(&memory{}, data{kind: kind}), http.MethodGet, "/api/v1/metadata", "")
		var m harbor.Metadata
		if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%d %v", w.Code, err)
		}
		if w.Header().Get("Content-Type") != "application/vnd.scanner.adapter.metadata+json; version=1.1" || m.Scanner.Name != "Grype" {
			t.Errorf("%v %+v", w.Header(), m)
		}
		if strings.Contains(m.Properties["imagegate.dev/note"], "SAMPLE") != note {
			t.Errorf("%s: %v", kind, m.Properties)
		}
		if at := m.Properties["harbor.scanner-adapter/vulnerability-database-updated-at"]; kind != "" && at != "2026-01-02T03:04:05Z" {
			t.Errorf("%s: updated at %q", kind, at)
		}
	}
}

type panics struct{ memory }

func (*panics) Get(string) jobs.Result { panic("oops") }

func TestPanicIsAnAnswer(t *testing.T) {
	var log strings.Builder
	h := New(Config{Queue: &panics{}, Database: data{kind: "grype"}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	wantError(t, call(h, http.MethodGet, "/api/v1/scan/x/report", ""), http.StatusInternalServerError, "internal", "mistake")
	if !strings.Contains(log.String(), "server_test.go") {
		t.Errorf("the log does not tell where: %s", log.String())
	}
}
