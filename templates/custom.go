package templates

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"sigs.k8s.io/yaml"
)

// CustomOptions say how a user's rules become a ConstraintTemplate.
type CustomOptions struct {
	// Kind of the Constraints, in upper camel case; the template's name is its
	// lower case. Required.
	Kind string
	// RegoVersion of the rules: "v0", "v1", or "auto" (also "") for the first of
	// v1 and v0 that they parse as.
	RegoVersion string
	// ScanRules appends the rules to the image scan policy, which the
	// Constraint's parameters then configure. Without it they judge alone.
	ScanRules bool
	// File names the rules in error messages. Default rules.rego.
	File string
}

// rulesPackage is where the user's rules live inside the template.
const rulesPackage = "lib." + ownRulesName

// hooks are the rules that a file may define for us to ask, and whether each is
// a set of messages.
var hooks = map[string]bool{"allow_pod": false, "deny_pod": true, "deny_image": true}

var kindPattern = regexp.MustCompile(`^[A-Z][A-Za-z0-9]{0,62}$`)

// Custom turns a file of allow_pod, deny_pod[msg] and deny_image[msg] rules into
// a ConstraintTemplate. The rules stay as they are written, but for their
// package, which must be the template's. A file that would not compile in
// Gatekeeper is refused with its name and line.
func Custom(rules []byte, options CustomOptions) ([]byte, error) {
	if !kindPattern.MatchString(options.Kind) {
		return nil, fmt.Errorf("kind %q is not a name like MyRules", options.Kind)
	}
	if reserved, err := Policies(); err != nil || slices.Contains(reserved, strings.ToLower(options.Kind)) {
		return nil, errors.Join(fmt.Errorf("kind %s is a policy of the library: choose another", options.Kind), err)
	}
	if options.File == "" {
		options.File = "rules.rego"
	}
	own, err := readRules(string(rules), options)
	if err != nil {
		return nil, err
	}
	entry := "custom"
	if options.ScanRules {
		entry = "customscan"
	}
	text, err := sources.ReadFile(entry + "/src.rego")
	if err != nil {
		return nil, fmt.Errorf("reading the rules' frame: %w", err)
	}
	module, err := parse(entry+"/src.rego", string(text), own.version)
	if err != nil {
		return nil, err
	}
	libs, err := libraries(module)
	if err != nil {
		return nil, err
	}
	err = own.compile(string(text), libs)
	if names := openNames(err); len(names) > 0 {
		if own, err = own.define(names); err == nil {
			err = own.compile(string(text), libs)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := own.checkMeaning(); err != nil {
		return nil, err
	}
	crd, err := customCRD(options, own.views())
	if err != nil {
		return nil, err
	}
	return withCode(crd, own.version, string(text), append(libs, own.text))
}

// givenNames are the names that rules may use without defining them, as those of
// Sysdig's admission controller do.
var givenNames = []string{"namespace", "policies"}

// openNames returns which of the given names rules use that did not compile for
// it. A file that compiles without them has meanings of its own for these names.
func openNames(err error) []string {
	failures, _ := errors.AsType[ast.Errors](err)
	var names []string
	for _, name := range givenNames {
		if slices.ContainsFunc(failures, func(e *ast.Error) bool {
			return e.Code == ast.UnsafeVarErr && e.Message == "var "+name+" is unsafe"
		}) {
			names = append(names, name)
		}
	}
	return names
}

// ownRules are a user's rules, moved to the template's package.
type ownRules struct {
	file    string
	version ast.RegoVersion
	// text as it goes into the template, numbered as it is parsed here.
	text, numbered string
	// module parsed with the user's line numbers.
	module *ast.Module
}

var (
	packageLine = regexp.MustCompile(`(?m)^[ \t]*package[ \t]+[^\s#]+`)
	regoV1Line  = regexp.MustCompile(`(?m)^[ \t]*import[ \t]+rego\.v1\b`)
)

func readRules(text string, options CustomOptions) (*ownRules, error) {
	versions, err := candidates(text, options.RegoVersion)
	if err != nil {
		return nil, err
	}
	// Gatekeeper refuses the import; the template's version says the same.
	text = regoV1Line.ReplaceAllString(text, "# import rego.v1")
	// The package goes before the first statement without a line of its own, so
	// that errors have the user's line numbers.
	numbered := "package " + rulesPackage + " " + text
	declared := packageLine.FindStringIndex(text)
	if declared != nil {
		numbered = text[:declared[0]] + "package " + rulesPackage + text[declared[1]:]
	}
	var failures []error
	for _, version := range versions {
		module, err := ast.ParseModuleWithOpts(options.File, numbered, ast.ParserOptions{RegoVersion: version})
		if err != nil {
			failures = append(failures, fmt.Errorf("as Rego %v: %w", version, err))
			continue
		}
		if module == nil {
			return nil, fmt.Errorf("%s holds no rules", options.File)
		}
		own := &ownRules{file: options.File, version: version, text: numbered, numbered: numbered, module: module}
		if declared == nil {
			own.text = "package " + rulesPackage + "\n\n" + text
		}
		return own, own.check(options.ScanRules)
	}
	// The version that the text looks like has the error that helps.
	return nil, fmt.Errorf("%s does not parse %w", options.File, failures[len(failures)-1])
}

// define adds the given names to the rules, below them so that lines keep their
// numbers.
func (o *ownRules) define(names []string) (*ownRules, error) {
	var given strings.Builder
	given.WriteString("\n\n# The names that rules may use without defining them.\n")
	for _, name := range names {
		fmt.Fprintf(&given, "%s := data.lib.ownrules.%s\n", name, name)
	}
	numbered := o.numbered + given.String()
	module, err := ast.ParseModuleWithOpts(o.file, numbered, ast.ParserOptions{RegoVersion: o.version})
	if err != nil {
		return nil, fmt.Errorf("adding %s to %s: %w", strings.Join(names, " and "), o.file, err)
	}
	return &ownRules{file: o.file, version: o.version, text: o.text + given.String(), numbered: numbered, module: module}, nil
}

var looksV1 = regexp.MustCompile(`(?m)\bif\s*\{|\bcontains\b.*\bif\b|^[ \t]*import[ \t]+rego\.v1\b`)

// candidates are the versions to try; the last one's error is shown.
func candidates(text, wanted string) ([]ast.RegoVersion, error) {
	switch wanted {
	case "v0":
		return []ast.RegoVersion{ast.RegoV0}, nil
	case "v1":
		return []ast.RegoVersion{ast.RegoV1}, nil
	case "", "auto":
		if regoV1Line.MatchString(text) {
			return []ast.RegoVersion{ast.RegoV1}, nil
		}
		if looksV1.MatchString(text) && !strings.Contains(text, "future.keywords") {
			return []ast.RegoVersion{ast.RegoV0, ast.RegoV1}, nil
		}
		return []ast.RegoVersion{ast.RegoV1, ast.RegoV0}, nil
	default:
		return nil, fmt.Errorf("rego version %q is not auto, v0 or v1", wanted)
	}
}

// check refuses what compiles in OPA but does not work in a template: beside the
// generated rules or, where there are none, alone.
func (o *ownRules) check(beside bool) error {
	var problems []error
	report := func(at *ast.Location, format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s:%d: %s", o.file, at.Row, fmt.Sprintf(format, args...)))
	}
	for _, imported := range o.module.Imports {
		if path := imported.Path.String(); !strings.HasPrefix(path, "future.keywords") {
			report(imported.Location, "import %s: a template may import future.keywords only", path)
		}
	}
	defined := false
	for _, rule := range o.module.Rules {
		isSet, isHook := hooks[rule.Head.Ref().String()]
		if !isHook {
			isSet, isHook = hooks[rule.Head.Name.String()]
		}
		defined = defined || isHook && (isSet || beside)
		if isHook && isSet != (rule.Head.RuleKind() == ast.MultiValue) {
			report(rule.Location, "%s", hookShape(rule.Head.Name.String(), isSet))
		}
		ast.WalkRefs(rule, func(ref ast.Ref) bool {
			if ref.HasPrefix(ast.Ref{ast.DefaultRootDocument}) && !ref.HasPrefix(inventory) {
				report(ref[0].Location, "%s: a template reads data.inventory only; call the file's own rules by their names alone", ref)
			}
			return false
		})
	}
	if !defined {
		problems = append(problems, fmt.Errorf("%s defines none of %s: it would never deny", o.file, strings.Join(hookNames(beside), ", ")))
		for _, rule := range o.module.Rules {
			if meant, ok := almostHook(ruleName(rule)); ok {
				problems = append(problems, o.uncalledRule(rule, meant))
			}
		}
	}
	return errors.Join(problems...)
}

var inventory = ast.MustParseRef("data.inventory")

func hookShape(name string, isSet bool) string {
	if isSet {
		return fmt.Sprintf("%s must be a set of messages: %s[msg] { ... }, in Rego v1 %s contains msg if { ... }", name, name, name)
	}
	return fmt.Sprintf("%s must be true or undefined: %s { ... }, in Rego v1 %s if { ... }", name, name, name)
}

// hookNames are the rules of which a file must define one. allow_pod does nothing
// without something that denies.
func hookNames(beside bool) []string {
	names := make([]string, 0, len(hooks))
	for name, denies := range hooks {
		if denies || beside {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// compile compiles the whole template, as Gatekeeper will.
func (o *ownRules) compile(entry string, libs []string) error {
	modules := map[string]*ast.Module{o.file: o.module}
	for i, text := range append([]string{entry}, libs...) {
		name := fmt.Sprintf("imagegate/%d.rego", i)
		module, err := parse(name, text, o.version)
		if err != nil {
			return err
		}
		modules[name] = module
	}
	compiler := o.compiler()
	if compiler.Compile(modules); compiler.Failed() {
		return fmt.Errorf("%s does not compile: %w", o.file, compiler.Errors)
	}
	return nil
}

// compiler is OPA's as it is in Gatekeeper.
func (o *ownRules) compiler() *ast.Compiler {
	capabilities := ast.CapabilitiesForThisVersion()
	capabilities.Builtins = append(slices.Clone(capabilities.Builtins), externalData)
	return ast.NewCompiler().WithCapabilities(capabilities).WithDefaultRegoVersion(o.version)
}

// customCRD is the image scan policy's CRD under another kind, with the
// parameters that still mean something.
// views are those that have what the rules read, the least first: with a smaller one
// they would find nothing, and deny nothing.
func (o *ownRules) views() []any {
	views := []any{"summary", "findings", "full"}
	least := 0
	ast.WalkTerms(o.module, func(t *ast.Term) bool {
		switch {
		case t.Value.Compare(ast.String("InnerReport")) == 0:
			least = 2
		case t.Value.Compare(ast.String("Vulnerabilities")) == 0:
			least = max(least, 1)
		}
		return false
	})
	return views[least:]
}

func customCRD(options CustomOptions, views []any) ([]byte, error) {
	base, err := frame("imagescanpolicy")
	if err != nil {
		return nil, err
	}
	var template struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name        string            `json:"name"`
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
		Spec struct {
			CRD struct {
				Spec struct {
					Names      map[string]string `json:"names"`
					Validation struct {
						LegacySchema    bool           `json:"legacySchema"`
						OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
					} `json:"validation"`
				} `json:"spec"`
			} `json:"crd"`
		} `json:"spec"`
	}
	if err := yaml.UnmarshalStrict(base, &template); err != nil {
		return nil, fmt.Errorf("reading the base of the template: %w", err)
	}
	template.Metadata.Name = strings.ToLower(options.Kind)
	template.Metadata.Annotations = map[string]string{
		"metadata.gatekeeper.sh/title": options.Kind,
		"description":                  "Rules from " + options.File + ".",
	}
	template.Spec.CRD.Spec.Names = map[string]string{"kind": options.Kind}
	properties, _ := template.Spec.CRD.Spec.Validation.OpenAPIV3Schema["properties"].(map[string]any)
	view, ok := properties["view"].(map[string]any)
	if !ok {
		return nil, errors.New("reading the base of the template: no parameter view")
	}
	view["enum"] = views
	if !options.ScanRules {
		for _, name := range []string{"help", "scanRules", "preScanPolicies", "scanPolicies"} {
			delete(properties, name)
		}
	}
	out, err := yaml.Marshal(template)
	if err != nil {
		return nil, fmt.Errorf("writing the template: %w", err)
	}
	return out, nil
}
