// Package server speaks Harbor's Pluggable Scanner API 1.1
// (https://github.com/goharbor/pluggable-scanner-spec) over HTTP.
package server

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/harbor"
	"github.com/imagegate/imagegate/scanner/jobs"
)

// Queue takes scans and remembers what became of them.
type Queue interface {
	// Add queues a scan on behalf of share, which may be empty.
	Add(req harbor.ScanRequest, share string) (string, error)
	Get(id string) jobs.Result
	// Cancel is false when there is nothing to cancel.
	Cancel(id string) bool
}

// Database is what the API says about the vulnerability data.
type Database interface {
	// Ready is nil when scans can run.
	Ready() error
	// BuiltAt is when the data was put together and which kind it is; false
	// when there is none yet.
	BuiltAt() (at time.Time, kind string, ok bool)
}

// Config is what a server needs.
type Config struct {
	Queue    Queue
	Database Database
	// Progress is how a database that is on its way gets on, for JSON.
	Progress func() any
	Scanner  harbor.Scanner
	// PlainHTTP says whether a registry host may be reached without TLS.
	PlainHTTP func(host string) bool
	// BodyLimit caps a scan request in bytes.
	BodyLimit int64
	// Refresh is how long an asker is told to wait for a report.
	Refresh time.Duration
	// Workers is how many scans run at once.
	Workers int
	// Metrics answers GET /metrics.
	Metrics http.Handler
	Log     *slog.Logger
}

type server struct{ Config }

// New returns the handler of all endpoints.
func New(cfg Config) http.Handler {
	s := server{cfg}
	r := chi.NewRouter()
	r.Use(s.recoverer, middleware.GetHead)
	r.NotFound(func(w http.ResponseWriter, _ *http.Request) {
		s.fail(w, http.StatusNotFound, failure.New(failure.BadRequest, "there is no such endpoint"))
	})
	r.MethodNotAllowed(func(w http.ResponseWriter, _ *http.Request) {
		s.fail(w, http.StatusMethodNotAllowed, failure.New(failure.BadRequest, "the endpoint does not have this method"))
	})
	r.Route("/api/v1", func(r chi.Router) {
		r.Get("/metadata", s.metadata)
		r.Post("/scan", s.accept)
		r.Get("/scan/{id}/report", s.report)
		r.Delete("/scan/{id}", s.cancel)
	})
	r.Get("/healthz", s.healthy)
	r.Get("/readyz", s.ready)
	r.Get(PathDatabase, s.database)
	r.Method(http.MethodGet, "/metrics", cfg.Metrics)
	return r
}

// recoverer turns a panic into an answer; the stack goes to the log.
func (s server) recoverer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler { //nolint:errorlint // a sentinel that net/http compares the same way
				panic(v)
			}
			s.Log.Error("panic while answering", "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
			s.fail(w, http.StatusInternalServerError, failure.New(failure.Internal, "the scanner worker made a mistake, see its log"))
		}()
		next.ServeHTTP(w, r)
	})
}

// healthy says that the process answers.
func (s server) healthy(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// ready says that a scan could run now.
func (s server) ready(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err := s.Database.Ready(); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(failure.Of(err).Message + "\n"))
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

// PathDatabase says in JSON how a vulnerability database that is on its way gets on.
const PathDatabase = "/database"

func (s server) database(w http.ResponseWriter, _ *http.Request) {
	s.write(w, http.StatusOK, "application/json", s.Progress())
}

func (s server) fail(w http.ResponseWriter, status int, f *failure.Failure) {
	s.write(w, status, harbor.WithVersion(harbor.TypeError, harbor.Version10),
		harbor.ErrorResponse{Error: harbor.Error{Message: f.Message, Code: string(f.Code)}})
}

func (s server) write(w http.ResponseWriter, status int, mediaType string, body any) {
	raw, err := json.Marshal(body)
	if err != nil {
		s.Log.Error("answer could not be written down", "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	s.send(w, status, mediaType, raw)
}

func (s server) send(w http.ResponseWriter, status int, mediaType string, raw []byte) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(raw) // the asker may be gone
}
