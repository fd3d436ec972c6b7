package templates_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"

	"github.com/imagegate/imagegate/templates"
	"github.com/imagegate/imagegate/templates/regotest"
)

// TestGeneratedFilesAreFresh fails when a source changed and go run
// ./templates/gen did not follow.
func TestGeneratedFilesAreFresh(t *testing.T) {
	generated, err := templates.GenerateAll()
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range generated {
		if diff := cmp.Diff(string(want), string(readFile(t, file))); diff != "" {
			t.Errorf("%s is not what go run ./templates/gen writes:\n%s", file, diff)
		}
	}
}

// TestEveryTemplateIsCreated adds every generated template to Gatekeeper's engine.
func TestEveryTemplateIsCreated(t *testing.T) {
	policies, err := templates.Policies()
	if err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, 0)
	for _, policy := range policies {
		text, err := templates.Generated(policy)
		if err != nil {
			t.Fatal(err)
		}
		e.addTemplate(t, text)
	}
}

// TestReferencesReadAsByTheRegistryLibrary holds the Rego reading of references
// against go-containerregistry, which provider and mutator use.
func TestReferencesReadAsByTheRegistryLibrary(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("a", 64)
	var images []string
	for _, repository := range []string{
		"nginx", "library/nginx", "airadier/test", "a/b/c", "docker.io/nginx", "docker.io/a/b",
		"index.docker.io/nginx", "index.docker.io/library/nginx", "localhost/a", "localhost/a/b", "localhost:5000/a",
		"127.0.0.1:5000/a/b", "registry.example.com/a", "registry.example.com:443/a/b/c", "gcr.io/p/i",
		"registry/a", "host:80/library/a", "localhost", "a.b/c", "my-registry/a", "[::1]:5000/a",
	} {
		images = append(images, repository, repository+":1.2", repository+":latest", repository+digest, repository+":v1"+digest)
	}
	query := prepare(t, "x := {image: {\"normalised\": r.normalised(image), \"valid\": r.valid(image), \"registry\": r.registry(image)} | some image in input}")
	results, err := query.Eval(t.Context(), rego.EvalInput(images))
	if err != nil {
		t.Fatal(err)
	}
	read := results[0].Bindings["x"].(map[string]any)
	for _, image := range images {
		reference, err := name.ParseReference(image)
		if err != nil {
			t.Errorf("%s: %v", image, err)
			continue
		}
		registry := reference.Context().RegistryStr()
		if registry == name.DefaultRegistry {
			registry = "docker.io"
		}
		repository := reference.Context().RepositoryStr()
		got := read[image].(map[string]any)
		written := got["normalised"].(string)
		if !strings.HasPrefix(written, registry+"/"+repository) {
			t.Errorf("%s is %s/%s, read as %s", image, registry, repository, written)
		}
		if again, err := name.ParseReference(written); err != nil || again.Name() != reference.Name() {
			t.Errorf("%s names %s, its normalised form %s names %v (%v)", image, reference.Name(), written, again, err)
		}
		if got["registry"] != registry || got["valid"] != true {
			t.Errorf("%s: registry %v, valid %v", image, got["registry"], got["valid"])
		}
	}
}

// prepare compiles the libraries and a query in which r is data.lib.reference.
func prepare(t testing.TB, query string) rego.PreparedEvalQuery {
	t.Helper()
	modules, err := regotest.Parse(load(t), ast.RegoV1)
	if err != nil {
		t.Fatal(err)
	}
	compiler := regotest.Compiler(false)
	if compiler.Compile(modules); compiler.Failed() {
		t.Fatal(compiler.Errors)
	}
	prepared, err := rego.New(rego.Compiler(compiler), rego.Query(query),
		rego.ParsedImports([]*ast.Import{{Path: ast.MustParseTerm("data.lib.reference"), Alias: "r"}})).PrepareForEval(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return prepared
}

// TestSchemas checks what the API server will: a typo is an unknown field, a
// wrong value is invalid.
func TestSchemas(t *testing.T) {
	cases := []struct {
		policy, parameters string
		unknown            []string
		invalid            string
	}{
		{"imagescanpolicy", `{scanRules: {autoGenerate: true, defaultPolicy: scan-result, byNamespace: {dev: {defaultPolicy: accept, alwaysReject: []}}}}`, nil, ""},
		{"imagescanpolicy", `{preScanPolicies: {customPolicies: [{prefix: a/, action: scan}]}, scanPolicies: {byNamespace: {dev: {customPolicies: []}}}}`, nil, ""},
		{"imagescanpolicy", `{scanRules: {alwasyAccept: []}}`, []string{"scanRules.alwasyAccept"}, ""},
		{"imagescanpolicy", `{scanRules: {byNamespace: {dev: {byNamespace: {}}}}, typo: 1}`, []string{"scanRules.byNamespace.dev.byNamespace", "typo"}, ""},
		{"imagescanpolicy", `{scanRules: {defaultPolicy: acept}}`, nil, "defaultPolicy"},
		{"imagescanpolicy", `{scanRules: {defaultPolicy: scan}}`, nil, "defaultPolicy"},
		{"imagescanpolicy", `{preScanPolicies: {defaultPolicy: scan-result}}`, nil, "defaultPolicy"},
		{"imagescanpolicy", `{scanPolicies: {customPolicies: [{prefix: a/}]}}`, nil, "action"},
		{"imagescanpolicy", `{scanRules: {alwaysReject: [""]}}`, nil, "alwaysReject"},
		{"imagescanpolicy", `{scanRules: {byNamespace: {dev: {reportPending: x}}}}`, nil, "reportPending"},
		{"imagescanpolicy", `{view: all}`, nil, "view"},
		{"imagescanpolicy", `{preScanPolicies: {autoGenerate: true}, scanPolicies: {autoGenerate: false}}`, nil, ""},
		{"imagescanpolicy", `{preScanPolicies: {autoGenerate: "yes"}}`, nil, "autoGenerate"},
		{"imagescanpolicy", `{scanPolicies: {defaultPolicy: null}}`, nil, "defaultPolicy"},
		{"imagescanpolicy", `{scanPolicies: {customPolicies: [{prefix: a/, action: null}]}}`, nil, "action"},
	}
	for _, c := range cases {
		t.Run(c.policy+" "+c.parameters, func(t *testing.T) {
			unknown, invalid := checkParameters(t, c.policy, c.parameters)
			slices.Sort(unknown)
			if diff := cmp.Diff(c.unknown, unknown); diff != "" {
				t.Error(diff)
			}
			if (c.invalid == "") != (invalid == "") || !strings.Contains(invalid, c.invalid) {
				t.Errorf("errors %q, want %q", invalid, c.invalid)
			}
		})
	}
}

// TestBlanksAreKept has the API server keep what would else be dropped without a
// word, for the policies to refuse.
func TestBlanksAreKept(t *testing.T) {
	for policy, parameters := range map[string][]string{
		"imagescanpolicy": {
			`{help: null}`, `{breakGlass: null}`, `{breakGlass: {users: null}}`,
			`{scanRules: null}`, `{scanRules: {alwaysReject: null}}`, `{scanRules: {byNamespace: null}}`,
			`{scanRules: {byNamespace: {dev: null}}}`, `{scanRules: {byNamespace: {dev: {alwaysAccept: null}}}}`,
			`{scanPolicies: {byNamespace: {dev: {customPolicies: null}}}}`, `{preScanPolicies: {byNamespace: {dev: {customPolicies: null}}}}`,
		},
		"imagevulnerabilities": {
			`{exceptions: null}`, `{minCVEAge: null}`,
			`{exceptions: [{cve: CVE-1, images: [a], expires: "2027-01-31", reason: r, namespaces: null}]}`,
		},
		"imagedigestrequired":  {`{exemptImages: null}`},
		"imageregistryallowed": {`{registries: [], help: null}`},
	} {
		for _, written := range parameters {
			object := plainJSON(t, written)
			defaulting.PruneNonNullableNullsWithoutDefaults(object, structuralParameters(t, policy))
			if diff := cmp.Diff(plainJSON(t, written), object); diff != "" {
				t.Errorf("%s: %s", policy, diff)
			}
			if unknown, invalid := checkParameters(t, policy, written); unknown != nil || invalid != "" {
				t.Errorf("%s %s: unknown %v, invalid %q", policy, written, unknown, invalid)
			}
		}
	}
}

func structuralParameters(t *testing.T, policy string) *schema.Structural {
	t.Helper()
	text, err := templates.Generated(policy)
	if err != nil {
		t.Fatal(err)
	}
	crd, err := newEngine(t, 0).CreateCRD(t.Context(), versionlessTemplate(t, text))
	if err != nil {
		t.Fatal(err)
	}
	parameters := crd.Spec.Validation.OpenAPIV3Schema.Properties["spec"].Properties["parameters"]
	structural, err := schema.NewStructural(&parameters)
	if err != nil {
		t.Fatal(err)
	}
	return structural
}

func checkParameters(t *testing.T, policy, parameters string) (unknown []string, invalid string) {
	t.Helper()
	text, err := templates.Generated(policy)
	if err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, 0)
	crd, err := e.CreateCRD(t.Context(), versionlessTemplate(t, text))
	if err != nil {
		t.Fatal(err)
	}
	parametersSchema := crd.Spec.Validation.OpenAPIV3Schema.Properties["spec"].Properties["parameters"]
	structural, err := schema.NewStructural(&parametersSchema)
	if err != nil {
		t.Fatal(err)
	}
	object := plainJSON(t, parameters)
	validator, _, err := validation.NewSchemaValidator(&parametersSchema)
	if err != nil {
		t.Fatal(err)
	}
	if errs := validation.ValidateCustomResource(nil, object, validator); len(errs) > 0 {
		invalid = errs.ToAggregate().Error()
	}
	unknown = pruning.PruneWithOptions(object, structural, false, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	return unknown, invalid
}

// TestConstraintsFitTheSchemas checks every Constraint of the repository as
// kubectl apply would.
func TestConstraintsFitTheSchemas(t *testing.T) {
	files, err := filepath.Glob("*/samples/*/constraint.yaml")
	if err != nil {
		t.Fatal(err)
	}
	ready, err := filepath.Glob("../constraints/*/constraint.yaml")
	if err != nil || len(files) == 0 || len(ready) < 7 {
		t.Fatal(files, ready, err)
	}
	for _, file := range append(files, ready...) {
		for _, document := range documents(t, file) {
			constraint := plainJSON(t, string(document)).(map[string]any)
			parameters := constraint["spec"].(map[string]any)["parameters"]
			unknown, invalid := checkParameters(t, strings.ToLower(constraint["kind"].(string)), string(mustJSON(t, parameters)))
			if len(unknown) > 0 || invalid != "" {
				t.Errorf("%s: unknown %v, invalid %s", file, unknown, invalid)
			}
		}
	}
}
