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
)

// Admitter decides admission requests.
type Admitter interface {
	Admit(ctx context.Context, req *admissionv1.AdmissionRequest) *admit.Decision
}

// handler serves POST /mutate.
type handler struct {
	admitter  Admitter
	bodyBytes int64
	// slots bounds the requests under way, and with it the memory that their
	// bodies take.
	slots   *semaphore.Weighted
	metrics *metrics
	log     *slog.Logger
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(r.Context(), timeLeft(r))
	defer cancel()
	if err := h.slots.Acquire(ctx, 1); err != nil {
		h.fail(w, r, refuse(http.StatusServiceUnavailable, "too many admission requests at once"))
		return
	}
	defer h.slots.Release(1)
	h.metrics.inFlight.Inc()
	defer h.metrics.inFlight.Dec()

	req, err := readReview(w, r, h.bodyBytes)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	decision := h.decide(ctx, req)
	if err := writeReview(w, req, decision.Response); err != nil {
		h.log.WarnContext(ctx, "the answer was not delivered", "uid", req.UID, "error", err)
	}
	took := time.Since(began)
	h.metrics.observe(decision, took)
	h.record(ctx, req, decision, took)
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
