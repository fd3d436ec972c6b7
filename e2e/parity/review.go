package parity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Review judges cases with `provider review`.
type Review struct {
	Provider string // path of the program
	Root     string // of the repository
	Dir      string // for the files of each case
	StandIn  *StandIn
	// Certificates is a folder with tls.crt, tls.key and ca.crt for cases whose
	// answers no reports file can express: they are asked of the stand-in.
	Certificates string

	templates map[string]string // path of the template of each kind
	// expansions is the ExpansionTemplates' file for each Case.Expansion.
	expansions map[string]string
}

// AsksStandIn tells whether judging the case asks the stand-in, which then must
// not be asked by somebody else about the same case.
func (r *Review) AsksStandIn(c Case) bool { return c.Answers != nil }

// Judge runs the case and reads its verdict off the JSON output.
func (r *Review) Judge(ctx context.Context, c Case) (Verdict, error) {
	args, err := r.args(c)
	if err != nil {
		return Verdict{}, err
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, r.Provider, append([]string{"review", "--output=json"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return Verdict{}, fmt.Errorf("run provider review: %w", err)
	}
	if exit != nil && exit.ExitCode() == 2 {
		if c.Refused != "" {
			return Verdict{Refused: errs.String()}, nil
		}
		return Verdict{}, fmt.Errorf("provider review: %s", errs.String())
	}
	v, err := readResults(out.Bytes())
	if err == nil && v.Allowed() != (exit == nil) {
		err = fmt.Errorf("provider review ended with exit code %d and said: %s", cmd.ProcessState.ExitCode(), v)
	}
	return v, err
}

func readResults(data []byte) (Verdict, error) {
	var answer struct {
		Results []struct {
			Allowed    bool `json:"allowed"`
			Violations []struct {
				Constraint        string `json:"constraint"`
				EnforcementAction string `json:"enforcementAction"`
				Message           string `json:"msg"`
			} `json:"violations"`
			Scanned []string `json:"scanned"`
		} `json:"results"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return Verdict{}, fmt.Errorf("read the output of provider review: %w: %s", err, data)
	}
	if len(answer.Results) != 1 {
		return Verdict{}, fmt.Errorf("provider review printed %d results", len(answer.Results))
	}
	result := answer.Results[0]
	v := Verdict{Scanned: result.Scanned}
	for _, x := range result.Violations {
		_, name, _ := strings.Cut(x.Constraint, "/")
		v.Violations = append(v.Violations, Violation{name, x.EnforcementAction, withoutImplied(x.Message)})
	}
	v.sort()
	if result.Allowed != v.Allowed() {
		return v, fmt.Errorf("provider review says allowed: %v of %s", result.Allowed, v)
	}
	return v, nil
}

// withoutImplied drops what Gatekeeper puts before the message of a Pod that an
// ExpansionTemplate made.
func withoutImplied(message string) string {
	if rest, found := strings.CutPrefix(message, "[Implied by "); found {
		if _, after, ok := strings.Cut(rest, "] "); ok {
			return after
		}
	}
	return message
}

// args writes the case's files and returns the command's arguments.
func (r *Review) args(c Case) ([]string, error) {
	dir := filepath.Join(r.Dir, c.Name)
	var constraints []any
	args := []string{"--namespace=" + c.Namespace}
	kinds := map[string]bool{}
	for _, k := range c.constraints() {
		constraints = append(constraints, k)
		kind, _ := k["kind"].(string)
		if kinds[kind] {
			continue
		}
		kinds[kind] = true
		template, ok := r.templates[kind]
		if !ok {
			return nil, fmt.Errorf("no template makes kind %s", kind)
		}
		args = append(args, "--templates="+template)
	}
	if c.Expansion != "" {
		args = append(args, "--templates="+r.expansions[c.Expansion])
	}
	if c.As != "" {
		args = append(args, "--as="+c.As)
	}
	for _, g := range c.Groups {
		args = append(args, "--as-group="+g)
	}
	object, err := c.reviewed()
	if err != nil {
		return nil, err
	}
	files := []struct {
		flag, name string
		docs       []any
	}{
		{"--constraints", "constraints.yaml", constraints},
		{"--file", "object.yaml", []any{object}},
		{"--namespace-object", "namespace.yaml", []any{c.namespaceObject()}},
	}
	if c.Answers == nil {
		reports := map[string]any{"reports": c.Reports, "systemError": c.SystemError}
		if c.Reports == nil {
			reports["reports"] = []any{}
		}
		files = append(files, struct {
			flag, name string
			docs       []any
		}{"--reports", "reports.yaml", []any{reports}})
	} else {
		args = append(args, "--provider-url="+r.StandIn.URL, "--wait=0s", "--provider-ca="+r.Certificates+"/ca.crt",
			"--provider-client-cert="+r.Certificates+"/tls.crt", "--provider-client-key="+r.Certificates+"/tls.key")
	}
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if err := writeDocs(path, f.docs); err != nil {
			return nil, err
		}
		args = append(args, f.flag+"="+path)
	}
	return args, nil
}

// reviewed is the manifest or, where a manifest cannot say it, the admission
// request.
func (c Case) reviewed() (map[string]any, error) {
	object := &unstructured.Unstructured{Object: c.object()}
	if c.Old == nil {
		return object.Object, nil
	}
	object = object.DeepCopy()
	object.SetNamespace(c.Namespace)
	old := (&unstructured.Unstructured{Object: c.Old}).DeepCopy()
	old.SetNamespace(c.Namespace)
	gvk := object.GroupVersionKind()
	gvr, err := resource(object)
	if err != nil {
		return nil, err
	}
	user := map[string]any{"username": c.As}
	if c.Groups != nil {
		groups := make([]any, len(c.Groups))
		for i, g := range c.Groups {
			groups[i] = g
		}
		user["groups"] = groups
	}
	return map[string]any{
		"apiVersion": "admission.k8s.io/v1",
		"kind":       "AdmissionReview",
		"request": map[string]any{
			"uid":         "705ab4f5-6393-11e8-b7cc-42010a800002",
			"kind":        map[string]any{"group": gvk.Group, "version": gvk.Version, "kind": gvk.Kind},
			"resource":    map[string]any{"group": gvr.Group, "version": gvr.Version, "resource": gvr.Resource},
			"subResource": c.SubResource,
			"name":        object.GetName(),
			"namespace":   c.Namespace,
			"operation":   "UPDATE",
			"userInfo":    user,
			"object":      object.Object,
			"oldObject":   old.Object,
		},
	}, nil
}

func writeDocs(path string, docs []any) error {
	var b bytes.Buffer
	for _, d := range docs {
		doc, err := yaml.Marshal(d)
		if err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		fmt.Fprintf(&b, "---\n%s", doc)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o600)
}
