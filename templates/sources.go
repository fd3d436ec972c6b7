// Package templates holds imagegate's policies: Rego sources, the
// ConstraintTemplates generated from them, and the way from a file of a user's
// own rules to a ConstraintTemplate.
//
// A policy is a folder with src.rego (its violation rules), src_test.rego,
// crd.tmpl (the ConstraintTemplate without its code: names, annotations and the
// schema of the parameters, those that policies share from parameters.tmpl) and the
// generated template.yaml. Rego shared by
// several policies is in lib/; a template carries the libraries it imports.
package templates

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"sigs.k8s.io/yaml"
)

//go:embed parameters.tmpl lib/*.rego */src.rego */crd.tmpl */template.yaml
var sources embed.FS

// libPrefix is the package path that Gatekeeper allows for libraries.
var libPrefix = ast.MustParseRef("data.lib")

// ownRulesName is the library that a user's rules become: no source of ours.
const ownRulesName = "rules"

// Policies returns the names of the policies, which are their folders' names.
func Policies() ([]string, error) {
	found, err := fs.Glob(sources, "*/crd.tmpl")
	if err != nil {
		return nil, fmt.Errorf("listing policies: %w", err)
	}
	names := make([]string, 0, len(found))
	for _, file := range found {
		names = append(names, path.Dir(file))
	}
	return names, nil
}

// frame returns a policy's ConstraintTemplate without its code: its crd.tmpl, with
// what it takes from parameters.tmpl in place.
func frame(policy string) ([]byte, error) {
	own, err := sources.ReadFile(policy + "/crd.tmpl")
	if err != nil {
		return nil, fmt.Errorf("policy %s has no crd.tmpl: %w", policy, err)
	}
	shared, err := sources.ReadFile("parameters.tmpl")
	if err != nil {
		return nil, fmt.Errorf("reading the shared parameters: %w", err)
	}
	// Anchors hold within one document.
	template := map[string]any{}
	if err := yaml.UnmarshalStrict(slices.Concat(shared, own), &template); err != nil {
		return nil, fmt.Errorf("reading the crd.tmpl of %s: %w", policy, err)
	}
	delete(template, "shared")
	text, err := yaml.Marshal(template)
	if err != nil {
		return nil, fmt.Errorf("writing the frame of %s: %w", policy, err)
	}
	return text, nil
}

// Generated returns the generated ConstraintTemplate of a policy as YAML.
func Generated(policy string) ([]byte, error) {
	text, err := sources.ReadFile(policy + "/template.yaml")
	if err != nil {
		return nil, fmt.Errorf("no policy %q: %w", policy, err)
	}
	return text, nil
}

// libraries returns the sources of the libraries that the modules import,
// directly or through one another, ordered by name.
func libraries(modules ...*ast.Module) ([]string, error) {
	texts := map[string]string{}
	for len(modules) > 0 {
		module := modules[0]
		modules = modules[1:]
		for _, imported := range module.Imports {
			name, ok := libraryName(imported)
			if !ok || texts[name] != "" || name == ownRulesName {
				continue
			}
			text, parsed, err := library(name)
			if err != nil {
				return nil, fmt.Errorf("importing %s: %w", imported.Path, err)
			}
			texts[name] = text
			modules = append(modules, parsed)
		}
	}
	names := make([]string, 0, len(texts))
	for name := range texts {
		names = append(names, name)
	}
	slices.Sort(names)
	ordered := make([]string, 0, len(names))
	for _, name := range names {
		ordered = append(ordered, texts[name])
	}
	return ordered, nil
}

func libraryName(imported *ast.Import) (string, bool) {
	ref, ok := imported.Path.Value.(ast.Ref)
	if !ok || !ref.HasPrefix(libPrefix) || len(ref) != len(libPrefix)+1 {
		return "", false
	}
	return strings.Trim(ref[len(ref)-1].String(), `"`), true
}

func library(name string) (string, *ast.Module, error) {
	file := "lib/" + name + ".rego"
	text, err := sources.ReadFile(file)
	if err != nil {
		return "", nil, fmt.Errorf("no library %q: %w", name, err)
	}
	module, err := parse(file, string(text), ast.RegoV1)
	if err != nil {
		return "", nil, err
	}
	return string(text), module, nil
}

func parse(file, text string, version ast.RegoVersion) (*ast.Module, error) {
	module, err := ast.ParseModuleWithOpts(file, text, ast.ParserOptions{RegoVersion: version})
	if err != nil {
		return nil, fmt.Errorf("parsing %s: %w", file, err)
	}
	if module == nil {
		return nil, fmt.Errorf("parsing %s: the file holds no rules", file)
	}
	return module, nil
}
