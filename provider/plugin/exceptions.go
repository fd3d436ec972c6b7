package plugin

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/imagegate/imagegate/provider/verdict"
)

func exceptionsCommand(flags *genericclioptions.ConfigFlags) *cobra.Command {
	l := newListing(flags)
	state := filter{name: "state", allowed: []string{verdict.Expired, verdict.Expiring, verdict.Active, "unused"}}
	cmd := &cobra.Command{
		Use:   "exceptions",
		Short: "List the exceptions in force, those first that end first",
		Long: `Lists the exceptions of the provider's file (verdict.exceptionsFile), those first that end
first, and for how many images each is used. "expiring" are those that end within 14 days;
"unused" is what no image that was asked for since the provider has started has needed.

` + asking,
		Example: `  kubectl imagegate exceptions
  kubectl imagegate exceptions --state expiring -o yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query, err := state.query()
			if err != nil {
				return err
			}
			_, err = l.print(cmd, "/exceptions", query, []column{
				{"VULNERABILITY", "vulnerability"}, {"STATE", "state"}, {"UNTIL", "until"}, {"USED", "used"}, {"IMAGES", "images"}, {"NAMESPACES", "namespaces"}, {"REASON", "reason"},
			})
			return err
		},
	}
	l.addFlags(cmd)
	state.addFlag(cmd, "only these")
	return cmd
}

func exceptCommand() *cobra.Command {
	e := verdict.Entry{}
	cmd := &cobra.Command{
		Use:   "except VULNERABILITY --image IMAGE --reason TEXT",
		Short: "Print an exception, to send by Git",
		Long: `Prints an entry of the provider's file of exceptions (verdict.exceptionsFile), which it checks
as the provider would. It asks nobody and changes nothing: whoever answers for that file has
to take it in. An exception is for one vulnerability, for images by name, prefix or digest,
and ends: after two weeks where --until says nothing else.`,
		Example: `  kubectl imagegate except CVE-2026-1234 --image registry.example.com/shop --package openssl \
    --until 2026-12-31 --reason "not reachable, see SEC-12"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			e.CVE = args[0]
			if e.Expires == "" {
				e.Expires = verdict.ProposedEnd(time.Now())
			}
			text, err := verdict.WriteExceptions([]verdict.Entry{e})
			if err != nil {
				return fmt.Errorf("the exception: %w", err)
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&e.Images, "image", nil, "the image, as exceptions name it (repeat for several)")
	f.StringArrayVar(&e.Namespaces, "in-namespace", nil, "only for Pods of this namespace (repeat for several; default: all)")
	f.StringArrayVar(&e.Packages, "package", nil, "only in this package (repeat for several; default: all)")
	f.StringVar(&e.Expires, "until", "", "the day through which it holds, or a time in RFC 3339 (default: in two weeks)")
	f.StringVar(&e.Reason, "reason", "", "why, in one line")
	for _, name := range []string{"image", "reason"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is there
		}
	}
	return cmd
}
