// Package complete tells shells what may stand behind the flags of a command: one of
// a few words, a file, a directory, or nothing that a shell could know.
package complete

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Values are what flags take, by the flag's name.
type Values struct {
	// Words are the words that there are.
	Words map[string][]string
	// Files are files with one of these extensions; none is any file.
	Files map[string][]string
	// Dirs are directories.
	Dirs []string
}

// Flags completes the flags of cmd that are there. After all others a shell offers
// nothing, where it would else offer files.
func Flags(cmd *cobra.Command, v Values) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Value.Type() == "bool" {
			return
		}
		complete := cobra.NoFileCompletions
		if words, ok := v.Words[f.Name]; ok {
			complete = cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
		}
		if extensions, ok := v.Files[f.Name]; ok {
			complete = Files(extensions...)
		}
		for _, dir := range v.Dirs {
			if dir == f.Name {
				complete = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)
			}
		}
		if err := cmd.RegisterFlagCompletionFunc(f.Name, complete); err != nil {
			panic(err) // the flag is there, and has no other
		}
	})
}

// Files completes files with one of the extensions; none is any file.
func Files(extensions ...string) cobra.CompletionFunc {
	if len(extensions) == 0 {
		return cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)
	}
	return cobra.FixedCompletions(extensions, cobra.ShellCompDirectiveFilterFileExt)
}
