// Package server is the provider's HTTP side: Gatekeeper's external data
// protocol over TLS, and the endpoints that operate the process.
//
// The protocol ignores HTTP status codes and understands one kind of failure,
// a systemError in a well-formed ProviderResponse. So every request to its
// endpoints is answered 200 with such a response, whatever was wrong with it.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/open-policy-agent/frameworks/constraint/pkg/externaldata"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
	"github.com/imagegate/imagegate/provider/turns"
	"github.com/imagegate/imagegate/provider/wire"
)

// Service answers about images; *scan.Service is one.
type Service interface {
	// Reports answers all queries in order before ctx ends.
	Reports(ctx context.Context, queries []service.Query) []report.ScanReport
	// Digest returns the reference pinned to the digest it means now.
	Digest(ctx context.Context, q service.Query) (string, error)
}

// Options configures a handler.
type Options struct {
	Service Service
	// Budget is the time in which a request is answered that asks for no more.
	Budget time.Duration
	// MaxWait caps what a request may ask for with the wait parameter.
	MaxWait time.Duration
	// Concurrency bounds the requests under way, of which one namespace has three
	// quarters at most; one more is refused at once, because Gatekeeper would
	// rather hear no than wait out its webhook.
	Concurrency int
	Limits      wire.Limits
	// InFlightBytes bounds what all answers under way may take together, each
	// counted as the most that it can be from its keys on until it is sent; zero:
	// no bound. One namespace has three quarters of them at most beside others.
	InFlightBytes int64
	// AnswerBytes and FindingsBytes are the Service's bounds of one answer and of
	// one report in it. They say what an answer can be.
	AnswerBytes, FindingsBytes int64
	// RequireClientCert refuses the protocol to clients without a certificate
	// that the TLS side has verified. Probes and metrics need none: the kubelet
	// has no certificate to show.
	RequireClientCert bool
	// Probes answers everything else: NewProbes's, the same at each address of the process.
	// nil: there is nothing else.
	Probes http.Handler
	Logger *slog.Logger
	// Verbose logs each request and answer whole.
	Verbose bool
	Metrics *prometheus.Registry
}

type handler struct {
	o       Options
	metrics *metrics
	// reading bounds the requests that are read at once, slots those that are
	// answered, shared by namespace: whose one is can be told once it is read.
	reading chan struct{}
	slots   *turns.Turns
	// bytes are those of InFlightBytes, shared by namespace; nil without a bound.
	bytes *turns.Amounts
}

// NewHandler returns the routes: POST /scan-reports, POST /digests, and those of
// Options.Probes.
func NewHandler(o Options) (http.Handler, error) {
	m, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, fmt.Errorf("registering the server metrics: %w", err)
	}
	h := &handler{o: o, metrics: m, reading: make(chan struct{}, o.Concurrency), slots: turns.New(turns.Limits{Turns: o.Concurrency})}
	if o.InFlightBytes > 0 {
		h.bytes = turns.NewAmounts(o.InFlightBytes)
	}
	r := chi.NewRouter()
	r.Post(wire.PathScanReports, h.protocol("scan-reports", h.scanReports))
	r.Post(wire.PathDigests, h.protocol("digests", h.digests))
	if o.Probes != nil {
		r.Mount("/", o.Probes)
	}
	return r, nil
}

// keyed is one key of a request: what it asks, or why it cannot be understood.
type keyed struct {
	raw string
	key wire.Key
	err error
	// patient says that the request asked for a longer wait.
	patient bool
}

// protocol wraps an endpoint in everything the protocol asks of each.
func (h *handler) protocol(endpoint string, answer func(context.Context, []keyed) []externaldata.Item) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		if h.o.RequireClientCert && (r.TLS == nil || len(r.TLS.VerifiedChains) == 0) {
			h.metrics.refused.Inc()
			h.write(w, r, wire.SystemError("a client certificate that the provider's client CA signed is required"))
			return
		}
		a := h.respond(w, r, endpoint, began, answer)
		defer a.release()
		h.send(w, r, a.body)
	}
}

// holding is what gives back what an answer holds: its slot until it is encoded,
// its bytes until it is sent.
type holding struct{ slot, bytes func() }

// encoded is an answer ready to be sent, and what gives its bytes back after.
type encoded struct {
	body    []byte
	release func()
}

func (h *handler) write(w http.ResponseWriter, r *http.Request, resp *externaldata.ProviderResponse) {
	body, err := wire.Encode(resp)
	if err != nil {
		h.o.Logger.WarnContext(r.Context(), "encoding an answer", "path", r.URL.Path, "error", err)
	}
	h.send(w, r, body)
}

func (h *handler) send(w http.ResponseWriter, r *http.Request, body []byte) {
	wire.Drain(w, r, h.o.Limits.BodyBytes)
	w.Header().Set("Content-Type", "application/json")
	if _, err := w.Write(body); err != nil {
		h.o.Logger.WarnContext(r.Context(), "writing an answer", "path", r.URL.Path, "error", err)
	}
}

// respond makes the answer in one of the slots, encoding included, which takes
// longer than all else when the reports are large.
func (h *handler) respond(w http.ResponseWriter, r *http.Request, endpoint string, began time.Time, answer func(context.Context, []keyed) []externaldata.Item) (e encoded) {
	resp, held := h.answer(w, r, answer)
	defer held.slot()
	e.release = held.bytes
	var err error
	if e.body, err = wire.Encode(resp); err != nil {
		h.o.Logger.ErrorContext(r.Context(), "encoding an answer", "path", r.URL.Path, "error", err)
		resp = wire.SystemError("internal error of the provider; its log has the details")
		e.body, _ = wire.Encode(resp) // a string always encodes
	}
	h.metrics.observe(endpoint, resp, time.Since(began))
	if h.o.Verbose {
		h.o.Logger.InfoContext(r.Context(), "answer", "endpoint", endpoint, "response", resp.Response)
	}
	return e
}

// answer returns the response and what it holds.
func (h *handler) answer(w http.ResponseWriter, r *http.Request, answer func(context.Context, []keyed) []externaldata.Item) (resp *externaldata.ProviderResponse, held holding) {
	held = holding{slot: func() {}, bytes: func() {}}
	defer func() {
		if p := recover(); p != nil {
			h.o.Logger.ErrorContext(r.Context(), "panic while answering", "panic", p, "stack", string(debug.Stack()))
			resp = wire.SystemError("internal error of the provider; its log has the details")
		}
	}()
	budget, err := h.budget(r)
	if err != nil {
		return wire.SystemError(err.Error()), held
	}
	ctx, cancel := context.WithTimeout(r.Context(), budget)
	defer cancel()
	raw, err := h.read(w, r)
	if err != nil {
		return wire.SystemError(err.Error()), held
	}
	keys := h.parse(raw, r.URL.Query().Has(wire.ParamWait))
	whose := namespace(keys)
	done, ok := h.slots.TryTake(turns.Share{Namespace: whose})
	if !ok {
		return wire.SystemError(errBusy.Error()), held
	}
	held.slot = done
	if h.o.Verbose {
		h.o.Logger.InfoContext(ctx, "request", "path", r.URL.Path, "keys", raw)
	}
	if h.bytes != nil {
		n := min(h.most(keys), h.o.InFlightBytes)
		// Who waited for many bytes would hold up those that want few.
		if held.bytes, ok = h.bytes.TryTake(whose, n); !ok {
			held.bytes = func() {}
			return wire.SystemError("the provider is sending too many large answers already; try again shortly"), held
		}
	}
	return wire.NewResponse(answer(ctx, keys)), held
}

var errBusy = errors.New("the provider is answering too many requests already; try again shortly")

func (h *handler) read(w http.ResponseWriter, r *http.Request) ([]string, error) {
	select {
	case h.reading <- struct{}{}:
		defer func() { <-h.reading }()
	default:
		return nil, errBusy
	}
	return wire.ReadRequest(http.MaxBytesReader(w, r.Body, h.o.Limits.BodyBytes), h.o.Limits)
}

// namespace is whose request the keys are: Gatekeeper asks for one object at a
// time. Keys of several, or of none, are nobody's in particular. A key that cannot
// be understood does not count: one bad name among a Pod's images would put the
// others on nobody's account.
func namespace(keys []keyed) string {
	var whose string
	first := true
	for _, k := range keys {
		if k.err != nil {
			continue
		}
		if !first && k.key.Namespace != whose {
			return ""
		}
		whose, first = k.key.Namespace, false
	}
	return whose
}

// most is how large the answer to keys can be.
func (h *handler) most(keys []keyed) int64 {
	var n int64
	for _, k := range keys {
		if v := k.key.View; v == report.ViewFindings || v == report.ViewFull {
			n += h.o.FindingsBytes
		} else {
			n += report.MaxSummaryBytes
		}
	}
	return min(n, h.o.AnswerBytes)
}

// budget is the time this request may take. A caller that has longer than
// Gatekeeper, the mutator, says so with ?wait=10s.
func (h *handler) budget(r *http.Request) (time.Duration, error) {
	s := r.URL.Query().Get(wire.ParamWait)
	if s == "" {
		return h.o.Budget, nil
	}
	wait, err := time.ParseDuration(s)
	if err != nil || wait < 0 {
		return 0, fmt.Errorf("parameter %s=%q is not a duration such as 10s", wire.ParamWait, s)
	}
	return min(max(wait, h.o.Budget), h.o.MaxWait), nil
}

func (h *handler) parse(raw []string, patient bool) []keyed {
	keys := make([]keyed, len(raw))
	for i, s := range raw {
		keys[i].raw, keys[i].patient = s, patient
		if keys[i].err = h.o.Limits.CheckKey(s); keys[i].err == nil {
			keys[i].key, keys[i].err = wire.ParseKey(s)
		}
	}
	return keys
}

// asker is on what occasion k is asked for: Gatekeeper has no time to wait, and the
// mutator sends what it knows of the Pod as imagegate's templates do.
func (k keyed) asker() service.Asker {
	switch {
	case k.key.Asker == wire.AskerAudit:
		return service.AskerAudit
	case k.patient, k.key.User != "":
		return service.AskerMutation
	case k.key.Namespace != "":
		return service.AskerAdmission
	}
	return service.AskerUnknown
}

func query(k keyed) service.Query {
	return service.Query{
		Asker:     k.asker(),
		Patient:   k.patient,
		Reference: k.key.Reference,
		Platform:  k.key.Platform,
		View:      k.key.View,
		Original:  k.key.Original,
		Owner:     k.key.Owner,
		User:      k.key.User,
		Pod:       k.key.Pod,
		Access: registry.Access{
			Namespace:      k.key.Namespace,
			ServiceAccount: k.key.ServiceAccount,
			PullSecrets:    k.key.PullSecrets,
		},
	}
}

func (h *handler) scanReports(ctx context.Context, keys []keyed) []externaldata.Item {
	items := make([]externaldata.Item, len(keys))
	var queries []service.Query
	var at []int
	for i, k := range keys {
		if k.err != nil {
			items[i] = wire.ErrorItem(k.raw, k.err)
			continue
		}
		queries, at = append(queries, query(k)), append(at, i)
	}
	for j, r := range h.o.Service.Reports(ctx, queries) {
		items[at[j]] = wire.ReportItem(keys[at[j]].raw, r)
	}
	return items
}

func (h *handler) digests(ctx context.Context, keys []keyed) []externaldata.Item {
	items := make([]externaldata.Item, len(keys))
	var wg sync.WaitGroup
	for i, k := range keys {
		if k.err != nil {
			items[i] = wire.ErrorItem(k.raw, k.err)
			continue
		}
		wg.Go(func() {
			q := query(k)
			q.Asker = service.AskerMutation // nobody else needs a digest
			pinned, err := h.o.Service.Digest(ctx, q)
			if err != nil {
				items[i] = wire.ErrorItem(k.raw, err)
				return
			}
			items[i] = externaldata.Item{Key: k.raw, Value: pinned}
		})
	}
	wg.Wait()
	return items
}
