package review

import (
	"fmt"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/imagegate/imagegate/provider/exit"
	"github.com/imagegate/imagegate/provider/strict"
)

const long = `Judges manifests as a cluster with Gatekeeper would, without a cluster.

A manifest is judged as a request to create it; workloads are expanded by the
ExpansionTemplates among the given files. AdmissionReviews and AdmissionRequests are
judged as they are.

Reports come from a file, from a running provider, or from scans made now. In the
last case the scanner starts when a rule first asks for a report.

Exit codes: 0 all allowed, 1 something denied or a suite failed, 2 error.`

const examples = `  # What would the cluster say, if the reports were these?
  provider review --templates templates/ --constraints constraints/accepted-only \
    --file pod.yaml --reports reports.yaml

  # Scan the images now, and show what the rules see.
  provider review --templates templates/ --constraints my.yaml --file deploy.yaml --explain

  # Run all suites below a directory.
  provider review --suite templates/...`

// Command returns `provider review`. live is used when neither --reports nor
// --provider-url is given; it may be nil. The command returns an *exit.Error for
// every exit code but 0.
func Command(live Live) *cobra.Command {
	o := Options{Live: live}
	cmd := &cobra.Command{
		Use:           "review",
		Short:         "Judge manifests by ConstraintTemplates and Constraints without a cluster",
		Long:          long,
		Example:       examples,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Gatekeeper's packages log through controller-runtime, which
			// complains at length where nobody listens.
			logf.SetLogger(logr.Discard())
			o.Stdin = cmd.InOrStdin()
			code, err := Run(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
			if code == CodeAllowed && err == nil {
				return nil
			}
			return &exit.Error{Code: code, Err: err}
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return &exit.Error{Code: CodeError, Err: strict.FlagError(cmd.Flags(), err)}
	})
	addFlags(cmd, &o)
	return cmd
}

// noArguments catches what a shell makes of `--templates a b`.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return &exit.Error{Code: CodeError, Err: usageError(fmt.Sprintf("unexpected argument %q: repeat the flag for each file, or separate files by commas", args[0]))}
}

func addFlags(cmd *cobra.Command, o *Options) {
	f := cmd.Flags()
	f.StringSliceVar(&o.Templates, "templates", nil, "files or directories with ConstraintTemplates (repeatable)")
	f.StringSliceVar(&o.Constraints, "constraints", nil, "files or directories with Constraints (repeatable)")
	f.StringSliceVarP(&o.Files, "file", "f", nil, "objects to judge, - for standard input (repeatable)")
	f.StringSliceVar(&o.NamespaceObjects, "namespace-object", nil, "Namespace of the objects, for rules that read its labels (repeatable)")
	f.StringSliceVar(&o.Inventory, "inventory", nil, "files or directories with the objects of data.inventory (repeatable)")
	f.StringVarP(&o.Namespace, "namespace", "n", "", "namespace of objects that name none (default: that of --namespace-object, or \"default\")")
	f.StringVar(&o.User, "as", "", "user who creates the objects")
	f.StringSliceVar(&o.Groups, "as-group", nil, "group of that user (repeatable)")
	f.StringVar(&o.EnforcementPoint, "enforcement-point", "", "whose scoped enforcement actions apply (default \"validation.gatekeeper.sh\")")
	f.StringVar(&o.Reports, "reports", "", "file with a list of ScanReports to judge by")
	f.StringVar(&o.Remote.URL, "provider-url", "", "address of a running provider to ask, https://host:port")
	f.StringVar(&o.Remote.CAFile, "provider-ca", "", "CA certificates of that provider (default: the system's)")
	f.StringVar(&o.Remote.CertFile, "provider-client-cert", "", "client certificate for that provider")
	f.StringVar(&o.Remote.KeyFile, "provider-client-key", "", "key of the client certificate")
	f.DurationVar(&o.Wait, "wait", defaultWait, "how long to wait for scans that are pending; 0 judges them as pending")
	f.StringVarP(&o.Output, "output", "o", outputText, "text or json")
	f.BoolVar(&o.Explain, "explain", false, "print the input document of deny_image for each container")
	f.StringVar(&o.Suite, "suite", "", "run the gator suites of a file or directory; DIR/... for all below it")
	f.StringVar(&o.Filter, "run", "", "with --suite: run the tests and cases that match, as in gator verify")
	f.BoolVarP(&o.Verbose, "verbose", "v", false, "with --suite: print every test and case")
}
