// Package manualtest holds the page of a program's commands to the commands.
package manualtest

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// Update is the environment variable with which Check writes the page.
const Update = "UPDATE_COMMANDS"

// Check fails the test unless the page has what the commands' help has.
func Check(t testing.TB, root *cobra.Command, page string) {
	t.Helper()
	// Else a default would be this machine's.
	t.Setenv("HOME", "/home/you")
	t.Setenv("XDG_CACHE_HOME", "/home/you/.cache")
	root.DisableAutoGenTag = true
	root.InitDefaultCompletionCmd()
	root.InitDefaultVersionFlag()
	var want bytes.Buffer
	want.WriteString("# The commands of `" + root.Name() + "`\n\nWritten by `make commands` from what `--help` prints.\n\n")
	if err := write(&want, root); err != nil {
		t.Fatal(err)
	}
	if os.Getenv(Update) != "" {
		if err := os.WriteFile(page, want.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not what the commands say: run make commands", page)
	}
}

// write writes cmd and what is below it.
func write(w *bytes.Buffer, cmd *cobra.Command) error {
	link := func(file string) string {
		return "#" + strings.ReplaceAll(strings.TrimSuffix(file, ".md"), "_", "-")
	}
	if err := doc.GenMarkdownCustom(cmd, w, link); err != nil {
		return err
	}
	for _, c := range cmd.Commands() {
		if !c.IsAvailableCommand() || c.IsAdditionalHelpTopicCommand() {
			continue
		}
		if err := write(w, c); err != nil {
			return err
		}
	}
	return nil
}
