package anchore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// v1 is the API of Anchore Engine and of Sysdig's legacy scanner.
func v1(a API) dialect {
	product := "Anchore Engine"
	if a == Sysdig {
		product = "Sysdig Secure"
	}
	return dialect{api: a, product: product, submission: submissionV1, state: stateV1, verdict: verdictV1}
}

type imageV1 struct {
	Digest string `json:"digest,omitempty"`
	Tag    string `json:"tag"`
	// CreatedAt has to go with a digest; only whole seconds are understood.
	CreatedAt string `json:"created_at,omitempty"`
}

func submissionV1(s *subject, how Submit, now time.Time) (url.Values, any) {
	// Subscribing would make the service watch the tag from now on.
	query := url.Values{"autosubscribe": {"false"}}
	if how == SubmitTag {
		return query, imageV1{Tag: s.tag}
	}
	return query, imageV1{Digest: s.pull, Tag: s.tag, CreatedAt: now.UTC().Format("2006-01-02T15:04:05Z")}
}

func stateV1(body []byte) (state, error) {
	var list []struct {
		Digest string `json:"imageDigest"`
		Status string `json:"analysis_status"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return state{}, err
	}
	if len(list) != 1 {
		return state{}, fmt.Errorf("it lists %d images, not one", len(list))
	}
	return state{Digest: list[0].Digest, Status: list[0].Status}, nil
}

type evaluationV1 struct {
	Status         string          `json:"status"`
	PolicyID       string          `json:"policyId"`
	LastEvaluation string          `json:"last_evaluation"`
	Detail         json.RawMessage `json:"detail"`
}

// verdictV1 reads [{"<digest>": {"<tag>": [{evaluation}]}}]. The tag is
// normalised by the service in ways that are not documented, so the sole one
// there is counts; it answers for the tag it was asked for.
func verdictV1(body []byte, digest string) (*verdict, error) {
	raw, err := soleV1(body, digest)
	if err != nil {
		return nil, err
	}
	var e evaluationV1
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, err
	}
	if strings.EqualFold(e.PolicyID, "N/A") {
		return nil, errNotEvaluated
	}
	if e.PolicyID == "" || !isObject(e.Detail) {
		return nil, errors.New("it has no policyId or no detail")
	}
	d := readDetailV1(e.Detail)
	v := &verdict{subject: digest}
	if v.judgement, err = judge(e.Status, d.actions()...); err != nil {
		return nil, err
	}
	if v.judgement == report.JudgementPass {
		if err := d.check(); err != nil {
			return nil, err
		}
	}
	d.note(v)
	if v.at, err = evaluatedAt(e.LastEvaluation); err != nil {
		return nil, err
	}
	var inner bytes.Buffer
	if err := json.Compact(&inner, raw); err != nil {
		return nil, err
	}
	v.inner = inner.Bytes()
	return v, nil
}

func soleV1(body []byte, digest string) (json.RawMessage, error) {
	var images []map[string]map[string][]json.RawMessage
	if err := json.Unmarshal(body, &images); err != nil {
		return nil, err
	}
	if len(images) != 1 || len(images[0]) != 1 {
		return nil, errors.New("it is not about one image")
	}
	tags, ok := images[0][digest]
	if !ok {
		return nil, errors.New("it is about another image")
	}
	if len(tags) != 1 {
		return nil, fmt.Errorf("it is about %d tags, not one", len(tags))
	}
	for _, evaluations := range tags {
		if len(evaluations) != 1 {
			return nil, fmt.Errorf("it holds %d evaluations, not one", len(evaluations))
		}
		return evaluations[0], nil
	}
	return nil, errors.New("it is empty")
}

// detailV1 is what is read of the detail, whose shape is the policy engine's own
// and has changed over time.
type detailV1 struct {
	Result struct {
		FinalAction string    `json:"final_action"`
		Problems    []problem `json:"evaluation_problems"`
		// Mapping and Allowed are false where no rule of the policy is for the
		// image, and none lets it in by name.
		Mapping json.RawMessage            `json:"matched_mapping_rule"`
		Allowed json.RawMessage            `json:"matched_whitelisted_images_rule"`
		Result  map[string]json.RawMessage `json:"result"`
	} `json:"result"`
}

// tableV1 is the findings of the policy: rows of what the header names.
type tableV1 struct {
	Result struct {
		FinalAction string              `json:"final_action"`
		Header      []string            `json:"header"`
		Rows        [][]json.RawMessage `json:"rows"`
	} `json:"result"`
}

// readDetailV1 returns what can be read.
func readDetailV1(raw json.RawMessage) *detailV1 {
	var d detailV1
	if json.Unmarshal(raw, &d) != nil {
		return &detailV1{}
	}
	return &d
}

// tables are the findings for each image ID; beside them are other things.
func (d *detailV1) tables() []tableV1 {
	var out []tableV1
	for _, raw := range d.Result.Result {
		var t tableV1
		if json.Unmarshal(raw, &t) == nil && t.Result.FinalAction != "" {
			out = append(out, t)
		}
	}
	return out
}

// actions are all final actions that there are.
func (d *detailV1) actions() []string {
	var out []string
	if a := d.Result.FinalAction; a != "" {
		out = append(out, a)
	}
	for _, t := range d.tables() {
		out = append(out, t.Result.FinalAction)
	}
	return out
}

// check returns why a pass is none.
func (d *detailV1) check() error {
	if isFalse(d.Result.Mapping) && (d.Result.Allowed == nil || isFalse(d.Result.Allowed)) {
		return errors.New("it passes although no rule of the policy is for the image")
	}
	return evaluated(d.Result.Problems)
}

func isFalse(raw json.RawMessage) bool { return string(bytes.TrimSpace(raw)) == "false" }

// note takes down what the rows say of vulnerabilities.
func (d *detailV1) note(v *verdict) {
	for _, t := range d.tables() {
		gate, trigger := slices.Index(t.Result.Header, "Gate"), slices.Index(t.Result.Header, "Trigger")
		if gate < 0 || trigger < 0 {
			continue
		}
		for _, row := range t.Result.Rows {
			v.noteGate(textAt(row, gate), textAt(row, trigger))
		}
	}
}

func textAt(row []json.RawMessage, i int) string {
	var s string
	if i < len(row) {
		_ = json.Unmarshal(row[i], &s)
	}
	return s
}
