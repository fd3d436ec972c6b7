package plugin

import (
	"net/url"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/imagegate/imagegate/provider/exit"
	"github.com/imagegate/imagegate/provider/report"
)

func getCommand(flags *genericclioptions.ConfigFlags) *cobra.Command {
	l, all := newListing(flags), false
	status := filter{name: "status", allowed: []string{string(report.Rejected), string(report.ScanFailed), string(report.NotAvailable), string(report.Accepted), "unknown"}}
	cmd := &cobra.Command{
		Use:   "get",
		Short: "List what runs, with the verdict that it would get now",
		Long: `Lists the images that run in a namespace, or in all, with what a Pod of that namespace would
be told of them now: worst first. Nothing that runs is stopped.

` + asking + `
What runs is known with inventory.enabled.

Exit code 2: there is no answer, or nothing is known to run and that is not all.`,
		Example: `  kubectl imagegate get -n shop
  kubectl imagegate get -A --status rejected -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query, err := status.query()
			if err != nil {
				return err
			}
			if !all {
				namespace, _, err := flags.ToRawKubeConfigLoader().Namespace()
				if err != nil {
					return err
				}
				query.Set("namespace", namespace)
			}
			list, err := l.print(cmd, "/running", query, running("WHY", "message"))
			if err != nil {
				return err
			}
			return list.nothing("nothing like that is known to run")
		},
	}
	l.addFlags(cmd)
	cmd.Flags().BoolVarP(&all, "all-namespaces", "A", false, "of all namespaces")
	status.addFlag(cmd, "only what has this verdict")
	return cmd
}

// running are the columns of what runs, and one more.
func running(head, key string) []column {
	return []column{
		{"NAMESPACE", "namespace"}, {"WORKLOAD", "workload"}, {"IMAGE", "image"}, {"VERDICT", "status"},
		{"PODS", "pods"}, {"AGE", "since"}, {head, key},
	}
}

func affectedCommand(flags *genericclioptions.ConfigFlags) *cobra.Command {
	l := newListing(flags)
	cmd := &cobra.Command{
		Use:   "affected VULNERABILITY | pkg:PACKAGE",
		Short: "List the workloads that run a vulnerability, or a package with findings",
		Long: `Lists the workloads of all namespaces that run an image in which a vulnerability was found, by
any of its names, or anything in a package. A package is named as reports name it, or by a
package URL, whose version is left out. What is suppressed by an exception or VEX is marked.

` + asking + `
What runs is known with inventory.enabled.

Exit code 0: it is known that none does; 1: there are some; 2: there is no answer, or none
is known and that is not all.`,
		Example: `  kubectl imagegate affected CVE-2021-44228
  kubectl imagegate affected pkg:golang/golang.org/x/text -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			query, err := finding(args[0])
			if err != nil {
				return err
			}
			list, err := l.print(cmd, "/running", query, running("FOUND", "found"))
			if err != nil {
				return err
			}
			if list.Total > 0 {
				return &exit.Error{Code: deniedCode}
			}
			return list.nothing("no workload is known to run it")
		},
	}
	l.addFlags(cmd)
	return cmd
}

// finding is what is asked for: a vulnerability, or a package.
func finding(name string) (url.Values, error) {
	if !isPackage(name) {
		return url.Values{"vulnerability": {name}}, nil
	}
	p, err := packageOf(name)
	return url.Values{"package": {p}}, err
}
