package templates

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// IdleRules says of each rule by prefix in an ImageScanPolicy's parameters that can
// never decide, because a stricter one comes before it and matches all that it matches:
// "scanRules.alwaysAccept[0] never decides: ...". Such a rule lets nothing through, and
// so it is told where the rules are tried and installed. The template itself refuses
// the other way round, a stricter rule behind a laxer one. Parameters that are wrong
// are passed over: the template says what is wrong with them.
func IdleRules(constraint *unstructured.Unstructured) []string {
	parameters, _, err := unstructured.NestedMap(constraint.Object, "spec", "parameters")
	if err != nil {
		return nil
	}
	var idle []string
	for _, name := range []string{"scanRules", "preScanPolicies", "scanPolicies"} {
		section, _ := parameters[name].(map[string]any)
		idle = append(idle, idleRules(name, section)...)
	}
	return idle
}

// prefixRule is one rule by prefix, where it is written and how strict it is.
type prefixRule struct {
	at, list, prefix string
	strict           int
}

// ruleLists are the lists of scanRules, in the order in which they decide, and what they
// are to each other: the template says the same in lib/scanrules.rego.
func ruleLists() []string { return []string{"alwaysReject", "alwaysScanResult", "alwaysAccept"} }

const customRules = "customPolicies"

// idleRules looks at the rules of a section as they hold everywhere, and as they hold
// in each namespace that has some of its own. One of the top level is idle if it is so
// wherever it holds.
func idleRules(name string, section map[string]any) []string {
	everywhere := rulesOf(name, section, nil, "")
	idle := behind(everywhere)
	byNamespace, _ := section["byNamespace"].(map[string]any)
	var own []string
	for _, namespace := range slices.Sorted(maps.Keys(byNamespace)) {
		keys, _ := byNamespace[namespace].(map[string]any)
		rules := rulesOf(name, section, keys, namespace)
		here := behind(rules)
		for _, r := range rules {
			_, of := idle[r.at]
			switch why, is := here[r.at]; {
			case is && strings.HasPrefix(r.at, name+".byNamespace."):
				own = append(own, why)
			case !is && of:
				delete(idle, r.at)
			}
		}
	}
	var said []string
	for _, r := range everywhere {
		if why, ok := idle[r.at]; ok {
			said = append(said, why)
		}
	}
	return append(said, own...)
}

// rulesOf reads the rules of a section in the order in which they decide. A list of a
// namespace's replaces that of the top level.
func rulesOf(name string, section, keys map[string]any, namespace string) (rules []prefixRule) {
	list := func(key string) (string, []any) {
		if own, ok := keys[key].([]any); ok {
			return name + ".byNamespace." + namespace + "." + key, own
		}
		all, _ := section[key].([]any)
		return name + "." + key, all
	}
	at, custom := list(customRules)
	for i, entry := range custom {
		rule, _ := entry.(map[string]any)
		prefix, _ := rule["prefix"].(string)
		action, _ := rule["action"].(string)
		strict, known := map[string]int{"accept": 0, "scan": 1, "scan-result": 1, "reject": 2}[action]
		if prefix != "" && known {
			rules = append(rules, prefixRule{fmt.Sprintf("%s[%d]", at, i), "", prefix, strict})
		}
	}
	lists := ruleLists()
	for i, key := range lists {
		strict := len(lists) - 1 - i
		at, prefixes := list(key)
		for i, entry := range prefixes {
			if prefix, _ := entry.(string); prefix != "" {
				rules = append(rules, prefixRule{fmt.Sprintf("%s[%d]", at, i), key + " ", prefix, strict})
			}
		}
	}
	return rules
}

// behind says of the rules, by where they are written, which stand behind a stricter
// one that matches all of them.
func behind(rules []prefixRule) map[string]string {
	idle := map[string]string{}
	for i, r := range rules {
		for _, first := range rules[:i] {
			if first.strict > r.strict && strings.HasPrefix(r.prefix, first.prefix) {
				idle[r.at] = fmt.Sprintf("%s never decides: %s'%s' comes before it and matches all that begins with '%s'", r.at, first.list, first.prefix, r.prefix)
				break
			}
		}
	}
	return idle
}
