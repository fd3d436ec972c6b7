package anchoretest

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// API names what a Server speaks.
type API string

// The APIs.
const (
	V1     API = "/v1"
	V2     API = "/v2"
	Sysdig API = "/api/scanning/v1/anchore"
)

// Image is what the server finds out about an image.
type Image struct {
	// Pending is how often its state is "analyzing" before it is final; below
	// zero it stays so.
	Pending int
	// Failed makes its analysis fail.
	Failed bool
	// Action is the policy's final action: go, warn or stop; empty is go.
	Action string
	// Findings are its vulnerabilities.
	Findings []report.Vulnerability
	// Moved is the digest that its tag names for the server; empty is the one
	// that was submitted.
	Moved string
}

// Options configures a Server.
type Options struct {
	API API
	// Authorization is the header's value that opens the server; empty opens
	// it to all.
	Authorization string
	// Images says what is found in an image; nil finds clean ones at once.
	Images func(digest string) Image
	// Override answers in the server's place when it returns true. The path
	// begins after the API's prefix.
	Override func(w http.ResponseWriter, req *http.Request, path string) bool
	// Edit, when not nil, changes what is answered with status 200 at a path that
	// ends in /check, /vuln/all or /system/feeds. It gets JSON as decoded.
	Edit func(path string, body any) any
	// TLS serves HTTPS with httptest's certificate.
	TLS bool
	// NoPolicy means that the account has no active policy.
	NoPolicy bool
}

// Server is a running server.
type Server struct {
	*httptest.Server
	o    Options
	stop chan struct{}

	mu     sync.Mutex
	asked  []Asked
	images map[string]*record
}

// Asked is a request as it came.
type Asked struct {
	Method, Path, Query string
	Header              http.Header
	Body                string
}

// record is an image that was submitted.
type record struct {
	digest  string
	tags    map[string]bool
	polls   int
	created time.Time
}

// New starts a Server. The caller closes it.
func New(o Options) *Server {
	s := &Server{o: o, stop: make(chan struct{}), images: map[string]*record{}}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if o.TLS {
		s.StartTLS()
	} else {
		s.Start()
	}
	return s
}

// Close ends the server and every request that it keeps waiting.
func (s *Server) Close() {
	close(s.stop)
	s.Server.Close()
}

// Hang keeps a request until it is given up or the server ends.
func (s *Server) Hang(req *http.Request) {
	_, _ = io.Copy(io.Discard, req.Body)
	select {
	case <-req.Context().Done():
	case <-s.stop:
	}
}

// Asked returns the requests so far.
func (s *Server) Asked() []Asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Asked(nil), s.asked...)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	b, _ := io.ReadAll(io.LimitReader(req.Body, 1<<20))
	s.mu.Lock()
	s.asked = append(s.asked, Asked{req.Method, req.URL.Path, req.URL.RawQuery, req.Header.Clone(), string(b)})
	s.mu.Unlock()
	path, ok := strings.CutPrefix(req.URL.Path, string(s.o.API))
	if s.o.Override != nil && s.o.Override(w, req, path) {
		return
	}
	switch {
	case !ok:
		notRouted(w)
	case path == "/" && s.o.API != Sysdig:
		answer(w, http.StatusOK, strings.TrimPrefix(string(s.o.API), "/"))
	case s.o.Authorization != "" && req.Header.Get("Authorization") != s.o.Authorization:
		w.Header().Set("WWW-Authenticate", `Basic realm="Authentication required"`)
		s.fail(w, http.StatusUnauthorized, "Unauthorized")
	default:
		s.route(w, req, path, b)
	}
}

func (s *Server) route(w http.ResponseWriter, req *http.Request, path string, body []byte) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	switch {
	case path == "/version" && s.o.API != Sysdig:
		answer(w, http.StatusOK, map[string]any{
			"service": map[string]string{"version": "1.1.0"},
			"api":     map[string]string{"version": strings.TrimPrefix(string(s.o.API), "/v")},
			"db":      map[string]string{"schema_version": "0.0.16"},
		})
	case path == "/system/feeds" && s.o.API != Sysdig:
		s.edited(w, path, []map[string]any{
			{"name": "nvdv2", "last_full_sync": nil, "groups": []any{}},
			{"name": "grypedb", "last_full_sync": "2026-11-20T06:00:00Z", "groups": []any{}},
		})
	case path == "/images" && req.Method == http.MethodPost:
		s.submit(w, body)
	case len(parts) >= 2 && parts[0] == "images" && req.Method == http.MethodGet:
		s.image(w, req, parts[1], strings.Join(parts[2:], "/"))
	default:
		notRouted(w)
	}
}

// image answers what begins with /images/{digest}.
func (s *Server) image(w http.ResponseWriter, req *http.Request, digest, rest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.images[digest]
	if !ok {
		s.fail(w, http.StatusNotFound, "image not found in DB")
		return
	}
	switch rest {
	case "":
		r.polls++
		s.state(w, r)
	case "check":
		s.check(w, r, normalised(req.URL.Query().Get("tag")))
	case "vuln/all":
		s.vulnerabilities(w, r)
	default:
		notRouted(w)
	}
}

func (s *Server) check(w http.ResponseWriter, r *record, tag string) {
	status := s.status(r)
	switch {
	case status != "analyzed":
		s.fail(w, http.StatusNotFound, "image is not analyzed - analysis_status: "+status)
	case s.o.NoPolicy:
		s.fail(w, http.StatusNotFound, "user has no active policy to evaluate: admin")
	case !r.tags[tag]:
		s.fail(w, http.StatusNotFound, "could not find any evaluations for input images")
	case s.o.API == V2:
		s.edited(w, "/check", checkV2(r.digest, tag, s.plan(r.digest)))
	default:
		s.edited(w, "/check", checkV1(r.digest, tag, s.plan(r.digest)))
	}
}

func (s *Server) vulnerabilities(w http.ResponseWriter, r *record) {
	if status := s.status(r); status != "analyzed" {
		s.fail(w, http.StatusNotFound, "image is not analyzed - analysis_status: "+status)
		return
	}
	digest := "imageDigest"
	if s.o.API == V2 {
		digest = "image_digest"
	}
	s.edited(w, "/vuln/all", map[string]any{
		digest:               r.digest,
		"vulnerability_type": "all",
		"vulnerabilities":    vulnerabilities(s.plan(r.digest).Findings),
	})
}

func (s *Server) plan(digest string) Image {
	if s.o.Images == nil {
		return Image{}
	}
	return s.o.Images(digest)
}

func (s *Server) status(r *record) string {
	plan := s.plan(r.digest)
	switch {
	case plan.Pending < 0 || r.polls < plan.Pending:
		if r.polls == 0 {
			return "not_analyzed"
		}
		return "analyzing"
	case plan.Failed:
		return "analysis_failed"
	}
	return "analyzed"
}

func (s *Server) state(w http.ResponseWriter, r *record) {
	if s.o.API == V2 {
		answer(w, http.StatusOK, imageV2(r, s.status(r)))
		return
	}
	answer(w, http.StatusOK, []any{imageV1(r, s.status(r))})
}

// edited answers with what Edit makes of a body.
func (s *Server) edited(w http.ResponseWriter, path string, body any) {
	if s.o.Edit != nil {
		var plain any
		b, err := json.Marshal(body)
		if err == nil {
			err = json.Unmarshal(b, &plain)
		}
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		body = s.o.Edit(path, plain)
	}
	answer(w, http.StatusOK, body)
}

// fail writes the API's error object.
func (s *Server) fail(w http.ResponseWriter, status int, message string) {
	body := map[string]any{"message": message, "detail": map[string]any{"error_codes": []string{}}}
	if s.o.API == V2 {
		body["code"], body["error_type"] = status, http.StatusText(status)
	} else {
		body["httpcode"] = status
	}
	answer(w, status, body)
}

// notRouted is how the web framework before the API answers.
func notRouted(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusNotFound)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"detail": "The requested URL was not found on the server.", "status": 404, "title": "Not Found", "type": "about:blank",
	})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "    ")
	_ = e.Encode(body)
}
