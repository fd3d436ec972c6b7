package harbor_test

import (
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

	"github.com/imagegate/imagegate/provider/backend/backendtest"
	"github.com/imagegate/imagegate/provider/backend/harbor"
)

const (
	mimeReport   = "application/vnd.security.vulnerability.report; version=1.1"
	mimeRequest  = "application/vnd.scanner.adapter.scan.request+json; version=1.1"
	mimeManifest = "application/vnd.oci.image.manifest.v1+json"
	mimeSBOM     = "application/vnd.security.sbom.report+json; version=1.0"
)

// today is when all tests take place.
func today() time.Time { return time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC) }

// adapter serves the wire format of the Harbor Pluggable Scanner API as
// scripted. It is no scanner: the end-to-end tests run the real worker.
type adapter struct {
	*httptest.Server
	t      *testing.T
	script backendtest.Script
	// override answers instead when it is set and returns true.
	override func(w http.ResponseWriter, req *http.Request) bool
	meta     map[string]any
	// worker has it tell what it looked at as the bundled worker does, and not by
	// a list of packages.
	worker bool
	stop   chan struct{}

	mu     sync.Mutex
	scans  map[string]string
	polls  map[string]int
	posted []map[string]any
}

func metadata() map[string]any {
	return map[string]any{
		"scanner": map[string]string{"name": "Example", "vendor": "imagegate", "version": "1.2.3"},
		"capabilities": []map[string]any{
			{
				"type":                "vulnerability",
				"consumes_mime_types": []string{mimeManifest, "application/vnd.docker.distribution.manifest.v2+json"},
				"produces_mime_types": []string{"application/vnd.security.vulnerability.report;version=1.1"},
			},
			{
				"type":                  "sbom",
				"consumes_mime_types":   []string{mimeManifest, "application/vnd.docker.distribution.manifest.v2+json"},
				"produces_mime_types":   []string{mimeSBOM},
				"additional_attributes": map[string]any{"sbom_media_types": []string{"application/spdx+json"}},
			},
		},
		"properties": map[string]string{"harbor.scanner-adapter/vulnerability-database-updated-at": "2026-11-01T00:00:00Z"},
	}
}

// older is what an adapter of version 1.1 says about itself: it makes no list of
// packages.
func older() map[string]any {
	m := metadata()
	m["capabilities"] = []map[string]any{{
		"consumes_mime_types": []string{mimeManifest, "application/vnd.docker.distribution.manifest.v2+json"},
		"produces_mime_types": []string{"application/vnd.security.vulnerability.report;version=1.1"},
	}}
	return m
}

func newAdapter(t *testing.T, s backendtest.Script) *adapter {
	t.Helper()
	a := &adapter{t: t, script: s, meta: metadata(), stop: make(chan struct{}), scans: map[string]string{}, polls: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/metadata", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.scanner.adapter.metadata+json; version=1.0")
		_ = json.NewEncoder(w).Encode(a.meta)
	})
	mux.HandleFunc("POST /api/v1/scan", a.scan)
	mux.HandleFunc("GET /api/v1/scan/{id}/report", a.report)
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if s.Silent {
			_, _ = io.Copy(io.Discard, req.Body)
			select {
			case <-req.Context().Done():
			case <-a.stop:
			}
			return
		}
		if a.override != nil && a.override(w, req) {
			return
		}
		mux.ServeHTTP(w, req)
	}))
	a.Config.ErrorLog = log.New(io.Discard, "", 0)
	a.Start()
	t.Cleanup(func() {
		close(a.stop)
		a.Close()
	})
	return a
}

func (a *adapter) scan(w http.ResponseWriter, req *http.Request) {
	if a.script.Status != 0 {
		for k, v := range a.script.Header {
			w.Header()[k] = v
		}
		w.WriteHeader(a.script.Status)
		return
	}
	var body struct {
		Artifact struct {
			Digest string `json:"digest"`
		} `json:"artifact"`
	}
	raw, _ := io.ReadAll(req.Body)
	var posted map[string]any
	if req.Header.Get("Content-Type") != mimeRequest || json.Unmarshal(raw, &body) != nil || json.Unmarshal(raw, &posted) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	id := fmt.Sprintf("scan/%d", len(a.posted))
	a.posted = append(a.posted, posted)
	a.scans[id] = body.Artifact.Digest
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(map[string]string{"id": id})
}

func (a *adapter) report(w http.ResponseWriter, req *http.Request) {
	id := req.PathValue("id")
	a.mu.Lock()
	digest, known := a.scans[id]
	a.polls[id]++
	pending := a.script.Hang || a.polls[id] <= a.script.Pending
	a.mu.Unlock()
	switch {
	case !known:
		w.WriteHeader(http.StatusNotFound)
	case pending:
		// As Trivy's adapter does it.
		w.Header().Set("Location", req.URL.Path)
		w.WriteHeader(http.StatusFound)
	case req.Header.Get("Accept") == mimeSBOM && req.URL.Query().Get("sbom_media_type") == "application/spdx+json":
		a.answer(w, mimeSBOM, a.sbom(digest))
	case req.Header.Get("Accept") != mimeReport:
		w.WriteHeader(http.StatusUnsupportedMediaType)
	default:
		a.answer(w, mimeReport, a.body(digest))
	}
}

func (a *adapter) answer(w http.ResponseWriter, mediaType string, b []byte) {
	w.Header().Set("Content-Type", mediaType)
	if a.script.Body != nil {
		b = a.script.Body
	}
	if a.script.Truncate {
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		b = b[:len(b)/2]
	}
	_, _ = w.Write(b)
}

// body leaves out what is empty, as Trivy's adapter does for a clean image.
func (a *adapter) body(digest string) []byte {
	r := map[string]any{
		"generated_at": today().Add(-time.Hour),
		"artifact":     map[string]string{"digest": digest},
		"scanner":      map[string]string{"name": "Example", "version": "1.2.3"},
	}
	var items []map[string]any
	for _, v := range a.script.Findings {
		items = append(items, map[string]any{
			"id": v.ID, "package": v.Package, "version": v.Installed, "fix_version": v.Fixed, "severity": v.Severity.String(),
		})
	}
	if items != nil {
		r["vulnerabilities"], r["severity"] = items, "High"
	}
	if c := a.script.Looked(); a.worker && a.script.Lack != backendtest.Silence {
		r["packages"], r["unmatched_packages"], r["distro"] = c.Packages, c.Unmatched, c.Distribution
		if !c.EndOfLife.IsZero() {
			r["distro_end_of_life"] = c.EndOfLife
		}
	}
	a.spoil(r, items)
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		a.t.Fatal(err)
	}
	return b
}

// spoil has the report lack what the script says.
func (a *adapter) spoil(r map[string]any, items []map[string]any) {
	next := today().AddDate(1, 0, 0)
	switch a.script.Lack {
	case backendtest.NoScanner:
		r["scanner"] = map[string]string{"vendor": "Example"}
	case backendtest.NoTime:
		delete(r, "generated_at")
	case backendtest.FutureTime:
		r["generated_at"] = next
	case backendtest.FutureDatabase:
		r["database_built_at"] = next
	case backendtest.NoSubject:
		r["artifact"] = map[string]string{"repository": "team/app"}
	case backendtest.OtherSubject:
		r["artifact"] = map[string]string{"digest": backendtest.Image(99).Digest}
	case backendtest.NoList:
		delete(r, "vulnerabilities")
	case backendtest.NullList:
		r["vulnerabilities"] = nil
	case backendtest.RenamedList:
		delete(r, "vulnerabilities")
		delete(r, "severity")
		r["vulnerability_list"] = items
	case backendtest.NoID:
		delete(items[0], "id")
	case backendtest.NoPackage:
		delete(items[0], "package")
	case backendtest.NoSeverity:
		delete(items[0], "severity")
	case backendtest.UnknownSeverity:
		items[0]["severity"] = "Catastrophic"
	case backendtest.WorseOverall:
		r["severity"] = "Critical"
	case backendtest.OnlyScore:
		delete(items[0], "severity")
		items[0]["preferred_cvss"] = map[string]any{"score_v3": 9.8}
	default: // silence is a script without findings
	}
}

// sbom is a list of packages as Trivy's adapter writes it.
func (a *adapter) sbom(digest string) []byte {
	c := a.script.Looked()
	packages := []map[string]any{{
		"name": "registry.example/team/app", "primaryPackagePurpose": "CONTAINER",
		"externalRefs": []map[string]string{{"referenceType": "purl", "referenceLocator": "pkg:oci/app@" + digest}},
	}}
	name, version, _ := strings.Cut(c.Distribution, " ")
	if name != "" {
		packages = append(packages, map[string]any{"name": name, "versionInfo": version, "primaryPackagePurpose": "OPERATING-SYSTEM"})
	}
	for i := range c.Packages {
		purl := fmt.Sprintf("pkg:golang/example.org/m%d@v1", i)
		if i < c.Unmatched {
			purl = fmt.Sprintf("pkg:deb/debian/p%d@1", i)
		}
		packages = append(packages, map[string]any{
			"name": fmt.Sprintf("p%d", i), "versionInfo": "1", "primaryPackagePurpose": "LIBRARY",
			"externalRefs": []map[string]string{{"referenceType": "purl", "referenceLocator": purl}},
		})
	}
	b, err := json.Marshal(map[string]any{
		"generated_at": today().Add(-time.Hour),
		"artifact":     map[string]string{"digest": digest},
		"scanner":      map[string]string{"name": "Example", "version": "1.2.3"},
		"media_type":   "application/spdx+json",
		"sbom":         map[string]any{"spdxVersion": "SPDX-2.3", "packages": packages},
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return b
}

func client(t *testing.T, url string, change ...func(*harbor.Options)) *harbor.Client {
	t.Helper()
	o := harbor.Options{URL: url, PollInterval: 10 * time.Millisecond, Now: today}
	for _, f := range change {
		f(&o)
	}
	c, err := harbor.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestConformance(t *testing.T) {
	for name, worker := range map[string]bool{"adapter": false, "bundled worker": true} {
		t.Run(name, func(t *testing.T) {
			h := backendtest.Harness{
				Package: "github.com/imagegate/imagegate/provider/backend/harbor",
				Start: func(t *testing.T, s backendtest.Script) backendtest.Backend {
					a := newAdapter(t, s)
					a.worker = worker
					if worker || s.Lack == backendtest.Silence {
						a.meta = older()
					}
					if s.Down {
						a.Close()
					}
					return client(t, a.URL)
				},
			}
			if !worker {
				h.NoEndOfLife = "a list of packages does not tell how long its distribution is maintained"
				h.NoUnmatched = "a list of packages tells its distribution, and not whether the scanner has records of it"
			}
			backendtest.Run(t, h)
		})
	}
}

func at(path string, h http.HandlerFunc) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.HasSuffix(req.URL.Path, path) {
			return false
		}
		h(w, req)
		return true
	}
}
