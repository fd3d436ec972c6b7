package admit

import (
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/mutator/pin"
)

// Outcome sums a decision up. The set is closed: it labels metrics.
type Outcome string

// The outcomes.
const (
	// Ignored: nothing of the mutator's business.
	Ignored Outcome = "ignored"
	// Unchanged: every image was pinned before.
	Unchanged Outcome = "unchanged"
	// Pinned: all images that needed it were pinned.
	Pinned Outcome = "pinned"
	// Kept: some image could not be pinned and the namespace lets it be.
	Kept Outcome = "kept"
	// Denied: some image could not be pinned.
	Denied Outcome = "denied"
	// Failed: the request could not be understood.
	Failed Outcome = "failed"
)

// Outcomes returns all outcomes.
func Outcomes() []Outcome { return []Outcome{Ignored, Unchanged, Pinned, Kept, Denied, Failed} }

// WaitResult says how the wait for scans went. The set is closed.
type WaitResult string

// The results of waiting.
const (
	// WaitOff: not configured, a dry run, nothing to scan, or no time left.
	WaitOff WaitResult = "off"
	// WaitFinal: every report is final.
	WaitFinal WaitResult = "final"
	// WaitPending: the time ended before some scan did, or a scan failed.
	WaitPending WaitResult = "pending"
	// WaitCapped: too many wait already; the scans were started.
	WaitCapped WaitResult = "capped"
	// WaitError: the provider could not be asked.
	WaitError WaitResult = "error"
)

// WaitResults returns all results of waiting.
func WaitResults() []WaitResult {
	return []WaitResult{WaitOff, WaitFinal, WaitPending, WaitCapped, WaitError}
}

// Change is one image that was pinned.
type Change struct {
	Image  pin.Image
	Pinned string
}

// Decision is the answer to one request and what the log says about it.
type Decision struct {
	Response *admissionv1.AdmissionResponse
	Outcome  Outcome
	// Images counts all images of the object.
	Images  int
	Changes []Change
	// Unresolved has a sentence for each image that could not be pinned.
	Unresolved []string
	Wait       WaitResult
	Waited     time.Duration
	// WaitErr is why the provider could not be asked about scans.
	WaitErr error
}

func ignored() *Decision {
	return &Decision{Outcome: Ignored, Wait: WaitOff, Response: &admissionv1.AdmissionResponse{Allowed: true}}
}

// maxNamed bounds how many images a message names.
const maxNamed = 10

func (d *Decision) deny(outcome Outcome, code int32, reason metav1.StatusReason, message string) {
	d.Outcome = outcome
	d.Response = &admissionv1.AdmissionResponse{
		Allowed: false,
		Result:  &metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message},
	}
}

// sentences joins what could not be pinned into one message.
func sentences(list []string) string {
	if n := len(list) - maxNamed; n > 0 {
		list = append(list[:maxNamed:maxNamed], fmt.Sprintf("and %d more images", n))
	}
	return strings.Join(list, "; ")
}

// oneLine makes text from elsewhere fit for a warning header and a message.
func oneLine(s string) string {
	const most = 512
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, strings.TrimSpace(s))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// InternalError denies for a reason that is not the request's.
func InternalError(message string) *Decision {
	d := ignored()
	d.deny(Failed, http.StatusInternalServerError, metav1.StatusReasonInternalError, message)
	return d
}
