package doc

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
)

//go:embed defs.json
var definitions []byte

//go:embed readme.md
var readme []byte

// tablePlace is where readme.md has the table of values.
const tablePlace = "{{values}}"

// templates are what ConstraintTemplates the chart has with policies.manage: chart.
var templates = []string{"imagedigestrequired", "imageregistryallowed", "imagescanpolicy", "imagevulnerabilities"}

// Generate returns the files of the chart at root/charts/imagegate that are made of
// others, by their names in it.
func Generate(root string) (map[string][]byte, error) {
	chart := filepath.Join(root, "charts", "imagegate")
	text, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		return nil, fmt.Errorf("read the values: %w", err)
	}
	values, err := Values(text)
	if err != nil {
		return nil, err
	}
	schema, err := Schema(values, definitions)
	if err != nil {
		return nil, err
	}
	table, err := Table(values)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{
		"values.schema.json": schema,
		"README.md":          bytes.Replace(readme, []byte(tablePlace), []byte(table), 1),
	}
	for _, name := range templates {
		t, err := os.ReadFile(filepath.Join(root, "templates", name, "template.yaml"))
		if err != nil {
			return nil, fmt.Errorf("read a ConstraintTemplate: %w", err)
		}
		files[filepath.Join("files", "templates", name+".yaml")] = t
	}
	return files, nil
}
