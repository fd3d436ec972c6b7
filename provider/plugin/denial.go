package plugin

import (
	"regexp"
	"strings"
	"time"
)

// denial is what an admission webhook said of a Pod, once for each constraint.
type denial struct {
	// Webhook is the name of the one that denied it.
	Webhook string `json:"webhook"`
	// Constraint is its name; empty for a webhook that has none.
	Constraint string `json:"constraint,omitempty"`
	Message    string `json:"message"`
	// Do is what helps; empty where nothing is known.
	Do string `json:"do,omitempty"`
	// Count is how often it was said to a controller; 0 where that is not known.
	Count int32      `json:"count,omitempty"`
	Last  *time.Time `json:"last,omitempty"`
}

// refused is what the API server makes of a webhook's denial
// (k8s.io/apiserver/pkg/admission/plugin/webhook/errors).
var refused = regexp.MustCompile(`(?s)admission webhook "([^"]+)" denied the request: (.*)$`)

// said begins a line of Gatekeeper's message: the constraint's name in brackets.
var said = regexp.MustCompile(`(?m)^\[([a-z0-9.-]+)\] `)

// denials returns what message says, and nothing when no webhook denied anything.
func denials(message string) []denial {
	found := refused.FindStringSubmatch(message)
	if found == nil {
		return nil
	}
	webhook, text := found[1], strings.TrimSpace(found[2])
	starts := said.FindAllStringSubmatchIndex(text, -1)
	if len(starts) == 0 || starts[0][0] != 0 {
		return []denial{{Webhook: webhook, Message: text, Do: advice(text)}}
	}
	all := make([]denial, 0, len(starts))
	for i, at := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		one := strings.TrimSpace(text[at[1]:end])
		all = append(all, denial{Webhook: webhook, Constraint: text[at[2]:at[3]], Message: one, Do: advice(one)})
	}
	return all
}

// advised are parts of imagegate's messages, in lower case, and what helps. The first
// that is in a message counts. A test holds them to the policies' sources.
func advised() []struct{ part, do string } {
	const fix = "Build the image with the fixed versions that the message names and deploy that; where there is no fix, ask who runs the policy for an exception that ends."
	return []struct{ part, do string }{
		{"scan report is pending", "Wait: the scan is under way, and controllers try again by themselves."},
		{"scan result is 'reject'", fix},
		{"policy action is 'reject'", "The policy admits no image of this prefix, whatever is found in it: take the image from a registry that it admits."},
		{"scan failed", "Mend what the message names (the image's name, the pull secret, the registry); a new Pod is scanned anew."},
		{"fixed in %s", fix},
		{"cannot pin image", "Mend what the message names: the image's name or tag, the pull secret, or the registry. While the provider is away nothing can be pinned: tell who runs it."},
	}
}

func advice(message string) string {
	message = strings.ToLower(message)
	for _, a := range advised() {
		if strings.Contains(message, strings.TrimSuffix(a.part, "%s")) {
			return a.do
		}
	}
	return ""
}
