package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/imagegate/imagegate/mutator/admit"
	"github.com/imagegate/imagegate/provider/turns"
	"github.com/imagegate/imagegate/provider/wire"
)

// Admitter decides admission requests.
type Admitter interface {
	Admit(ctx context.Context, req *admissionv1.AdmissionRequest) *admit.Decision
}

// handler serves POST /mutate.
type handler struct {
	admitter  Admitter
	bodyBytes int64
	// reading bounds the bodies that are read at once, slots the requests under
	// way, shared by namespace, and with both the memory that they take.
	reading *semaphore.Weighted
	slots   *turns.Turns
	metrics *metrics
	log     *slog.Logger
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(r.Context(), timeLeft(r))
	defer cancel()
	req, err := h.read(ctx, w, r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	done, err := h.turn(ctx, req)
	if err != nil {
		h.fail(w, r, errBusy)
		return
	}
	defer done()
	h.metrics.inFlight.Inc()
	defer h.metrics.inFlight.Dec()
	decision := h.decide(ctx, req)
	if err := writeReview(w, req, decision.Response); err != nil {
		h.log.WarnContext(ctx, "the answer was not delivered", "uid", req.UID, "error", err)
	}
	took := time.Since(began)
	h.metrics.observe(decision, took)
	h.record(ctx, req, decision, took)
}

// errBusy refuses a request. The API server tells it to whoever made the object,
// and a controller tries again.
var errBusy = refuse(http.StatusServiceUnavailable, "too many admission requests at once; try again shortly")

// read reads the request as soon as few enough others are being read: whose it
// is can only be known from its body.
func (h *handler) read(ctx context.Context, w http.ResponseWriter, r *http.Request) (*admissionv1.AdmissionRequest, error) {
	if err := h.reading.Acquire(ctx, 1); err != nil {
		return nil, errBusy
	}
	defer h.reading.Release(1)
	return readReview(w, r, h.bodyBytes)
}

const (
	// waitingPerSlot bounds the requests that wait, for each that may be under
	// way, and maxWaitingBytes one of them: a larger one is refused instead. A
	// Pod is a few KiB.
	waitingPerSlot  = 8
	maxWaitingBytes = 128 << 10
)

// turn waits for the turn of the request's namespace.
func (h *handler) turn(ctx context.Context, req *admissionv1.AdmissionRequest) (done func(), err error) {
	share := turns.Share{Namespace: req.Namespace}
	if len(req.Object.Raw)+len(req.OldObject.Raw) <= maxWaitingBytes {
		return h.slots.Take(ctx, share)
	}
	done, ok := h.slots.TryTake(share)
	if !ok {
		return nil, turns.ErrCrowded
	}
	return done, nil
}

// decide turns a panic, which would be a mistake in this program, into an
// answer that says so: the connection would otherwise just break and the
// webhook's failurePolicy decide without a reason.
func (h *handler) decide(ctx context.Context, req *admissionv1.AdmissionRequest) (d *admit.Decision) {
	defer func() {
		if p := recover(); p != nil {
			h.log.ErrorContext(ctx, "panic while admitting", "uid", req.UID, "panic", fmt.Sprint(p))
			d = admit.InternalError("the image mutator failed on this object; its log has the details")
		}
	}()
	return h.admitter.Admit(ctx, req)
}

func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	h.metrics.refused.Inc()
	h.log.WarnContext(r.Context(), "refused a request", "remote", r.RemoteAddr, "error", err)
	wire.Drain(w, r, h.bodyBytes)
	http.Error(w, err.Error(), statusOf(err))
}

// pinnedImage is how the log shows a pinned image.
type pinnedImage struct {
	Place  string `json:"place"`
	Image  string `json:"image"`
	Pinned string `json:"pinned"`
}

// record writes the one line of an admission.
func (h *handler) record(ctx context.Context, req *admissionv1.AdmissionRequest, d *admit.Decision, took time.Duration) {
	level := slog.LevelInfo
	switch {
	case d.Outcome == admit.Ignored:
		level = slog.LevelDebug
	case d.Outcome == admit.Failed || d.WaitErr != nil:
		level = slog.LevelWarn
	}
	if !h.log.Enabled(ctx, level) {
		return
	}
	changes := make([]pinnedImage, len(d.Changes))
	for i, c := range d.Changes {
		changes[i] = pinnedImage{c.Image.String(), c.Image.Reference, c.Pinned}
	}
	attrs := []slog.Attr{
		slog.String("uid", string(req.UID)),
		slog.String("namespace", req.Namespace),
		slog.String("resource", resource(req)),
		slog.String("name", req.Name),
		slog.String("operation", string(req.Operation)),
		slog.Bool("dryRun", req.DryRun != nil && *req.DryRun),
		slog.String("outcome", string(d.Outcome)),
		slog.Int("images", d.Images),
		slog.Int("pinned", len(d.Changes)),
		slog.String("wait", string(d.Wait)),
		slog.Duration("waited", d.Waited),
		slog.Duration("duration", took),
	}
	if len(changes) > 0 {
		attrs = append(attrs, slog.Any("changes", changes))
	}
	if len(d.Unresolved) > 0 {
		attrs = append(attrs, slog.Any("unresolved", d.Unresolved))
	}
	if d.Outcome == admit.Failed {
		attrs = append(attrs, slog.String("error", d.Response.Result.Message))
	}
	if d.WaitErr != nil {
		attrs = append(attrs, slog.String("waitError", d.WaitErr.Error()))
	}
	h.log.LogAttrs(ctx, level, "admission", attrs...)
}

func resource(req *admissionv1.AdmissionRequest) string {
	s := req.Resource.Resource
	if req.SubResource != "" {
		s += "/" + req.SubResource
	}
	return s
}
