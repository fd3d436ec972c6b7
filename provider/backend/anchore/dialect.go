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
	// subject is the digest that it is about.
	subject string
	at      time.Time
	inner   json.RawMessage
	// found says that the policy came across a vulnerability, blind that it had no
	// vulnerability data of the image's distribution.
	found, blind bool
}

// errNotEvaluated means that the service has the image and no verdict on it.
var errNotEvaluated = errors.New("the scanner has no policy evaluation of the image")

// judge reads status, and reads it against the actions that it is drawn from: an
// answer that contradicts itself, or passes for no reason that it tells, must not
// admit anything.
func judge(status string, actions ...string) (report.Judgement, error) {
	switch {
	case strings.EqualFold(status, "fail"):
		return report.JudgementFail, nil
	case !strings.EqualFold(status, "pass"):
		return "", fmt.Errorf("its status is %q, neither pass nor fail", report.Clean(status, maxName))
	}
	if len(actions) == 0 {
		return "", errors.New("it passes the image without saying what was judged")
	}
	for _, action := range actions {
		if !strings.EqualFold(action, "go") && !strings.EqualFold(action, "warn") {
			return "", fmt.Errorf("its status is %q although its final action is %q", status, report.Clean(action, maxName))
		}
	}
	return report.JudgementPass, nil
}

// problem is what kept a policy from being evaluated, or went wrong meanwhile.
type problem struct {
	Severity string `json:"severity"`
	Details  string `json:"details"`
}

// maxDetails bounds what is quoted of a problem.
const maxDetails = 200

// evaluated returns an error when a policy was not: a problem of this severity
// means that.
func evaluated(problems []problem) error {
	for _, p := range problems {
		if strings.EqualFold(p.Severity, "error") {
			return fmt.Errorf("it passes although the policy could not be evaluated: %s", report.Clean(p.Details, maxDetails))
		}
	}
	return nil
}

// noteGate takes down what a finding of the policy says of vulnerabilities,
// whatever action it leads to
// (anchore_engine/services/policy_engine/engine/policy/gates/vulnerabilities.py).
func (v *verdict) noteGate(gate, trigger string) {
	if !strings.EqualFold(gate, "vulnerabilities") {
		return
	}
	v.found = v.found || strings.EqualFold(trigger, "package")
	v.blind = v.blind || strings.EqualFold(trigger, "vulnerability_data_unavailable")
}

// evaluatedAt reads a time as Python's isoformat writes it.
func evaluatedAt(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, errors.New("it does not say when it was made")
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05"} {
		if at, err := time.Parse(layout, s); err == nil {
			return at.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("its time is %q", report.Clean(s, maxName))
}

// isObject reports whether raw is a JSON object.
func isObject(raw json.RawMessage) bool {
	var m map[string]json.RawMessage
	return json.Unmarshal(raw, &m) == nil && m != nil
}
