package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/imagegate/imagegate/provider/doctor"
	"github.com/imagegate/imagegate/provider/exit"
	"github.com/imagegate/imagegate/provider/install/finding"
	"github.com/imagegate/imagegate/provider/strict"
)

// unsound is the exit code of an installation that does not enforce.
const unsound = 1

// What ages is too old from here on, as in the chart's alerts.
const (
	databaseAge       = 120 * time.Hour
	certificateExpiry = 72 * time.Hour
)

func doctorCommand() *cobra.Command {
	o := doctor.Options{Now: time.Now, Limits: doctor.Limits{Database: databaseAge, Certificate: certificateExpiry}}
	output, timeout := "table", time.Minute
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what keeps an installation from enforcing",
		Long: `Look at an installation from outside, by a kubeconfig, and say what keeps it from
enforcing or soon will: webhooks that fail open, that are not waited for or not
called, a Provider object, CA bundle, Constraint or namespace that is not as it
should be, replicas and what they say of their vulnerability data. Each finding
has the command that mends it. Nothing is changed.

What may not be read is a finding too, could_not_look, with the right that lacks.

Exit code 0 says that nothing is wrong, or warnings only, 1 that there are errors,
2 that it could not look, at all or at something.`,
		Example: `  provider doctor
  provider doctor --context production -n imagegate-system -o json`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := strict.OneOf(output, "table", "json"); err != nil {
			return fmt.Errorf("--output: %w", err)
		}
		for _, given := range []struct {
			flag string
			time time.Duration
		}{{"--database-age", o.Limits.Database}, {"--certificate-expiry", o.Limits.Certificate}, {"--timeout", timeout}} {
			if given.time <= 0 {
				return fmt.Errorf("%s: must be greater than zero", given.flag)
			}
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
		defer cancel()
		d, err := doctor.Look(ctx, o)
		if err != nil {
			return err
		}
		print := d.Table
		if output == "json" {
			print = d.JSON
		}
		if err := print(cmd.OutOrStdout()); err != nil {
			return err
		}
		switch {
		case d.Count(finding.Error) > 0:
			return &exit.Error{Code: unsound}
		case d.Count(finding.Unknown) > 0:
			return errors.New("not all could be looked at")
		}
		return nil
	}
	fs := cmd.Flags()
	fs.StringVar(&o.Kubeconfig, "kubeconfig", "", "kubeconfig of the cluster (default: KUBECONFIG, then ~/.kube/config)")
	fs.StringVar(&o.Context, "context", "", "context of it (default: the current one)")
	fs.StringVarP(&o.Namespace, "namespace", "n", "", "namespace of the installation (default: it is looked for in all)")
	fs.StringVar(&o.Release, "release", "", "name of its release, where a namespace has several")
	fs.StringSliceVar(&o.Exempt, "exempt", nil, "namespaces that are not judged on purpose, beside those that the policies exempt; a * may stand at either end")
	fs.DurationVar(&o.Limits.Database, "database-age", o.Limits.Database, "how old vulnerability data may be")
	fs.DurationVar(&o.Limits.Certificate, "certificate-expiry", o.Limits.Certificate, "how long a certificate must have left; one that lives short and is our own: a tenth of its life")
	fs.StringVarP(&output, "output", "o", output, "table or json")
	fs.DurationVar(&timeout, "timeout", timeout, "how long looking may take")
	return cmd
}
