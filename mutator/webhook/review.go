package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
)

const (
	reviewVersion = "admission.k8s.io/v1"
	reviewKind    = "AdmissionReview"
)

// requestError is an error that is the sender's, with the HTTP status for it.
type requestError struct {
	status int
	err    error
}

func (e *requestError) Error() string { return e.err.Error() }
func (e *requestError) Unwrap() error { return e.err }

func refuse(status int, format string, args ...any) error {
	return &requestError{status, fmt.Errorf(format, args...)}
}

// statusOf returns the HTTP status for err.
func statusOf(err error) int {
	if e, ok := errors.AsType[*requestError](err); ok {
		return e.status
	}
	return http.StatusInternalServerError
}

// readReview reads the request of an AdmissionReview of at most limit bytes.
func readReview(w http.ResponseWriter, r *http.Request, limit int64) (*admissionv1.AdmissionRequest, error) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" {
		return nil, refuse(http.StatusUnsupportedMediaType, "content type %q is not application/json", r.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, refuse(http.StatusRequestEntityTooLarge, "request body is over the limit of %d bytes", tooLarge.Limit)
		}
		return nil, refuse(http.StatusBadRequest, "reading the request body: %w", err)
	}
	return decodeReview(body)
}

func decodeReview(body []byte) (*admissionv1.AdmissionRequest, error) {
	// The type comes first: another version's fields could fail to decode with
	// an error that does not say why.
	var kind metav1.TypeMeta
	if err := kjson.UnmarshalCaseSensitivePreserveInts(body, &kind); err != nil {
		return nil, refuse(http.StatusBadRequest, "request body is not an AdmissionReview: %w", err)
	}
	if kind.APIVersion != reviewVersion || kind.Kind != reviewKind {
		return nil, refuse(http.StatusBadRequest, "request body is %q %q, want %q %q: set the webhook's admissionReviewVersions to [v1]",
			kind.APIVersion, kind.Kind, reviewVersion, reviewKind)
	}
	var review admissionv1.AdmissionReview
	if err := kjson.UnmarshalCaseSensitivePreserveInts(body, &review); err != nil {
		return nil, refuse(http.StatusBadRequest, "request body is not an AdmissionReview: %w", err)
	}
	if review.Request == nil {
		return nil, refuse(http.StatusBadRequest, "the AdmissionReview has no request")
	}
	if review.Request.UID == "" {
		return nil, refuse(http.StatusBadRequest, "the AdmissionReview's request has no uid")
	}
	return review.Request, nil
}

// writeReview answers req.
func writeReview(w http.ResponseWriter, req *admissionv1.AdmissionRequest, resp *admissionv1.AdmissionResponse) error {
	resp.UID = req.UID
	b, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: reviewVersion, Kind: reviewKind},
		Response: resp,
	})
	if err != nil {
		http.Error(w, "encoding the answer failed", http.StatusInternalServerError)
		return fmt.Errorf("encoding the AdmissionReview: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("writing the AdmissionReview: %w", err)
	}
	return nil
}

const (
	// defaultTimeout is the API server's when a webhook sets none; maxTimeout
	// the longest it allows.
	defaultTimeout = 10 * time.Second
	maxTimeout     = 30 * time.Second
	// minMargin is at least kept of the timeout for the way back.
	minMargin = 250 * time.Millisecond
)

// timeLeft is how long the answer to r may take: the timeout that the API
// server puts on the URL, less a tenth. It rounds that timeout up to whole
// seconds, so the margin is what pays for the rounding too; its own deadline
// ends r's context in any case.
func timeLeft(r *http.Request) time.Duration {
	timeout, err := time.ParseDuration(r.URL.Query().Get("timeout"))
	if err != nil || timeout <= 0 {
		timeout = defaultTimeout
	}
	timeout = min(timeout, maxTimeout)
	margin := max(timeout/10, minMargin)
	return max(timeout-margin, timeout/2)
}
