package harbor

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/backend/internal/remote"
	"github.com/imagegate/imagegate/provider/report"
)

// errorBody is the API's error object. code is the bundled worker's addition.
type errorBody struct {
	Error struct {
		Message string `json:"message"`
		Code    string `json:"code"`
	} `json:"error"`
}

const (
	maxRetryAfter = 10 * time.Minute
	maxMessage    = 400
)

// failed says what an answer other than the expected one means. doing is what
// was asked of the scanner; the image's secret and the provider's own token are
// taken out of anything it says.
func (c *Client) failed(doing string, r *reply, secret string) *report.Failure {
	var body errorBody
	_ = json.Unmarshal(r.body, &body)
	said := redact(body.Error.Message, append(c.options.Token.Held(), secret)...)
	f := &report.Failure{Reason: report.ReasonInternal}
	switch r.status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		f.Reason, f.RetryAfter = report.ReasonUnavailable, remote.Delay(r.header, "Retry-After", maxRetryAfter)
		f.Message = with("the scanner is busy", said)
		if reason, ok := reasonOf(body.Error.Code); ok && reason == report.ReasonDatabase {
			f.Reason, f.Message = reason, with("the scanner has no usable vulnerability database", said)
		}
		return f
	case http.StatusBadGateway, http.StatusGatewayTimeout, http.StatusRequestTimeout:
		f.Reason = report.ReasonUnavailable
		f.Message = fmt.Sprintf("%s failed: the scanner's proxy answered with status %d", doing, r.status)
		return f
	case http.StatusUnauthorized, http.StatusForbidden:
		// Not ReasonUnauthorized: that is about the image, which is tried again
		// as soon as the token is right.
		f.Reason = report.ReasonUnavailable
		f.Message = fmt.Sprintf("%s failed: the scanner refused the provider's token (scanner.harbor.tokenFile), status %d; "+
			"this has to be mended by whoever runs imagegate, not in the Pod", doing, r.status)
		return f
	}
	if reason, ok := reasonOf(body.Error.Code); ok {
		f.Reason, f.Message = reason, said
		if said == "" {
			f.Message = fmt.Sprintf("%s failed: %s", doing, strings.ReplaceAll(string(reason), "_", " "))
		}
		return f
	}
	f.Message = with(fmt.Sprintf("%s failed: the scanner answered with status %d", doing, r.status), said)
	return f
}

func with(sentence, said string) string {
	if said == "" {
		return sentence
	}
	return sentence + ": " + said
}

// reasonOf reads the bundled worker's error codes, which are the reasons and a
// few that say more exactly what went wrong.
func reasonOf(code string) (report.Reason, bool) {
	switch r := report.Reason(code); r {
	case report.ReasonUnauthorized, report.ReasonNotFound, report.ReasonUnsupported, report.ReasonTooLarge,
		report.ReasonTimeout, report.ReasonUnavailable, report.ReasonDatabase,
		report.ReasonIncomplete, report.ReasonInternal:
		return r, true
	default: // the provider's own are no worker's
	}
	switch code {
	case "invalid": // the image contradicts itself
		return report.ReasonUnsupported, true
	case "registry", "busy", "stopped":
		return report.ReasonUnavailable, true
	}
	return "", false
}

// redact bounds what a scanner said and takes secrets out of it: adapters have
// been seen to quote the request they could not serve.
func redact(s string, secrets ...string) string {
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		s = strings.ReplaceAll(s, secret, "[redacted]")
		if _, token, ok := strings.Cut(secret, " "); ok && token != "" {
			s = strings.ReplaceAll(s, token, "[redacted]")
		}
	}
	return report.Clean(strings.Join(strings.Fields(s), " "), maxMessage)
}
