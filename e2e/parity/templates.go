package parity

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Templates finds the repository's templates and makes those of the table, and
// returns the latter's manifests.
func (r *Review) Templates(ctx context.Context, own []Template) (made []string, err error) {
	r.templates = map[string]string{}
	library, err := filepath.Glob(filepath.Join(r.Root, "templates", "*", "template.yaml"))
	if err != nil {
		return nil, fmt.Errorf("find the templates: %w", err)
	}
	for _, path := range library {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the templates: %w", err)
		}
		var template unstructured.Unstructured
		if err := yaml.Unmarshal(data, &template.Object); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		kind, _, err := unstructured.NestedString(template.Object, "spec", "crd", "spec", "names", "kind")
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		r.templates[kind] = path
	}
	for _, t := range own {
		manifest, err := r.make(ctx, t)
		if err != nil {
			return nil, err
		}
		path := filepath.Join(r.Dir, "templates", t.Kind+".yaml")
		if err := writeFile(path, manifest); err != nil {
			return nil, err
		}
		r.templates[t.Kind] = path
		made = append(made, string(manifest))
	}
	return made, nil
}

// make runs `provider template`.
func (r *Review) make(ctx context.Context, t Template) ([]byte, error) {
	args := []string{"template", "--kind=" + t.Kind, "--rules=-"}
	if t.ScanRules {
		args = append(args, "--scan-rules")
	}
	rules := t.Source
	if t.Rules != "" {
		data, err := os.ReadFile(filepath.Join(r.Root, t.Rules))
		if err != nil {
			return nil, fmt.Errorf("read the rules of %s: %w", t.Kind, err)
		}
		rules = string(data)
	}
	cmd := exec.CommandContext(ctx, r.Provider, args...)
	cmd.Stdin = strings.NewReader(rules)
	var errs strings.Builder
	cmd.Stderr = &errs
	manifest, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("provider template --kind=%s: %w: %s", t.Kind, err, errs.String())
	}
	return manifest, nil
}

// Expansions writes the repository's ExpansionTemplates as kubectl kustomize
// prints them, and returns them by Case.Expansion.
func (r *Review) Expansions(ctx context.Context, kubectl string) (map[string]string, error) {
	r.expansions = map[string]string{}
	manifests := map[string]string{}
	for mode, folder := range map[string]string{"deny": "expansion", "warn": "expansion-warn"} {
		cmd := exec.CommandContext(ctx, kubectl, "kustomize", filepath.Join(r.Root, "templates", folder))
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("kubectl kustomize templates/%s: %w", folder, err)
		}
		r.expansions[mode] = filepath.Join(r.Dir, "templates", folder+".yaml")
		if err := writeFile(r.expansions[mode], out); err != nil {
			return nil, err
		}
		manifests[mode] = string(out)
	}
	return manifests, nil
}

func writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}
