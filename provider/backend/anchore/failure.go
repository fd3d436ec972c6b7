package anchore

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/imagegate/imagegate/provider/backend/internal/remote"
	"github.com/imagegate/imagegate/provider/report"
)

// isError reports whether an answer is an error of the API itself: its object
// has a message. The errors of the web frameworks before it have none.
func isError(r *remote.Reply) bool {
	var body struct {
		Message string `json:"message"`
	}
	return json.Unmarshal(r.Body, &body) == nil && body.Message != ""
}

// refused says why the service does not take an image. The codes are those of
// anchore_engine/common/errors.py; they tell whose fault it is.
func (c *Client) refused(d dialect, r *remote.Reply, secret string) *report.Failure {
	for _, code := range errorCodes(r.Body) {
		if f := registryFailure(code); f != nil {
			f.Err = fmt.Errorf("status %d: %s", r.Status, c.remote.Quote(r, secret))
			return f
		}
	}
	if r.Status == http.StatusNotFound && !isError(r) {
		return c.elsewhere(d.api)
	}
	if strings.Contains(r.Message(), "digest add unsupported") {
		return &report.Failure{
			Reason:  report.ReasonInternal,
			Message: fmt.Sprintf("the scanner is too old to take images by digest (%s.submit: %s)", configured, SubmitTag),
		}
	}
	return c.remote.Failed("submitting the image to the scanner", r, secret)
}

func registryFailure(code string) *report.Failure {
	switch code {
	case "REGISTRY_PERMISSION_DENIED":
		return &report.Failure{
			Reason: report.ReasonUnauthorized,
			Message: "the registry refuses the scanner to pull the image: the scanner pulls with registry credentials of its own, " +
				"not with those of the Pod, and has to be given them",
		}
	case "REGISTRY_IMAGE_NOT_FOUND":
		return &report.Failure{
			Reason:  report.ReasonNotFound,
			Message: "the scanner finds no such image in the registry, or may not see it with its own registry credentials",
		}
	case "REGISTRY_NOT_ACCESSIBLE":
		return &report.Failure{Reason: report.ReasonUnavailable, Message: "the scanner cannot reach the image's registry"}
	case "REGISTRY_NOT_SUPPORTED":
		return &report.Failure{Reason: report.ReasonUnsupported, Message: "the scanner does not support the image's registry"}
	case "OSARCH_MISMATCH":
		return &report.Failure{Reason: report.ReasonUnsupported, Message: "the scanner does not support the image's operating system or architecture"}
	}
	return nil
}

func errorCodes(b []byte) []string {
	var body struct {
		Detail json.RawMessage `json:"detail"`
	}
	var detail struct {
		Codes []string `json:"error_codes"`
	}
	if json.Unmarshal(b, &body) != nil || json.Unmarshal(body.Detail, &detail) != nil {
		return nil
	}
	return detail.Codes
}

// unjudged says why an analysed image has no verdict.
func unjudged(tag, said string) *report.Failure {
	why := "it has no active policy, or does not know the tag for this digest"
	if strings.Contains(strings.ToLower(said), "no active policy") {
		why = "the scanner's account has no active policy"
	}
	return &report.Failure{
		Reason:  report.ReasonInternal,
		Message: remote.With(fmt.Sprintf("the scanner has analysed the image and has no verdict on it as %s: %s", tag, why), said),
		Err:     errNotEvaluated,
	}
}
