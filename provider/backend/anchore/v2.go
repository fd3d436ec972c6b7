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

// v2 is the API of Anchore Enterprise.
func v2() dialect {
	return dialect{api: V2, product: "Anchore Enterprise", submission: submissionV2, state: stateV2, verdict: verdictV2}
}

type imageV2 struct {
	Type   string   `json:"image_type"`
	Source sourceV2 `json:"source"`
}

type sourceV2 struct {
	Digest *pullV2 `json:"digest,omitempty"`
	Tag    *pullV2 `json:"tag,omitempty"`
}

type pullV2 struct {
	PullString string `json:"pull_string"`
	Tag        string `json:"tag,omitempty"`
	CreatedAt  string `json:"creation_timestamp_override,omitempty"`
}

func submissionV2(s *subject, how Submit, now time.Time) (url.Values, any) {
	// Subscribing would make the service watch the tag from now on.
	query := url.Values{"auto_subscribe": {"false"}}
	if how == SubmitTag {
		return query, imageV2{Type: "docker", Source: sourceV2{Tag: &pullV2{PullString: s.tag}}}
	}
	return query, imageV2{Type: "docker", Source: sourceV2{Digest: &pullV2{
		PullString: s.pull, Tag: s.tag, CreatedAt: now.UTC().Format(time.RFC3339),
	}}}
}

func stateV2(body []byte) (state, error) {
	var image struct {
		Digest string `json:"image_digest"`
		Status string `json:"analysis_status"`
	}
	if err := json.Unmarshal(body, &image); err != nil {
		return state{}, err
	}
	return state{Digest: image.Digest, Status: image.Status}, nil
}

type answerV2 struct {
	PolicyID    string            `json:"policy_id"`
	Digest      string            `json:"image_digest"`
	Tag         string            `json:"evaluated_tag"`
	Evaluations []json.RawMessage `json:"evaluations"`
}

type evaluationV2 struct {
	Status   string    `json:"status"`
	Action   string    `json:"final_action"`
	At       string    `json:"evaluation_time"`
	Problems []problem `json:"evaluation_problems"`
	Details  struct {
		Findings []struct {
			Gate    string `json:"gate"`
			Trigger string `json:"trigger"`
		} `json:"findings"`
	} `json:"details"`
	// Number is how many findings there are, Mapped whether a rule of the policy
	// is for the image, Allowed whether the policy lets it in by name.
	Number  *int  `json:"number_of_findings"`
	Mapped  *bool `json:"image_mapped_to_rule"`
	Allowed bool  `json:"image_allowlisted"`
}

// check returns why a pass is none.
func (e *evaluationV2) check() error {
	switch {
	case e.Details.Findings == nil:
		return errors.New("it passes the image without the list of what the policy found")
	case e.Number != nil && *e.Number != len(e.Details.Findings):
		return fmt.Errorf("it counts %d findings of the policy and lists %d", *e.Number, len(e.Details.Findings))
	case e.Mapped != nil && !*e.Mapped && !e.Allowed:
		return errors.New("it passes although no rule of the policy is for the image")
	}
	return evaluated(e.Problems)
}

func verdictV2(body []byte, digest string) (*verdict, error) {
	var a answerV2
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, err
	}
	switch {
	case a.Digest != digest:
		return nil, errors.New("it is about another image")
	case len(a.Evaluations) != 1:
		return nil, fmt.Errorf("it holds %d evaluations, not one", len(a.Evaluations))
	case a.PolicyID == "":
		return nil, errors.New("it has no policy_id")
	}
	var e evaluationV2
	if err := json.Unmarshal(a.Evaluations[0], &e); err != nil {
		return nil, err
	}
	v := &verdict{subject: a.Digest}
	var actions []string
	if e.Action != "" {
		actions = append(actions, e.Action)
	}
	var err error
	if v.judgement, err = judge(e.Status, actions...); err != nil {
		return nil, err
	}
	if v.judgement == report.JudgementPass {
		if err := e.check(); err != nil {
			return nil, err
		}
	}
	for _, f := range e.Details.Findings {
		v.noteGate(f.Gate, f.Trigger)
	}
	if v.at, err = evaluatedAt(e.At); err != nil {
		return nil, err
	}
	v.inner, err = innerV2(a, e)
	return v, err
}

// innerReport is the report that policies read, in the spelling of version 1,
// so that a rule written for one service works with the other.
type innerReport struct {
	Detail struct {
		Policy json.RawMessage            `json:"policy,omitempty"`
		Result map[string]json.RawMessage `json:"result"`
	} `json:"detail"`
	LastEvaluation string `json:"last_evaluation"`
	PolicyID       string `json:"policyId"`
	Status         string `json:"status"`
	Digest         string `json:"image_digest"`
	Tag            string `json:"evaluated_tag"`
}

// innerV2 maps an answer of version 2:
//
//	policy_id                             policyId
//	evaluations[0].status                 status
//	evaluations[0].evaluation_time        last_evaluation
//	evaluations[0].details.policy         detail.policy
//	evaluations[0], the rest of it        detail.result (final_action, details.findings, ...)
//	image_digest, evaluated_tag           the same; version 1 has neither
//
// The findings of the policy stay where version 2 has them,
// detail.result.details.findings: version 1's table of rows is not made up.
func innerV2(a answerV2, e evaluationV2) (json.RawMessage, error) {
	in := innerReport{LastEvaluation: e.At, PolicyID: a.PolicyID, Status: strings.ToLower(e.Status), Digest: a.Digest, Tag: a.Tag}
	if err := json.Unmarshal(a.Evaluations[0], &in.Detail.Result); err != nil {
		return nil, err
	}
	var details map[string]json.RawMessage
	if json.Unmarshal(in.Detail.Result["details"], &details) == nil && details["policy"] != nil {
		in.Detail.Policy = details["policy"]
		delete(details, "policy")
		rest, err := json.Marshal(details)
		if err != nil {
			return nil, err
		}
		in.Detail.Result["details"] = rest
	}
	return json.Marshal(in)
}
