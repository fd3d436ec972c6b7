package review

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/open-policy-agent/frameworks/constraint/pkg/types"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/util"

	"github.com/imagegate/imagegate/provider/review/loopback"
)

// Result is the judgement on one object. Its JSON form is a contract with
// pipelines that read it.
type Result struct {
	// Object is namespace/name, or name for an object without a namespace.
	Object string `json:"object"`
	Kind   string `json:"kind"`
	// Allowed is false when a violation has the enforcement action deny.
	Allowed bool `json:"allowed"`
	// Violations are in the order in which Gatekeeper prints them.
	Violations []Violation `json:"violations"`
	// Scanned lists the image references that the templates asked about,
	// sorted.
	Scanned []string `json:"scanned"`
	// Explained holds, if asked for, what the rules saw of each container.
	Explained []Explanation `json:"explained,omitempty"`

	// expanded says whether an ExpansionTemplate made something of it.
	expanded  bool
	exchanges []loopback.Exchange
}

// Violation is one message of one constraint.
type Violation struct {
	// Constraint is Kind/name.
	Constraint string `json:"constraint"`
	// EnforcementAction is deny, warn or dryrun: one of the scoped ones, where
	// the constraint's is "scoped".
	EnforcementAction string `json:"enforcementAction"`
	Message           string `json:"msg"`
}

func newResult(object Object, responses *types.Responses, exchanges []loopback.Exchange) Result {
	r := Result{
		Object:     object.name(),
		Kind:       object.kind(),
		Violations: violations(responses),
		Scanned:    scanned(exchanges),
		exchanges:  exchanges,
	}
	r.Allowed = !slices.ContainsFunc(r.Violations, func(v Violation) bool {
		return v.EnforcementAction == string(util.Deny)
	})
	return r
}

func violations(responses *types.Responses) []Violation {
	out := []Violation{}
	for _, r := range responses.Results() {
		actions := []string{r.EnforcementAction}
		if r.EnforcementAction == string(util.Scoped) {
			actions = r.ScopedEnforcementActions
		}
		for _, action := range actions {
			out = append(out, Violation{
				Constraint:        r.Constraint.GetKind() + "/" + r.Constraint.GetName(),
				EnforcementAction: action,
				Message:           r.Msg,
			})
		}
	}
	slices.SortStableFunc(out, func(a, b Violation) int {
		return cmp.Or(
			cmp.Compare(a.EnforcementAction, b.EnforcementAction),
			cmp.Compare(a.Message, b.Message),
			cmp.Compare(a.Constraint, b.Constraint),
		)
	})
	return out
}

// scanned reads the references off the keys: what is before the parameters.
func scanned(exchanges []loopback.Exchange) []string {
	refs := []string{}
	for _, x := range exchanges {
		for _, key := range x.Keys {
			ref, _, _ := strings.Cut(key, "?")
			refs = append(refs, ref)
		}
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

// Explanation is what deny_image saw of one container.
type Explanation struct {
	// Pod is the name of the Pod, or of the Pod that an ExpansionTemplate made.
	Pod string `json:"pod"`
	// Container is the container's field and name: initContainers/setup.
	Container string `json:"container"`
	Image     string `json:"image"`
	// Asked is whether a template asked for a report of the image. None does
	// when rules had decided before the scan, or when an update leaves the
	// image as it is: then no deny_image saw the container.
	Asked bool `json:"asked"`
	// Input is the document {ScanReport, AdmissionRequest, PodObject,
	// ContainerObject}. ScanReport is null when Asked is false.
	Input json.RawMessage `json:"input"`
}
