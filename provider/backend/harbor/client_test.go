package harbor_test

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend/backendtest"
	"github.com/imagegate/imagegate/provider/backend/harbor"
	"github.com/imagegate/imagegate/provider/filewatch"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/tlsfiles"
)

func wantFailure(t *testing.T, err error, reason report.Reason, words string) {
	t.Helper()
	f, ok := errors.AsType[*report.Failure](err)
	if !ok {
		t.Fatalf("error is %T %v, want a *report.Failure", err, err)
	}
	if f.Reason != reason || !strings.Contains(f.Message, words) {
		t.Errorf("failure is %s %q (%v), want %s with %q", f.Reason, f.Message, f.Err, reason, words)
	}
}

func TestRequest(t *testing.T) {
	a := newAdapter(t, backendtest.Script{Findings: backendtest.Findings()})
	a.meta = older()
	if _, err := client(t, a.URL).Scan(t.Context(), backendtest.Image(0)); err != nil {
		t.Fatal(err)
	}
	image := backendtest.Image(0)
	want := map[string]any{
		"registry": map[string]any{"url": image.Registry, "authorization": image.Authorization},
		"artifact": map[string]any{"repository": image.Repository, "digest": image.Digest, "tag": image.Tag, "mime_type": image.MediaType},
	}
	if !reflect.DeepEqual(a.posted[0], want) {
		t.Errorf("request is %v, want %v", a.posted[0], want)
	}
}

func TestVersion12CapabilitiesAreNamed(t *testing.T) {
	a := newAdapter(t, backendtest.Script{})
	a.meta["capabilities"] = []map[string]any{
		{"type": "sbom", "consumes_mime_types": []string{mimeManifest}, "produces_mime_types": []string{"application/vnd.security.sbom.report+json; version=1.0"}},
		{"type": "vulnerability", "consumes_mime_types": []string{mimeManifest}, "produces_mime_types": []string{mimeReport}},
	}
	if _, err := client(t, a.URL).Scan(t.Context(), backendtest.Image(0)); err != nil {
		t.Fatal(err)
	}
	want := []any{map[string]any{"type": "vulnerability", "produces_mime_types": []any{mimeReport}}}
	if !reflect.DeepEqual(a.posted[0]["enabled_capabilities"], want) {
		t.Errorf("enabled_capabilities is %v", a.posted[0]["enabled_capabilities"])
	}
}

func TestReport(t *testing.T) {
	a := newAdapter(t, backendtest.Script{})
	image := backendtest.Image(0)
	a.script.Body = fmt.Appendf(nil, `{
		"generated_at": "2026-11-23T12:00:00.5Z",
		"database_built_at": "2026-11-20T00:00:00Z",
		"artifact": {"digest": %q},
		"scanner": {"name": "Grype", "vendor": "Anchore", "version": "0.120.1"},
		"severity": "Critical",
		"vulnerabilities": [
			{"id": "CVE-1", "package": "a", "version": "1", "severity": "None"},
			{"id": "CVE-2", "package": "b", "version": "1", "severity": "Important", "vendor_attributes": {"CVSS": {"nvd": {"V3Score": 7}}}},
			{"id": "GHSA-3", "package": "c", "version": "1", "fix_version": "2", "severity": "critical",
			 "description": "bad", "links": ["https://example.org/3"],
			 "vendor_attributes": {"aliases": ["CVE-3"], "published": "2026-01-02", "purl": "pkg:npm/c@1"}},
			{"id": "CVE-4", "package": "d", "version": "1", "severity": "", "vendor_attributes": {"CVSS": {"nvd": {"V2Score": 2.1, "V3Score": 3.1}}}}
		],
		"suppressed": [
			{"id": "CVE-5", "package": "linux-libc-dev", "version": "6.1", "severity": "High", "reason": "Grype: only headers",
			 "vendor_attributes": {"purl": "pkg:deb/debian/linux-libc-dev@6.1"}},
			{"id": "CVE-6", "package": "e", "version": "1", "severity": "High"}
		]}`, image.Digest)
	got, err := client(t, a.URL).Scan(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	want := []report.Vulnerability{
		{ID: "CVE-3", Aliases: []string{"GHSA-3"}, Package: "c", PURL: "pkg:npm/c@1", Installed: "1", Fixed: "2", Severity: report.SeverityCritical,
			Published: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), Description: "bad", Links: []string{"https://example.org/3"}},
		{ID: "CVE-5", Package: "linux-libc-dev", PURL: "pkg:deb/debian/linux-libc-dev@6.1", Installed: "6.1", Severity: report.SeverityHigh,
			Suppressed: "Grype: only headers"},
		{ID: "CVE-2", Package: "b", Installed: "1", Severity: report.SeverityHigh},
		{ID: "CVE-4", Package: "d", Installed: "1", Severity: report.SeverityLow},
		{ID: "CVE-1", Package: "a", Installed: "1", Severity: report.SeverityUnknown},
	}
	if !reflect.DeepEqual(got.Vulnerabilities, want) {
		t.Errorf("findings are %+v, want %+v", got.Vulnerabilities, want)
	}
	if got.Scanner != "Grype 0.120.1" || !got.ScannedAt.Equal(time.Date(2026, 11, 23, 12, 0, 0, 5e8, time.UTC)) {
		t.Errorf("scanner %q at %s", got.Scanner, got.ScannedAt)
	}
	if !got.DatabaseBuiltAt.Equal(time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("database of %s", got.DatabaseBuiltAt)
	}
	if strings.ContainsAny(string(got.Inner), "\n\t") || !json.Valid(got.Inner) {
		t.Errorf("the inner report is not compact: %s", got.Inner)
	}
}

// A scan with the sample database is another scanner's, in reports and generations
// alike, so that a real database has everything scanned anew.
func TestTheSampleDatabaseIsNamed(t *testing.T) {
	a := newAdapter(t, backendtest.Script{})
	image := backendtest.Image(0)
	const want = "Grype 1 with the SAMPLE database"
	a.meta["scanner"] = map[string]string{"name": "Grype", "vendor": "Anchore", "version": "1"}
	a.meta["properties"] = map[string]string{"imagegate.dev/vulnerability-database": "sample"}
	a.script.Body = fmt.Appendf(nil, `{"generated_at": "2026-11-23T12:00:00Z", "database_kind": "sample", "artifact": {"digest": %q},
		"scanner": {"name": "Grype", "vendor": "Anchore", "version": "1"}, "severity": "High",
		"vulnerabilities": [{"id": "CVE-1", "package": "a", "version": "1", "severity": "High"}]}`, image.Digest)
	c := client(t, a.URL)
	if got, err := c.Scan(t.Context(), image); err != nil || got.Scanner != want {
		t.Errorf("%+v, %v", got, err)
	}
	if gen, err := c.Generation(t.Context()); err != nil || gen.Scanner != want {
		t.Errorf("%+v, %v", gen, err)
	}
}

func TestDatabaseTimeFromMetadata(t *testing.T) {
	a := newAdapter(t, backendtest.Script{})
	c := client(t, a.URL)
	got, err := c.Scan(t.Context(), backendtest.Image(0))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	if !got.DatabaseBuiltAt.Equal(at) {
		t.Errorf("database of %s", got.DatabaseBuiltAt)
	}
	gen, err := c.Generation(t.Context())
	if err != nil || gen.Scanner != "Example 1.2.3" || !gen.DatabaseBuiltAt.Equal(at) {
		t.Errorf("generation is %+v, %v", gen, err)
	}
}

func TestReportsThatDoNotCount(t *testing.T) {
	const made = `"generated_at":"2026-11-26T11:00:00Z","scanner":{"name":"x"},"artifact":{"digest":"DIGEST"}`
	for name, tc := range map[string]struct {
		body  string
		words string
	}{
		"of another image":                     {`{"scanner":{"name":"x"},"generated_at":"2026-11-26T11:00:00Z","artifact":{"digest":"sha256:other"}}`, "about sha256:other instead of"},
		"nothing but a scanner":                {`{"scanner":{"name":"x"}}`, "does not say when it was made"},
		"a scanner and a time":                 {`{"scanner":{"name":"x"},"generated_at":"2026-11-26T11:00:00Z"}`, "does not say which image"},
		"a severity and no list":               {`{` + made + `,"severity":"High"}`, "calls the image High and lists no vulnerability"},
		"a severity and null for the list":     {`{` + made + `,"severity":"Low","vulnerabilities":null}`, "calls the image Low and lists no vulnerability"},
		"a severity worse than the list":       {`{` + made + `,"severity":"Critical","vulnerabilities":[{"id":"CVE-1","package":"p","severity":"Low"}]}`, "lists nothing worse than Low"},
		"the list by another name":             {`{` + made + `,"items":[{"id":"CVE-1","package":"p","severity":"Low"}]}`, `a list or an object called "items"`},
		"the list one level down":              {`{` + made + `,"application/vnd.security.vulnerability.report; version=1.1":{"vulnerabilities":[]}}`, "a list or an object called"},
		"the list by another name beside null": {`{` + made + `,"vulnerabilities":null,"items":[1]}`, `called "items"`},
		"an item without id":                   {`{` + made + `,"vulnerabilities":[{"package":"p","severity":"Low"}]}`, `a finding in "p" has no identifier`},
		"an item with a name of a megabyte":    {`{` + made + `,"vulnerabilities":[{"id":"` + strings.Repeat("C", 1<<20) + `","package":"p","severity":"Low"}]}`, "an identifier of 1048576 bytes"},
		"an item without package":              {`{` + made + `,"vulnerabilities":[{"id":"CVE-1","severity":"Low"}]}`, `"CVE-1" names no package`},
		"an item with nothing for a severity":  {`{` + made + `,"vulnerabilities":[{"id":"CVE-1","package":"p"}]}`, "neither a severity nor a CVSS score"},
		"no scanner":                           {`{"generated_at":"2026-11-23T12:00:00Z","artifact":{"digest":"DIGEST"},"vulnerabilities":[]}`, "names no scanner"},
		"wrong time":                           {`{"scanner":{"name":"x"},"generated_at":"yesterday"}`, "not a vulnerability report"},
		"wrong list":                           {`{"scanner":{"name":"x"},"vulnerabilities":{}}`, "not a vulnerability report"},
		"unknown severity":                     {`{` + made + `,"vulnerabilities":[{"id":"CVE-1","package":"p","severity":"Catastrophic"}]}`, `"Catastrophic" is not known`},
		"unknown word":                         {`{` + made + `,"severity":"Catastrophic","vulnerabilities":[]}`, `"Catastrophic" is not known`},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAdapter(t, backendtest.Script{})
			body := strings.ReplaceAll(tc.body, "DIGEST", backendtest.Image(0).Digest)
			a.override = at("/report", func(w http.ResponseWriter, req *http.Request) {
				if req.Header.Get("Accept") != mimeReport {
					t.Error("the adapter was asked what it looked at")
				}
				w.Header().Set("Content-Type", mimeReport)
				_, _ = fmt.Fprint(w, body)
			})
			scan, err := client(t, a.URL, func(o *harbor.Options) { o.EmptyReport = harbor.Accept }).Scan(t.Context(), backendtest.Image(0))
			wantFailure(t, err, report.FailureOf(err).Reason, tc.words)
			if reason := report.FailureOf(err).Reason; reason != report.ReasonIncomplete && reason != report.ReasonInternal {
				t.Errorf("reason is %s", reason)
			}
			if scan != nil {
				t.Error("there is a report")
			}
		})
	}
	t.Run("media type", func(t *testing.T) {
		for _, mediaType := range []string{"text/html", "", "application/vnd.security.sbom.report+json; version=1.0"} {
			a := newAdapter(t, backendtest.Script{})
			a.override = at("/report", func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = []string{mediaType}
				_, _ = fmt.Fprint(w, `{"scanner":{"name":"x"}}`)
			})
			_, err := client(t, a.URL).Scan(t.Context(), backendtest.Image(0))
			wantFailure(t, err, report.ReasonInternal, "media type")
		}
	})
	t.Run("too large", func(t *testing.T) {
		a := newAdapter(t, backendtest.Script{Findings: backendtest.Findings()})
		c := client(t, a.URL, func(o *harbor.Options) { o.MaxReportBytes = 100 })
		_, err := c.Scan(t.Context(), backendtest.Image(0))
		wantFailure(t, err, report.ReasonTooLarge, "100 bytes")
	})
}

// What an adapter says about itself is in messages and is kept with every scan.
func TestAnAdaptersNameIsBounded(t *testing.T) {
	long := strings.Repeat("x\n", 1<<17)
	a := newAdapter(t, backendtest.Script{Coverage: &report.Coverage{Distribution: long, Packages: 1}})
	a.meta = older()
	a.meta["scanner"] = map[string]string{"name": long, "version": long}
	a.worker = true
	image := backendtest.Image(0)
	scan, err := client(t, a.URL).Scan(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(scan.Scanner) + len(scan.Coverage.Distribution); n > 300 {
		t.Errorf("%d bytes of names are kept", n)
	}
	image.MediaType = strings.Repeat("m", 1<<20)
	_, err = client(t, a.URL).Scan(t.Context(), image)
	if f := report.FailureOf(err); f.Message != report.Clean(f.Message, 512) || f.Reason != report.ReasonUnsupported {
		t.Errorf("failure %s of %d bytes", f.Reason, len(f.Message))
	}
}

func TestErrorsOfTheScan(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		reason report.Reason
		words  string
	}{
		{500, `{"error":{"message":"the registry refused","code":"unauthorized"}}`, report.ReasonUnauthorized, "the registry refused"},
		{500, `{"error":{"message":"no such image","code":"not_found"}}`, report.ReasonNotFound, "no such image"},
		{500, `{"error":{"message":"a chart","code":"unsupported"}}`, report.ReasonUnsupported, "a chart"},
		{500, `{"error":{"message":"3 GiB","code":"too_large"}}`, report.ReasonTooLarge, "3 GiB"},
		{500, `{"error":{"message":"10m","code":"timeout"}}`, report.ReasonTimeout, "10m"},
		{500, `{"error":{"message":"too old","code":"database"}}`, report.ReasonDatabase, "too old"},
		{503, `{"error":{"message":"loading","code":"database"}}`, report.ReasonDatabase, "loading"},
		{500, `{"error":{"message":"oops","code":"internal"}}`, report.ReasonInternal, "oops"},
		{500, `{"error":{"message":"wrong size","code":"invalid"}}`, report.ReasonUnsupported, "wrong size"},
		{500, `{"error":{"message":"registry down","code":"registry"}}`, report.ReasonUnavailable, "registry down"},
		{500, `{"error":{"message":"stopped","code":"stopped"}}`, report.ReasonUnavailable, "stopped"},
		{500, `{"error":{"message":"trivy exploded"}}`, report.ReasonInternal, "trivy exploded"},
		{500, `{"error":{"code":"too_large"}}`, report.ReasonTooLarge, "too large"},
		{500, `<html>`, report.ReasonInternal, "status 500"},
		{500, `{"error":{"message":"pulling with Basic c2VjcmV0OnNlY3JldA== failed"}}`, report.ReasonInternal, "pulling with [redacted] failed"},
		{500, `{"error":{"message":"bad token c2VjcmV0OnNlY3JldA=="}}`, report.ReasonInternal, "bad token [redacted]"},
		{429, `{}`, report.ReasonUnavailable, "busy"},
		{301, ``, report.ReasonInternal, "status 301"},
	} {
		a := newAdapter(t, backendtest.Script{})
		a.override = at("/report", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tc.status)
			_, _ = fmt.Fprint(w, tc.body)
		})
		_, err := client(t, a.URL).Scan(t.Context(), backendtest.Image(0))
		wantFailure(t, err, tc.reason, tc.words)
	}
}

func TestForgottenScansAreStartedAgain(t *testing.T) {
	for _, tc := range []struct {
		forget int64
		ok     bool
	}{{1, true}, {2, true}, {3, false}} {
		a := newAdapter(t, backendtest.Script{})
		var forgotten atomic.Int64
		a.override = func(w http.ResponseWriter, req *http.Request) bool {
			if !strings.HasSuffix(req.URL.Path, "/report") || forgotten.Load() >= tc.forget {
				return false
			}
			forgotten.Add(1)
			w.WriteHeader(http.StatusNotFound)
			return true
		}
		_, err := client(t, a.URL).Scan(t.Context(), backendtest.Image(0))
		if tc.ok && err != nil {
			t.Errorf("forgotten %d times: %v", tc.forget, err)
		}
		if !tc.ok {
			wantFailure(t, err, report.ReasonUnavailable, "lost the scan")
		}
	}
}

func TestARestartingAdapterIsWaitedFor(t *testing.T) {
	a := newAdapter(t, backendtest.Script{})
	var dropped atomic.Bool
	a.override = func(_ http.ResponseWriter, req *http.Request) bool {
		if strings.HasSuffix(req.URL.Path, "/report") && dropped.CompareAndSwap(false, true) {
			panic(http.ErrAbortHandler)
		}
		return false
	}
	if _, err := client(t, a.URL).Scan(t.Context(), backendtest.Image(0)); err != nil {
		t.Error(err)
	}
}

func TestCapabilities(t *testing.T) {
	a := newAdapter(t, backendtest.Script{})
	image := backendtest.Image(0)
	image.MediaType = "application/vnd.example"
	_, err := client(t, a.URL).Scan(t.Context(), image)
	wantFailure(t, err, report.ReasonUnsupported, "application/vnd.example")

	a.meta["capabilities"] = []map[string]any{{"consumes_mime_types": []string{mimeManifest}, "produces_mime_types": []string{"application/x-raw"}}}
	c := client(t, a.URL)
	_, err = c.Scan(t.Context(), backendtest.Image(0))
	wantFailure(t, err, report.ReasonInternal, "does not produce vulnerability reports")
	wantFailure(t, c.Ready(t.Context()), report.ReasonInternal, "does not produce vulnerability reports")
}

func TestReady(t *testing.T) {
	a := newAdapter(t, backendtest.Script{})
	c := client(t, a.URL)
	if err := c.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.override = at("/metadata", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{}`) })
	wantFailure(t, c.Ready(t.Context()), report.ReasonInternal, "scanner.harbor.url")
	a.override = at("/metadata", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	wantFailure(t, c.Ready(t.Context()), report.ReasonInternal, "scanner.harbor.url")
	a.Close()
	wantFailure(t, c.Ready(t.Context()), report.ReasonUnavailable, "cannot be reached")
}

func authorities(t *testing.T, file string) *tlsfiles.Authorities {
	t.Helper()
	a, err := tlsfiles.NewAuthorities("scanner.harbor.caFile", file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestTokenAndTLS(t *testing.T) {
	var seen []string
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		seen = append(seen, req.Header.Get("Authorization"))
		_ = json.NewEncoder(w).Encode(metadata())
	}))
	t.Cleanup(srv.Close)
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"", "abc", "Basic dTpw", "Bearer xyz"} {
		c := client(t, srv.URL, func(o *harbor.Options) { o.Authorities, o.Token = authorities(t, ca), filewatch.FixedSecret(token) })
		if err := c.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"", "Bearer abc", "Basic dTpw", "Bearer xyz"}; !reflect.DeepEqual(seen, want) {
		t.Errorf("authorizations are %q, want %q", seen, want)
	}
	wantFailure(t, client(t, srv.URL).Ready(t.Context()), report.ReasonUnavailable, "cannot be reached")
}

func TestTheTokenIsNotQuoted(t *testing.T) {
	for _, token := range []string{"hunter2", "Bearer hunter2", "Basic hunter2"} {
		a := newAdapter(t, backendtest.Script{})
		a.override = func(w http.ResponseWriter, req *http.Request) bool {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = fmt.Fprintf(w, `{"error":{"message":"cannot serve %s"}}`, req.Header.Get("Authorization"))
			return true
		}
		c := client(t, a.URL, func(o *harbor.Options) { o.Token = filewatch.FixedSecret(token) })
		_, err := c.Scan(t.Context(), backendtest.Image(0))
		wantFailure(t, err, report.ReasonInternal, "[redacted]")
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the provider's own token is quoted: %v", err)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, url := range []string{"", "127.0.0.1:8081", "ftp://a", "http://user:hunter2@a", "http://a?b=c"} {
		_, err := harbor.New(harbor.Options{URL: url})
		if err == nil || !strings.Contains(err.Error(), "url") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: error is %v", url, err)
		}
	}
}

// TestARefusedTokenIsTriedAgainWithTheNewOne: the token in the file was renewed;
// before, the provider had to be restarted.
func TestARefusedTokenIsTriedAgainWithTheNewOne(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	put := func(s string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("old")
	token, err := filewatch.NewSecret("scanner.harbor.tokenFile", file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var valid atomic.Value
	valid.Store("old")
	var asked atomic.Int32
	a := newAdapter(t, backendtest.Script{})
	a.override = func(w http.ResponseWriter, req *http.Request) bool {
		asked.Add(1)
		if got := req.Header.Get("Authorization"); got != "Bearer "+valid.Load().(string) {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprintf(w, `{"error":{"message":"%s is over"}}`, got)
			return true
		}
		return false
	}
	c := client(t, a.URL, func(o *harbor.Options) { o.Token = token })
	if _, err := c.Scan(t.Context(), backendtest.Image(0)); err != nil {
		t.Fatal(err)
	}
	valid.Store("new")
	before := asked.Load()
	_, err = c.Scan(t.Context(), backendtest.Image(0))
	wantFailure(t, err, report.ReasonUnavailable, "scanner.harbor.tokenFile")
	if n := asked.Load() - before; n != 1 {
		t.Errorf("a refused token that is still the same was sent %d times", n)
	}
	put("new")
	if _, err := c.Scan(t.Context(), backendtest.Image(0)); err != nil {
		t.Errorf("with the new token in the file: %v", err)
	}
}
