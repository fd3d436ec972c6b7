package plugin

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// output is the flag -o of commands that print text, JSON or YAML.
type output struct{ format string }

func (o *output) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.format, "output", "o", "", "json or yaml (default: text)")
	completes(cmd, "output", "json", "yaml")
}

// completes has the shell complete a flag's values.
func completes(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag is there, and has no other
	}
}

func (o *output) check() error {
	switch o.format {
	case "", "json", "yaml":
		return nil
	}
	return fmt.Errorf("-o %s: must be json or yaml, or left out", o.format)
}

func (o *output) print(w io.Writer, v any, text func(io.Writer) error) error {
	var b []byte
	var err error
	switch o.format {
	case "json":
		b, err = json.MarshalIndent(v, "", "  ")
		b = append(b, '\n')
	case "yaml":
		b, err = yaml.Marshal(v)
	default:
		return text(w)
	}
	if err != nil {
		return fmt.Errorf("writing the output: %w", err)
	}
	_, err = w.Write(b)
	return err
}
