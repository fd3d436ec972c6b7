package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/imagegate/imagegate/templates"
)

// maxRules bounds a rules file, far above what the API server would store.
const maxRules = 1 << 20

func templateCommand() *cobra.Command {
	var rules string
	var o templates.CustomOptions
	cmd := &cobra.Command{
		Use:   "template --rules FILE --kind KIND",
		Short: "Turn a file of Rego rules into a ConstraintTemplate",
		Long: `Turn rules allow_pod, deny_pod[msg] and deny_image[msg] into a ConstraintTemplate
that asks the provider for the ScanReports, and print the template.

allow_pod and deny_pod are evaluated first. Their input has AdmissionRequest and
PodObject. Then deny_image is evaluated for each image of the Pod. Its input has
ScanReport, AdmissionRequest, PodObject and ContainerObject.

The rules may be Rego v0 or v1. A rule that does not compile is an error that names the
line. So is a rule that can never do what it is written for: one that reads a field which
input does not have, for example.`,
		Example: "  provider template --rules custom.rego --kind MyRules | kubectl apply -f -",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := readRules(rules, cmd.InOrStdin())
			if err != nil {
				return err
			}
			if rules != "-" {
				o.File = rules
			}
			out, err := templates.Custom(text, o)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(out)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&rules, "rules", "", "file with the rules, - for standard input")
	f.StringVar(&o.Kind, "kind", "", "kind of the Constraints, such as MyRules")
	f.StringVar(&o.RegoVersion, "rego-version", "auto", "language version of the rules: auto, v0 or v1")
	f.BoolVar(&o.ScanRules, "scan-rules", false, "append the rules to the image scan policy, whose parameters the Constraint then sets")
	for _, name := range []string{"rules", "kind"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is declared above
		}
	}
	return cmd
}

func readRules(path string, stdin io.Reader) ([]byte, error) {
	in := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("reading the rules: %w", err)
		}
		defer func() { _ = f.Close() }() // only read
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxRules+1))
	if err != nil {
		return nil, fmt.Errorf("reading the rules: %w", err)
	}
	if len(text) > maxRules {
		return nil, fmt.Errorf("the rules are over %d bytes", maxRules)
	}
	return text, nil
}
