package review

import (
	"fmt"
	"regexp"
	"strings"

	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
)

var (
	unfit    = regexp.MustCompile(`\[\]\.(spec\.\S+): Invalid value: `)
	elements = regexp.MustCompile(`\[\d+\]`)
)

// explained adds to what a schema says of a value what its author says of the field:
// of a value that does not fit a pattern a schema shows the pattern, and no sentence.
func explained(err error, schema *structural.Structural) error {
	text := err.Error()
	found := unfit.FindStringSubmatch(text)
	if found == nil || !strings.Contains(text, "should match") {
		return err
	}
	if meant := description(schema, strings.Split(elements.ReplaceAllString(found[1], ".[]"), ".")); meant != "" {
		return fmt.Errorf("%w (%s)", err, meant)
	}
	return err
}

// description is that of the field, else of the nearest list or object around it.
func description(at *structural.Structural, path []string) string {
	text := ""
	for _, name := range path {
		property, known := at.Properties[name]
		switch {
		case name == "[]":
			at = at.Items
		case known:
			at = &property
		case at.AdditionalProperties != nil:
			at = at.AdditionalProperties.Structural
		default:
			return text
		}
		if at == nil {
			return text
		}
		if at.Description != "" {
			text = at.Description
		}
	}
	return text
}
