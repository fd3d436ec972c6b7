package templates

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/imagegate/imagegate/provider/nearest"
)

// InputSchema is the JSON schema of what one's own rules get as input: closed where
// imagegate or the admission API say what there is, open where Kubernetes does.
//
//go:embed input.schema.json
var InputSchema []byte

// scanned are the parts of input that there are after the scan only.
var scanned = []string{"ContainerObject", "ScanReport"}

// checkMeaning refuses rules that compile and can never do what they are written
// for: that read what input does not have, compare it with what it never is, or
// that nobody asks, under a name almost like one that is asked.
func (o *ownRules) checkMeaning() error {
	schema, err := readSchema()
	if err != nil {
		return err
	}
	schemas := ast.NewSchemaSet()
	schemas.Put(ast.SchemaRootRef, map[string]any(schema))
	compiler := o.compiler().WithSchemas(schemas)
	compiler.Compile(map[string]*ast.Module{o.file: o.module, "names": givenModule})
	problems := o.uncalled(compiler)
	// With an input of its own a rule may read anything.
	if !replacesInput(o.module) {
		for _, e := range compiler.Errors {
			problems = append(problems, o.problem(e.Location, "%s", missing(e)))
		}
		problems = append(problems, o.beforeTheScan(compiler)...)
		problems = append(problems, o.misread(schema)...)
		problems = append(problems, o.neverHolds(schema)...)
	}
	slices.SortStableFunc(problems, func(a, b problem) int { return a.row - b.row })
	texts := make([]error, 0, len(problems))
	for _, p := range slices.CompactFunc(problems, func(a, b problem) bool { return a.Error() == b.Error() }) {
		texts = append(texts, p)
	}
	return errors.Join(texts...)
}

// givenModule stands for the library whose names rules may use, so that what they
// say of policies is held against the schema as well.
var givenModule = ast.MustParseModule("package lib.ownrules\n\npolicies := input.Policies\n\nnamespace := input.AdmissionRequest.namespace")

// problem is what is wrong in a line of the rules.
type problem struct {
	file string
	row  int
	text string
}

func (p problem) Error() string { return fmt.Sprintf("%s:%d: %s", p.file, p.row, p.text) }

func (o *ownRules) problem(at *ast.Location, format string, args ...any) problem {
	return problem{file: o.file, row: at.Row, text: fmt.Sprintf(format, args...)}
}

// missing is a type error in words of ours.
func missing(e *ast.Error) string {
	switch detail := e.Details.(type) {
	case *ast.RefErrInvalidDetail:
		whole, part := detail.Ref[:detail.Pos], detail.Ref[detail.Pos].Value
		name, isName := part.(ast.String)
		if !isName || len(detail.OneOf) == 0 {
			return list(whole)
		}
		names := make([]string, 0, len(detail.OneOf))
		for _, value := range detail.OneOf {
			if known, ok := value.(ast.String); ok {
				names = append(names, string(known))
			}
		}
		slices.Sort(names)
		return fmt.Sprintf("%s has no %s, only %s%s", written(whole), string(name), strings.Join(names, ", "), didYouMean(string(name), names))
	case *ast.RefErrUnsupportedDetail:
		return fmt.Sprintf("%s has no parts, and %s can never be there", written(detail.Ref[:detail.Pos+1]), written(detail.Ref))
	default:
		return fmt.Sprintf("what input has can never fit: %s", e.Message)
	}
}

// written is a reference as it stands in the rules: OPA knows them by the whole
// paths of their packages.
func written(ref ast.Ref) string {
	return strings.NewReplacer("data."+rulesPackage+".", "", "data.lib.ownrules.", "").Replace(ref.String())
}

func didYouMean(name string, names []string) string {
	if meant, ok := nearest.To(name, names); ok {
		return ": did you mean " + meant + "?"
	}
	return ""
}

// uncalled are the rules that nobody asks although their name says that they are
// meant to be. What another rule reads is a part of that.
func (o *ownRules) uncalled(compiler *ast.Compiler) []problem {
	var problems []problem
	for _, rule := range compiler.Modules[o.file].Rules {
		name := ruleName(rule)
		if _, isHook := hooks[name]; isHook || len(compiler.Graph.Dependents(rule)) > 0 {
			continue
		}
		if meant, ok := almostHook(name); ok {
			problems = append(problems, o.uncalledRule(rule, meant))
		}
	}
	return problems
}

func (o *ownRules) uncalledRule(rule *ast.Rule, meant string) problem {
	return o.problem(rule.Location, "nobody asks %s, only %s%s", ruleName(rule), strings.Join(hookNames(true), ", "), meant)
}

// ruleName is the name under which others read a rule: the first part of its own.
func ruleName(rule *ast.Rule) string {
	name, _ := rule.Head.Ref()[0].Value.(ast.Var)
	return string(name)
}

// almostHook reports whether a rule's name says that it should be asked, and which
// hook it was meant to be, where that can be told. Names such as deny and violation
// are asked in other people's templates.
func almostHook(name string) (meant string, ok bool) {
	if meant = didYouMean(name, hookNames(true)); meant != "" {
		return meant, true
	}
	lower := strings.ToLower(name)
	return "", lower == "violation" || lower == "deny" || strings.HasPrefix(lower, "deny_") || strings.HasPrefix(lower, "allow_")
}

// beforeTheScan are the places where a rule that is asked before the scan, or one that
// only such rules read, reads what there is only after it.
func (o *ownRules) beforeTheScan(compiler *ast.Compiler) []problem {
	var problems []problem
	for _, rule := range compiler.Modules[o.file].Rules {
		name := askedBefore(rule, compiler)
		if name == "" {
			continue
		}
		ast.WalkRefs(rule, func(ref ast.Ref) bool {
			if len(ref) < 2 || !ref.HasPrefix(ast.InputRootRef) {
				return false
			}
			if part, _ := ref[1].Value.(ast.String); slices.Contains(scanned, string(part)) {
				problems = append(problems, o.problem(ref[0].Location, "%s is asked before the scan, when input has no %s: write a deny_image for it", name, string(part)))
			}
			return false
		})
	}
	return problems
}

// askedBefore is the rule through which alone another is asked, itself or one of those
// that read it, if that is before the scan.
func askedBefore(rule *ast.Rule, compiler *ast.Compiler) string {
	var early []string
	pending, seen := []*ast.Rule{rule}, map[*ast.Rule]bool{rule: true}
	for len(pending) > 0 {
		at := pending[0]
		pending = pending[1:]
		switch name := ruleName(at); name {
		case "deny_pod", "allow_pod":
			early = append(early, name)
		case "deny_image":
			return ""
		}
		for reader := range compiler.Graph.Dependents(at) {
			if r, ok := reader.(*ast.Rule); ok && !seen[r] {
				seen[r] = true
				pending = append(pending, r)
			}
		}
	}
	if len(early) == 0 {
		return ""
	}
	return slices.Max(early)
}

// neverHolds are the comparisons of a part of input with what it never is, and the
// messages that do not fit their values.
func (o *ownRules) neverHolds(schema schema) []problem {
	var problems []problem
	given, constants := argumentsOf(o.module), constantsOf(o.module)
	for _, rule := range o.module.Rules {
		c := comparison{schema: schema, names: variablesOf(rule, given), constants: constants}
		report := func(at *ast.Location, err error) { problems = append(problems, o.problem(at, "%v", err)) }
		ast.WalkExprs(rule, func(e *ast.Expr) bool {
			for _, err := range c.wrong(e) {
				report(e.Location, err)
			}
			return false
		})
		ast.WalkRefs(rule, func(ref ast.Ref) bool {
			for _, err := range c.lookedUp(ref) {
				report(ref[0].Location, err)
			}
			return false
		})
		sprintfs(rule, report)
	}
	return problems
}

// misread are the fields that parts of input do not have, as far as OPA does not tell:
// those of the elements of every ... in ... and of what functions are called with, which
// it takes for anything, and those of a list in what Kubernetes says: where fields may be
// added it knows none.
func (o *ownRules) misread(schema schema) []problem {
	var problems []problem
	given := argumentsOf(o.module)
	for _, rule := range o.module.Rules {
		names := variablesOf(rule, given)
		ast.WalkRefs(rule, func(ref ast.Ref) bool {
			name, _ := ref[0].Value.(ast.Var)
			for i := 1; i < len(ref); i++ {
				whole, ok := names.inInput(ref[:i])
				part, isName := ref[i].Value.(ast.String)
				if !ok || !isName {
					continue
				}
				if schema.below(whole)["type"] == "array" {
					problems = append(problems, o.problem(ref[0].Location, "%s", list(ref[:i])))
					break
				}
				if known := schema.names(whole); names.each[name] && len(known) > 0 && !slices.Contains(known, string(part)) {
					problems = append(problems, o.problem(ref[0].Location, "%s has no %s, only %s%s", ref[:i], string(part), strings.Join(known, ", "), didYouMean(string(part), known)))
					break
				}
			}
			return false
		})
	}
	return problems
}

// list says that a reference is one of a list.
func list(whole ast.Ref) string {
	return fmt.Sprintf("%s is a list: look at each of its elements, %s[_]", written(whole), written(whole))
}

// present are the words without the empty one.
func present(words []string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(word string) bool { return word == "" })
}

// replacesInput reports whether rules are asked with an input of the file's own.
func replacesInput(module *ast.Module) bool {
	found := false
	ast.WalkWiths(module, func(with *ast.With) bool {
		switch target := with.Target.Value.(type) {
		case ast.Var:
			found = found || target.Equal(ast.InputRootDocument.Value)
		case ast.Ref:
			found = found || target.HasPrefix(ast.InputRootRef)
		}
		return found
	})
	return found
}

// schema is a JSON schema or a part of one.
type schema map[string]any

func readSchema() (schema, error) {
	var s schema
	if err := json.Unmarshal(InputSchema, &s); err != nil {
		return nil, fmt.Errorf("reading the schema of input: %w", err)
	}
	return s, nil
}

// words are all that the part of input which a reference names may be; nil where that
// is not said.
func (s schema) words(names variables, written ast.Ref) []string {
	ref, ok := names.inInput(written)
	if !ok {
		return nil
	}
	enum, _ := s.below(ref)["enum"].([]any)
	words := make([]string, 0, len(enum))
	for _, value := range enum {
		if word, ok := value.(string); ok {
			words = append(words, word)
		}
	}
	return words
}

// isNumber reports whether the part of input which a reference names is a number.
func (s schema) isNumber(names variables, written ast.Ref) bool {
	ref, ok := names.inInput(written)
	if !ok {
		return false
	}
	kind, _ := s.below(ref)["type"].(string)
	return kind == "integer" || kind == "number"
}

// names are those of all fields of a part of input; nil where it may have others.
func (s schema) names(ref ast.Ref) []string {
	below := s.below(ref)
	if open, said := below["additionalProperties"].(bool); !said || open {
		return nil
	}
	properties, _ := below["properties"].(map[string]any)
	return slices.Sorted(maps.Keys(properties))
}

// below is the schema of a part of input; empty where there is none.
func (s schema) below(ref ast.Ref) map[string]any {
	at := map[string]any(s)
	for _, part := range ref[1:] {
		at, _ = s.at(at, part)
	}
	return s.resolved(at)
}

// at is the schema of one part below another.
func (s schema) at(whole map[string]any, part *ast.Term) (map[string]any, bool) {
	whole = s.resolved(whole)
	if name, ok := part.Value.(ast.String); ok {
		for _, fields := range []string{"properties", "x-lists"} {
			known, _ := whole[fields].(map[string]any)
			if found, ok := known[string(name)].(map[string]any); ok {
				return found, true
			}
		}
		return nil, false
	}
	items, ok := whole["items"].(map[string]any)
	return items, ok
}

func (s schema) resolved(part map[string]any) map[string]any {
	ref, ok := part["$ref"].(string)
	if !ok {
		return part
	}
	definitions, _ := s["definitions"].(map[string]any)
	found, _ := definitions[strings.TrimPrefix(ref, "#/definitions/")].(map[string]any)
	return found
}
