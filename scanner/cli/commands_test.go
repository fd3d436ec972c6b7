package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// updateVar is the environment variable with which the page is written.
const updateVar = "UPDATE_COMMANDS"

// The page of the commands has what their help has.
func TestCommandsAreDocumented(t *testing.T) {
	// Else a default would be this machine's.
	t.Setenv("HOME", "/home/you")
	t.Setenv("XDG_CACHE_HOME", "/home/you/.cache")
	t.Setenv("IMAGEGATE_DATA_DIR", "")
	root, page := New(), filepath.Join("..", "COMMANDS.md")
	root.DisableAutoGenTag = true
	root.InitDefaultCompletionCmd()
	root.InitDefaultVersionFlag()
	var want bytes.Buffer
	want.WriteString("# The commands of `" + root.Name() + "`\n\nWritten by `make commands` from what `--help` prints.\n\n")
	if err := writeCommand(&want, root); err != nil {
		t.Fatal(err)
	}
	if os.Getenv(updateVar) != "" {
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

// writeCommand writes cmd and what is below it.
func writeCommand(w *bytes.Buffer, cmd *cobra.Command) error {
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
		if err := writeCommand(w, c); err != nil {
			return err
		}
	}
	return nil
}

func TestCompletion(t *testing.T) {
	for line, want := range map[string]string{"serve --log-level": "debug", "serve --cache-dir": ":16", "db import --log-format": "json", "serve --workers": ":4"} {
		out, err := run(t, append([]string{"__complete"}, append(strings.Fields(line), "")...)...)
		if err != nil || !strings.Contains(out, want+"\n") {
			t.Errorf("%s: %v, %s", line, err, out)
		}
	}
}
