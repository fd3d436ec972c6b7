package plugin

import (
	"errors"
	"net/url"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
)

func whatIfCommand(flags *genericclioptions.ConfigFlags) *cobra.Command {
	l := newListing(flags)
	values := map[string]*string{}
	cmd := &cobra.Command{
		Use:   "what-if",
		Short: "List what runs and would be judged otherwise by other rules, or on a day to come",
		Long: `Lists the images that run and would get another verdict if the provider's rules were others,
or on a day to come, when exceptions and graces have ended: what would be rejected first.
Nothing is changed and nothing is scanned for it.

` + asking + `
What runs is known with inventory.enabled.

Exit code 2: there is no answer, or nothing would be judged otherwise and not all is known.`,
		Example: `  kubectl imagegate what-if --threshold Medium --only-fixed yes
  kubectl imagegate what-if --kev deny
  kubectl imagegate what-if --day 2026-12-31 -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{}
			for name, value := range values {
				if *value != "" {
					query.Set(name, *value)
				}
			}
			if len(query) == 0 {
				return errors.New("what would be otherwise? See --help")
			}
			list, err := l.print(cmd, "/what-if", query, []column{
				{"NAMESPACE", "namespace"}, {"WORKLOAD", "workload"}, {"IMAGE", "image"}, {"NOW", "status"},
				{"THEN", "then"}, {"PODS", "pods"}, {"EXCEPTIONS", "needs"}, {"WHY", "message"},
			})
			if err != nil {
				return err
			}
			return list.nothing("nothing is known that would be judged otherwise")
		},
	}
	l.addFlags(cmd)
	for _, f := range []struct{ flag, parameter, usage string }{
		{"threshold", "threshold", "the severity from which on a finding rejects: Critical, High, Medium, Low, Negligible or Unknown"},
		{"only-fixed", "onlyFixed", "whether only findings with a fix count: yes or no"},
		{"kev", "kev", "what is known to be exploited counts for: report or deny"},
		{"min-cve-age", "minCVEAge", "how long a finding does not count after it was published, as 7d"},
		{"min-fix-age", "minFixAge", "how long a finding does not count after its first fix was there, as 7d"},
		{"day", "day", "on which day, as 2026-12-31"},
	} {
		values[f.parameter] = cmd.Flags().String(f.flag, "", f.usage+" (default: as it is)")
	}
	completes(cmd, "only-fixed", "yes", "no")
	completes(cmd, "kev", "report", "deny")
	return cmd
}
