package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/imagegate/imagegate/provider/queue"
	"github.com/imagegate/imagegate/provider/service"
)

const (
	pathScans = "/v1/scans"
	pathRetry = "/v1/retry"
	pathPurge = "/v1/purge"

	// maxBody bounds a request: some thousands of IDs.
	maxBody = 1 << 20
)

// Longest is how long an answer may take: one retry or purge of however many.
const Longest = time.Minute

// Scans is what is looked into; *scan.Service is one.
type Scans interface {
	// Queue is what waits and is under way.
	Queue() *queue.Queue
	// Failed is what failed and is remembered.
	Failed() []service.Failed
	// Forget forgets a failure, Retry has its scan made again as well.
	Forget(ctx context.Context, f service.Failed) error
	Retry(ctx context.Context, f service.Failed) error
}

type handler struct {
	scans Scans
	log   *slog.Logger
}

// NewHandler returns the routes. Errors are answered as {"error": "..."}.
func NewHandler(s Scans, log *slog.Logger) http.Handler {
	h := &handler{scans: s, log: log}
	r := chi.NewRouter()
	r.Get(pathScans, h.list)
	r.Post(pathRetry, h.change("retry", h.retry))
	r.Post(pathPurge, h.change("purge", h.purge))
	return r
}

func (h *handler) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	failed, _ := strconv.ParseBool(q.Get("failed"))
	sel := Selector{IDs: q["id"], Namespace: q.Get("namespace"), Image: q.Get("image"), Failed: failed}
	matches, err := sel.matcher()
	if err != nil {
		h.refuse(w, http.StatusBadRequest, err)
		return
	}
	items, failures := h.scans.Queue().List(), h.scans.Failed()
	d := h.scans.Queue().Depth()
	out := Listing{Scans: []Scan{}, Depth: Depth{Waiting: d.Waiting, Running: d.Running, Slots: d.Slots, Failed: len(failures)}}
	for _, i := range items {
		if s := ofItem(i); matches(&s) {
			out.Scans = append(out.Scans, s)
		}
	}
	for _, f := range failures {
		if s := ofFailed(f); matches(&s) {
			out.Scans = append(out.Scans, s)
		}
	}
	h.answer(w, http.StatusOK, out)
}

// change answers a request that changes what its selector chooses.
func (h *handler) change(what string, do func(context.Context, func(*Scan) bool) Result) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var sel Selector
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&sel); err != nil {
			h.refuse(w, http.StatusBadRequest, fmt.Errorf("reading the request: %w", err))
			return
		}
		matches, err := sel.matcher()
		if err == nil {
			err = sel.bounded()
		}
		if err != nil {
			h.refuse(w, http.StatusBadRequest, err)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), Longest)
		defer cancel()
		result := do(ctx, matches)
		for _, id := range sel.IDs {
			told := func(e string) bool { return strings.HasPrefix(e, id+":") }
			if !slices.Contains(result.Done, id) && !slices.ContainsFunc(result.Errors, told) {
				result.Errors = append(result.Errors, h.missing(id))
			}
		}
		h.log.Info("the scan queue was changed by hand", "change", what, "selector", sel, "scans", len(result.Done), "errors", result.Errors)
		h.answer(w, http.StatusOK, result)
	}
}

// missing says why nothing was done for an ID.
func (h *handler) missing(id string) string {
	for _, i := range h.scans.Queue().List() {
		if s := ofItem(i); s.ID == id {
			return fmt.Sprintf("%s: it has not failed, it is %s", id, s.State)
		}
	}
	return id + ": there is no such scan"
}

func (h *handler) retry(ctx context.Context, matches func(*Scan) bool) Result {
	return h.failed(ctx, matches, h.scans.Retry)
}

func (h *handler) purge(ctx context.Context, matches func(*Scan) bool) Result {
	var done []string
	h.scans.Queue().Purge(func(i queue.Item) bool {
		s := ofItem(i)
		if !matches(&s) {
			return false
		}
		done = append(done, s.ID)
		return true
	})
	r := h.failed(ctx, matches, h.scans.Forget)
	r.Done = append(done, r.Done...)
	return r
}

// failed does something for each chosen failure, until one cannot be reached any
// more: the rest would have to wait as long each.
func (h *handler) failed(ctx context.Context, matches func(*Scan) bool, do func(context.Context, service.Failed) error) Result {
	r := Result{Done: []string{}}
	for _, f := range h.scans.Failed() {
		s := ofFailed(f)
		if !matches(&s) {
			continue
		}
		if err := do(ctx, f); err != nil {
			r.Errors = append(r.Errors, fmt.Sprintf("%s: %v", s.ID, err))
			if ctx.Err() != nil {
				break
			}
			continue
		}
		r.Done = append(r.Done, s.ID)
	}
	return r
}

// refusal is the body of an error.
type refusal struct {
	Error string `json:"error"`
}

func (h *handler) refuse(w http.ResponseWriter, code int, err error) {
	h.answer(w, code, refusal{Error: err.Error()})
}

func (h *handler) answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		h.log.Warn("answering on the admin socket", "error", err)
	}
}
