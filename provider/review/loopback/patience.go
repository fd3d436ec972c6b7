package loopback

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/open-policy-agent/frameworks/constraint/pkg/externaldata"

	"github.com/imagegate/imagegate/provider/report"
)

const (
	// pollWait is what one question asks the provider to wait; the provider's
	// own cap may be lower.
	pollWait = 25 * time.Second
	// pollPause keeps the questions apart when the provider does not wait.
	pollPause = 500 * time.Millisecond
)

// Patient asks next again and again until no scan is pending any more or wait
// is over: a cluster tries again later, a review has only this one answer. It
// asks once when wait is not positive.
func Patient(next http.Handler, wait time.Duration) http.Handler {
	if wait <= 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxExchange))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), wait)
		defer cancel()
		for {
			answer := ask(ctx, next, r, body)
			if !pending(answer.body.Bytes()) || !pause(ctx) {
				answer.copyTo(w)
				return
			}
		}
	})
}

// ask puts the question once. It is not cancelled when the time is over, only
// asked not to wait: the last answer is the one that counts.
func ask(ctx context.Context, next http.Handler, r *http.Request, body []byte) *buffer {
	left := pollWait
	if deadline, ok := ctx.Deadline(); ok {
		left = max(0, min(left, time.Until(deadline)))
	}
	again := r.Clone(r.Context())
	again.Body = io.NopCloser(bytes.NewReader(body))
	query := again.URL.Query()
	query.Set("wait", left.Round(time.Millisecond).String())
	again.URL.RawQuery = query.Encode()
	answer := newBuffer()
	next.ServeHTTP(answer, again)
	return answer
}

func pending(response []byte) bool {
	var resp externaldata.ProviderResponse
	if json.Unmarshal(response, &resp) != nil {
		return false
	}
	for _, item := range resp.Response.Items {
		if value, ok := item.Value.(map[string]any); ok && value["Status"] == string(report.NotAvailable) {
			return true
		}
	}
	return false
}

// pause reports whether there is time for another question.
func pause(ctx context.Context) bool {
	t := time.NewTimer(pollPause)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
