package remote

import (
	"fmt"
	"net/http"

	"github.com/imagegate/imagegate/provider/report"
)

// Failed says what an answer with an unexpected status means. doing is what
// was asked of the scanner, in words that can begin a sentence; secrets are
// taken out of what the scanner says.
func (c *Client) Failed(doing string, r *Reply, secrets ...string) *report.Failure {
	said := c.Quote(r, secrets...)
	f := &report.Failure{Reason: report.ReasonInternal}
	switch {
	case r.Status == http.StatusTooManyRequests, r.Status == http.StatusServiceUnavailable:
		f.Reason, f.RetryAfter = report.ReasonUnavailable, r.RetryAfter()
		f.Message = With("the scanner is busy", said)
	case r.Status == http.StatusUnauthorized, r.Status == http.StatusForbidden:
		// Not report.ReasonUnauthorized: that is about the image, and would
		// send the Pod's author to look at pull secrets. The image is tried
		// again as soon as the credentials are right.
		f.Reason = report.ReasonUnavailable
		f.Message = With(fmt.Sprintf("%s failed: the scanner refuses the provider's own credentials (%s), status %d; "+
			"this has to be mended by whoever runs imagegate, not in the Pod", doing, c.o.Name, r.Status), said)
	case r.Status == http.StatusProxyAuthRequired:
		f.Message = fmt.Sprintf("%s failed: the HTTP proxy on the way to the scanner wants credentials (%s.proxy)", doing, c.o.Name)
	case r.Status >= 300 && r.Status < 400:
		f.Message = fmt.Sprintf("%s failed: %s answers with a redirect, which is not followed (%s.url)", doing, c.o.URL, c.o.Name)
	case r.Status == http.StatusInternalServerError, r.Status == http.StatusBadGateway,
		r.Status == http.StatusGatewayTimeout, r.Status == http.StatusRequestTimeout:
		f.Reason = report.ReasonUnavailable
		f.Message = With(fmt.Sprintf("%s failed: the scanner answered with status %d", doing, r.Status), said)
	default:
		f.Message = With(fmt.Sprintf("%s failed: the scanner answered with status %d", doing, r.Status), said)
	}
	return f
}

// With appends what somebody said to a sentence.
func With(sentence, said string) string {
	if said == "" {
		return sentence
	}
	return sentence + ": " + said
}
