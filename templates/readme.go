package templates

import (
	"bytes"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// readmeIntro is the hand-written part of the README.
//
//go:embed readme.tmpl
var readmeIntro []byte

const readmeNotice = "<!-- Generated from readme.tmpl, parameters.tmpl and the policies' crd.tmpl by go run ./templates/gen: do not edit. -->\n\n"

// Readme builds the README of this folder: the introduction and a page for each
// policy from its template's own annotations and schema.
func Readme() ([]byte, error) {
	policies, err := Policies()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString(readmeNotice)
	out.Write(readmeIntro)
	for _, policy := range policies {
		crd, err := readCRD(policy)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "\n## %s\n\n%s\n\nKind `%s`, in [%s](%s).\n\n| parameter | values | meaning |\n| --- | --- | --- |\n",
			crd.Metadata.Annotations["metadata.gatekeeper.sh/title"], crd.Metadata.Annotations["description"],
			crd.Spec.CRD.Spec.Names.Kind, policy, policy)
		writeParameters(&out, "", crd.Spec.CRD.Spec.Validation.OpenAPIV3Schema)
	}
	return out.Bytes(), nil
}

// crdDocument is what the README takes from a crd.tmpl.
type crdDocument struct {
	Metadata struct {
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		CRD struct {
			Spec struct {
				Names struct {
					Kind string `json:"kind"`
				} `json:"names"`
				Validation struct {
					OpenAPIV3Schema property `json:"openAPIV3Schema"`
				} `json:"validation"`
			} `json:"spec"`
		} `json:"crd"`
	} `json:"spec"`
}

type property struct {
	Type        string              `json:"type"`
	Description string              `json:"description"`
	Enum        []string            `json:"enum"`
	Required    []string            `json:"required"`
	Properties  map[string]property `json:"properties"`
	Items       *property           `json:"items"`
}

func readCRD(policy string) (crdDocument, error) {
	var crd crdDocument
	text, err := frame(policy)
	if err != nil {
		return crd, err
	}
	if err := yaml.Unmarshal(text, &crd); err != nil {
		return crd, fmt.Errorf("reading the crd.tmpl of %s: %w", policy, err)
	}
	return crd, nil
}

// writeParameters writes a row for every property. What byNamespace holds is
// what its section holds, so it has one row.
func writeParameters(out *bytes.Buffer, prefix string, schema property) {
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		child := schema.Properties[name]
		meaning := child.Description
		if slices.Contains(schema.Required, name) {
			meaning = "Required. " + meaning
		}
		fmt.Fprintf(out, "| `%s%s` | %s | %s |\n", prefix, name, values(child), strings.TrimSpace(meaning))
		writeParameters(out, prefix+name+".", child)
		if child.Items != nil {
			writeParameters(out, prefix+name+"[].", *child.Items)
		}
	}
}

func values(p property) string {
	switch {
	case len(p.Enum) > 0:
		return "`" + strings.Join(p.Enum, "`, `") + "`"
	case p.Items != nil && p.Items.Type == "object":
		return "list of objects"
	case p.Items != nil:
		return "list of strings"
	default:
		return p.Type
	}
}
