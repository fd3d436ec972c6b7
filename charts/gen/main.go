// Command gen writes the files of the chart that are made of others: README.md and
// values.schema.json of values.yaml, and the ConstraintTemplates of templates/.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/imagegate/imagegate/charts/doc"
)

func main() {
	if err := run(".."); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	files, err := doc.Generate(root)
	if err != nil {
		return err
	}
	for name, content := range files {
		path := filepath.Join(root, "charts", "imagegate", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
