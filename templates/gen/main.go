// Command gen formats the Rego of the templates folder, its only argument
// (default templates), and writes the files generated from it.
//
// It embeds the sources, so what it generates is what was there when it was
// built: formatting comes first and asks for a second run where it changed any.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"

	"github.com/imagegate/imagegate/templates"
)

// readable is the mode of a file that is part of the sources.
const readable = 0o644

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
	changed, err := formatAll(folder)
	if err != nil {
		return err
	}
	if changed {
		return errors.New("formatted some Rego: run again to generate from it")
	}
	generated, err := templates.GenerateAll()
	if err != nil {
		return err
	}
	for name, text := range generated {
		if err := os.WriteFile(filepath.Join(folder, name), text, readable); err != nil {
			return fmt.Errorf("writing a generated file: %w", err)
		}
	}
	return nil
}

func formatAll(folder string) (bool, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*/*.rego"))
	if err != nil {
		return false, fmt.Errorf("listing Rego: %w", err)
	}
	changed := false
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return changed, fmt.Errorf("reading Rego: %w", err)
		}
		formatted, err := format.SourceWithOpts(file, text, format.Opts{RegoVersion: ast.RegoV1})
		if err != nil {
			return changed, fmt.Errorf("formatting %s: %w", file, err)
		}
		if bytes.Equal(text, formatted) {
			continue
		}
		changed = true
		if err := os.WriteFile(file, formatted, readable); err != nil {
			return changed, fmt.Errorf("writing formatted Rego: %w", err)
		}
	}
	return changed, nil
}
