package anchore

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// dialect is what differs between the versions of the API.
type dialect struct {
	api     API
	product string
	// submission is the query and the body of POST /images.
	submission func(s *subject, how Submit, now time.Time) (url.Values, any)
	// state reads the answer to POST /images and GET /images/{digest}.
	state func(body []byte) (state, error)
	// verdict reads the answer to GET /images/{digest}/check.
	verdict func(body []byte, digest string) (*verdict, error)
}

// state is how far the service is with an image.
type state struct {
	Digest string
	Status string
}

// The analysis_status of an image.
const (
	notAnalyzed    = "not_analyzed"
	analyzing      = "analyzing"
	analyzed       = "analyzed"
	analysisFailed = "analysis_failed"
)

// verdict is the policy's, as a report needs it.
type verdict struct {
	judgement report.Judgement
	at        time.Time
	inner     json.RawMessage
}

// errNotEvaluated means that the service has the image and no verdict on it.
var errNotEvaluated = errors.New("the scanner has no policy evaluation of the image")

// judge reads status, and reads it against the action that it is drawn from:
// an answer that contradicts itself must not admit anything.
func judge(status, action string) (report.Judgement, error) {
	switch {
	case strings.EqualFold(status, "fail"):
		return report.JudgementFail, nil
	case !strings.EqualFold(status, "pass"):
		return "", fmt.Errorf("its status is %q, neither pass nor fail", status)
	}
	switch strings.ToLower(action) {
	case "", "go", "warn":
		return report.JudgementPass, nil
	}
	return "", fmt.Errorf("its status is %q although its final action is %q", status, action)
}

// evaluatedAt reads a time as Python's isoformat writes it.
func evaluatedAt(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05"} {
		if at, err := time.Parse(layout, s); err == nil {
			return at.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("its time is %q", s)
}

// isObject reports whether raw is a JSON object.
func isObject(raw json.RawMessage) bool {
	var m map[string]json.RawMessage
	return json.Unmarshal(raw, &m) == nil && m != nil
}
