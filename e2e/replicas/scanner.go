package replicas

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What the Harbor Pluggable Scanner API 1.1 calls its documents.
const (
	mimeMetadata = "application/vnd.scanner.adapter.metadata+json; version=1.0"
	mimeReport   = "application/vnd.security.vulnerability.report; version=1.1"
	mimeManifest = "application/vnd.oci.image.manifest.v1+json"
)

// Behaviour is what the scanner does with an image.
type Behaviour struct {
	// Takes is how long a scan goes on.
	Takes time.Duration
	// Hangs has it never end.
	Hangs bool
	// Findings is how many it lists; the first one is critical.
	Findings int
	// Fails has it end without a report.
	Fails bool
}

// Counts is what became of an image's scans, over all providers.
type Counts struct {
	Begun int
	// Delivered are those whose report somebody has read.
	Delivered int
}

// Scanner plays a Harbor adapter for all providers. It tells what it looked at as
// the bundled worker does, so that an image without findings can be accepted.
type Scanner struct {
	URL string

	server *http.Server
	built  time.Time // of its data

	mu      sync.Mutex
	usual   Behaviour
	special map[string]Behaviour // by digest
	scans   []*playedScan
	counts  map[string]Counts
}

type playedScan struct {
	digest    string
	begun     time.Time
	behaviour Behaviour
	delivered time.Time
}

// StartScanner plays a scanner on a free port.
func StartScanner(usual Behaviour) (*Scanner, error) {
	s := &Scanner{usual: usual, built: time.Now().Add(-time.Hour), special: map[string]Behaviour{}, counts: map[string]Counts{}}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the scanner: %w", err)
	}
	s.URL = "http://" + l.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/metadata", s.metadata)
	mux.HandleFunc("POST /api/v1/scan", s.scan)
	mux.HandleFunc("GET /api/v1/scan/{id}/report", s.report)
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := s.server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Printf("scanner: %v", err)
		}
	}()
	return s, nil
}

// Stop closes the port.
func (s *Scanner) Stop() { _ = s.server.Close() }

// Usually sets what is done with images of which nothing else is said.
func (s *Scanner) Usually(b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.usual = b
}

// Plan sets what is done with one image.
func (s *Scanner) Plan(digest string, b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.special[digest] = b
}

// Counts returns what became of each image's scans.
func (s *Scanner) Counts() map[string]Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.counts)
}

// Begun says how often a scan of the digest has begun.
func (s *Scanner) Begun(digest string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[digest].Begun
}

// Delivered says when a report of the digest was handed over for the last time.
func (s *Scanner) Delivered(digest string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	var at time.Time
	for _, scan := range s.scans {
		if scan.digest == digest && scan.delivered.After(at) {
			at = scan.delivered
		}
	}
	return at
}

func (s *Scanner) metadata(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", mimeMetadata)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"scanner": map[string]string{"name": "Played", "vendor": "imagegate", "version": "1"},
		"capabilities": []map[string]any{{
			"consumes_mime_types": []string{mimeManifest},
			"produces_mime_types": []string{mimeReport},
		}},
		"properties": map[string]string{
			"harbor.scanner-adapter/vulnerability-database-updated-at": s.built.UTC().Format(time.RFC3339),
		},
	})
}

func (s *Scanner) scan(w http.ResponseWriter, req *http.Request) {
	var body struct {
		Artifact struct {
			Digest string `json:"digest"`
		} `json:"artifact"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, req.Body, 1<<20)).Decode(&body); err != nil || body.Artifact.Digest == "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	digest := body.Artifact.Digest
	s.mu.Lock()
	b, ok := s.special[digest]
	if !ok {
		b = s.usual
	}
	id := strconv.Itoa(len(s.scans))
	s.scans = append(s.scans, &playedScan{digest: digest, begun: time.Now(), behaviour: b})
	c := s.counts[digest]
	c.Begun++
	s.counts[digest] = c
	s.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(map[string]string{"id": id})
}

func (s *Scanner) report(w http.ResponseWriter, req *http.Request) {
	n, err := strconv.Atoi(req.PathValue("id"))
	s.mu.Lock()
	if err != nil || n < 0 || n >= len(s.scans) {
		s.mu.Unlock()
		w.WriteHeader(http.StatusNotFound)
		return
	}
	scan := s.scans[n]
	now := time.Now()
	pending := scan.behaviour.Hangs || now.Sub(scan.begun) < scan.behaviour.Takes
	if !pending && !scan.behaviour.Fails && scan.delivered.IsZero() {
		scan.delivered = now
		c := s.counts[scan.digest]
		c.Delivered++
		s.counts[scan.digest] = c
	}
	s.mu.Unlock()
	switch {
	case pending: // as Trivy's adapter says it
		w.Header().Set("Location", req.URL.Path)
		w.WriteHeader(http.StatusFound)
	case scan.behaviour.Fails:
		w.WriteHeader(http.StatusInternalServerError)
	default:
		w.Header().Set("Content-Type", mimeReport)
		_ = json.NewEncoder(w).Encode(s.document(scan))
	}
}

func (s *Scanner) document(scan *playedScan) map[string]any {
	findings := make([]map[string]any, 0, scan.behaviour.Findings)
	for i := range scan.behaviour.Findings {
		severity := "Low"
		if i == 0 {
			severity = "Critical"
		}
		findings = append(findings, finding(scan.digest, i, severity))
	}
	d := map[string]any{
		"generated_at":       time.Now().UTC().Format(time.RFC3339),
		"artifact":           map[string]string{"digest": scan.digest},
		"scanner":            map[string]string{"name": "Played", "vendor": "imagegate", "version": "1"},
		"vulnerabilities":    findings,
		"packages":           120,
		"unmatched_packages": 0,
		"distro":             "debian 13",
	}
	if len(findings) > 0 {
		d["severity"] = "Critical"
	}
	return d
}

// finding is about as long as those of real scanners, and differs from image to
// image, so that compressing a store finds no more alike than it would there.
func finding(digest string, i int, severity string) map[string]any {
	seed := strings.TrimPrefix(digest, "sha256:")
	at := func(n int) string { k := (i*7 + n) % (len(seed) - 8); return seed[k : k+8] }
	return map[string]any{
		"id":          fmt.Sprintf("CVE-20%02d-%d", 10+i%16, 1000+i*13),
		"package":     "lib" + at(1) + strconv.Itoa(i%40),
		"version":     fmt.Sprintf("%d.%d.%d-%s", i%7, i%13, i%5, at(3)[:4]),
		"fix_version": fmt.Sprintf("%d.%d.%d", i%7, i%13, i%5+1),
		"severity":    severity,
		"description": "A flaw was found in " + at(2) + ": a crafted input of " + at(4) + " bytes leads to an out-of-bounds read in the function " + at(5) + "_parse, which an attacker who can send " + at(6) + " may use to read memory of the process.",
		"links":       []string{"https://security-tracker.example.org/tracker/CVE-" + at(7)},
	}
}

// Repeated returns the images among these that were read more than once, or never,
// sorted.
func Repeated(counts map[string]Counts, digests []string) (more, never []string) {
	for _, d := range digests {
		switch n := counts[d].Delivered; {
		case n > 1:
			more = append(more, d)
		case n == 0:
			never = append(never, d)
		}
	}
	slices.Sort(more)
	slices.Sort(never)
	return more, never
}
