// Command gen writes the generated files of the templates folder, which is its
// only argument (default templates).
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/imagegate/imagegate/templates"
)

func main() {
	folder := "templates"
	if len(os.Args) > 1 {
		folder = os.Args[1]
	}
	if err := run(folder); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(folder string) error {
	policies, err := templates.Policies()
	if err != nil {
		return err
	}
	for _, policy := range policies {
		text, err := templates.Generate(policy)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, policy, "template.yaml"), text, 0o644); err != nil {
			return fmt.Errorf("writing the template of %s: %w", policy, err)
		}
	}
	return nil
}
