package pin

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/imagegate/imagegate/provider/platform"
)

// anything is the pattern of a Pod that says nothing about its nodes.
const anything = "*/*"

// windowsBuild is a label that only nodes with Windows have.
const windowsBuild = "node.kubernetes.io/windows-build"

// systemLabels and archLabels are what the kubelet says of its node, by the
// names of today and of old: it keeps both.
func systemLabels() []string { return []string{"kubernetes.io/os", "beta.kubernetes.io/os"} }
func archLabels() []string   { return []string{"kubernetes.io/arch", "beta.kubernetes.io/arch"} }

// labelValue is what a node's label can be. Any other value in a Pod names no
// node, and must not be read as a part of the key's syntax.
var labelValue = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// maxWords bounds the terms of node affinity that are looked at, and the words in
// them about platforms:
// what two lists of a thousand allow together is a million platforms.
const maxWords = 256

// ErrPlatforms says that a Pod names more platforms than the provider can be
// asked about.
var ErrPlatforms = fmt.Errorf("the Pod's node affinity names more than the %d platforms that can be judged: name fewer", platform.MaxPatterns)

// requirement is one thing that a node must fulfil.
type requirement struct {
	key, operator string
	values        []string
}

// platforms returns what the Pod says of the platforms it may run on, as the
// provider reads it, or "" when it says nothing: node selector, required node
// affinity and spec.os bind the scheduler or the kubelet. Templates read a Pod
// by the same rules (templates/lib/platform.rego), and one table tests both. The
// error may be ErrPlatforms.
func platforms(spec map[string]any) (string, error) {
	always, err := required(spec)
	if err != nil {
		return "", err
	}
	terms, err := affinityTerms(spec)
	if err != nil {
		return "", err
	}
	words := 0
	for _, term := range terms {
		for _, r := range term {
			words += 1 + len(r.values)
		}
	}
	if words > maxWords {
		return "", ErrPlatforms
	}
	if len(terms) == 0 {
		terms = [][]requirement{nil}
	}
	patterns := map[string]bool{}
	for _, term := range terms {
		all := slices.Concat(always, term)
		for os := range half(all, systemLabels()) {
			for arch := range half(all, archLabels()) {
				patterns[os+"/"+arch] = true
			}
		}
	}
	if len(patterns) == 1 && patterns[anything] {
		return "", nil
	}
	if len(patterns) > platform.MaxPatterns {
		return "", ErrPlatforms
	}
	return strings.Join(slices.Sorted(maps.Keys(patterns)), ","), nil
}

// half returns what the requirements leave of one half of a platform. When they
// contradict each other no node fulfils them, or somebody ignores one of them:
// then each counts.
func half(all []requirement, labels []string) map[string]bool {
	var named []map[string]bool
	excluded := map[string]bool{}
	for _, r := range all {
		values := set(r.values)
		switch {
		case r.key == windowsBuild && (r.operator == "In" || r.operator == "Exists"):
			if slices.Equal(labels, systemLabels()) {
				named = append(named, map[string]bool{"windows": true})
			}
		case !slices.Contains(labels, r.key):
		case r.operator == "In" && len(values) > 0:
			named = append(named, values)
		case r.operator == "NotIn":
			maps.Copy(excluded, values)
		}
	}
	if len(named) == 0 {
		if len(excluded) == 0 {
			return map[string]bool{"*": true}
		}
		return map[string]bool{"!" + strings.Join(slices.Sorted(maps.Keys(excluded)), "!"): true}
	}
	either, both := map[string]bool{}, map[string]bool{}
	for _, values := range named {
		maps.Copy(either, values)
	}
	for value := range either {
		in := func(values map[string]bool) bool { return values[value] }
		if !excluded[value] && !slices.ContainsFunc(named, func(v map[string]bool) bool { return !in(v) }) {
			both[value] = true
		}
	}
	if len(both) > 0 {
		return both
	}
	return either
}

// tells reports whether a label of a node says something of its platform.
func tells(label string) bool {
	return label == windowsBuild || slices.Contains(systemLabels(), label) || slices.Contains(archLabels(), label)
}

func set(values []string) map[string]bool {
	out := map[string]bool{}
	for _, v := range values {
		if labelValue.MatchString(v) {
			out[v] = true
		}
	}
	return out
}

// required are the node selector and spec.os.
func required(spec map[string]any) ([]requirement, error) {
	selector, err := nested(spec, "nodeSelector")
	if err != nil {
		return nil, err
	}
	var all []requirement
	for label := range selector {
		if !tells(label) {
			continue
		}
		value, err := text(selector, label)
		if err != nil {
			return nil, fmt.Errorf("nodeSelector: %w", err)
		}
		all = append(all, requirement{label, "In", []string{value}})
	}
	declared, err := nested(spec, "os")
	if err != nil {
		return nil, err
	}
	name, err := text(declared, "name")
	if err != nil {
		return nil, fmt.Errorf("os: %w", err)
	}
	return append(all, requirement{systemLabels()[0], "In", []string{name}}), nil
}

// affinityTerms are the alternatives of the required node affinity, with what each
// says of the platform. A term without any condition matches no node.
func affinityTerms(spec map[string]any) (terms [][]requirement, err error) {
	const field = "requiredDuringSchedulingIgnoredDuringExecution"
	affinity, err := nested(spec, "affinity", "nodeAffinity", field)
	if err != nil {
		return nil, err
	}
	list, err := objects(affinity, "nodeSelectorTerms")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	if len(list) > maxWords {
		return nil, ErrPlatforms
	}
	for _, term := range list {
		expressions, err := objects(term, "matchExpressions")
		fields, errFields := objects(term, "matchFields")
		if err := errors.Join(err, errFields); err != nil {
			return nil, fmt.Errorf("nodeSelectorTerms: %w", err)
		}
		if len(expressions)+len(fields) == 0 {
			continue
		}
		var all []requirement
		for _, e := range expressions {
			r, err := expression(e)
			if err != nil {
				return nil, fmt.Errorf("matchExpressions: %w", err)
			}
			if tells(r.key) {
				all = append(all, r)
			}
		}
		terms = append(terms, all)
	}
	return terms, nil
}

func expression(e map[string]any) (requirement, error) {
	key, errKey := text(e, "key")
	operator, errOperator := text(e, "operator")
	if err := errors.Join(errKey, errOperator); err != nil {
		return requirement{}, err
	}
	r := requirement{key: key, operator: operator}
	values, ok := e["values"].([]any)
	if !ok && e["values"] != nil {
		return requirement{}, errors.New("values is not a list")
	}
	for _, v := range values {
		s, ok := v.(string)
		if !ok {
			return requirement{}, errors.New("values has an entry that is not a string")
		}
		r.values = append(r.values, s)
	}
	return r, nil
}
