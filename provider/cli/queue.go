package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/provider/admin"
	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/exit"
	"github.com/imagegate/imagegate/provider/report"
)

// queueUndone is the exit code when some of what was chosen could not be done.
const queueUndone = 1

func queueCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "queue",
		Short: "Look into the scan queue and mend it",
		Long: `Look into the scan queue and mend it, through the provider that serves with the
same data folder. Any replica knows the whole queue. In a cluster:

  kubectl exec -n NAMESPACE POD -- provider queue list`,
	}
	cmd.AddCommand(queueListCommand(), queueShowCommand(), queueRetryCommand(), queuePurgeCommand())
	return cmd
}

// queueFlags are those of all its commands.
type queueFlags struct {
	output   string
	selector admin.Selector
}

// queueAction does a command's work and returns the exit code.
type queueAction func(cmd *cobra.Command, client *admin.Client, f *queueFlags) error

// queueSubcommand adds what all have to a command.
func queueSubcommand(cmd *cobra.Command, do queueAction) (*cobra.Command, *queueFlags) {
	f := &queueFlags{}
	config.AddFileFlag(cmd.Flags())
	config.AddDataDirFlag(cmd.Flags())
	cmd.Flags().StringVarP(&f.output, "output", "o", "table", "table, json or yaml")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !slices.Contains([]string{"table", "json", "yaml"}, f.output) {
			return fmt.Errorf("--output %q is not table, json or yaml", f.output)
		}
		f.selector.IDs = args
		c, err := config.LoadUnchecked(cmd.Flags(), os.LookupEnv)
		if err != nil {
			return err
		}
		dir, err := dataDir(&c)
		if err != nil {
			return err
		}
		return do(cmd, admin.NewClient(dir), f)
	}
	return cmd, f
}

func addFilters(cmd *cobra.Command, f *queueFlags, failed bool) {
	cmd.Flags().StringVar(&f.selector.Namespace, "namespace", "", "only those of this namespace")
	cmd.Flags().StringVar(&f.selector.Image, "image", "", "only those of this registry, repository and what is below it, image or digest")
	if failed {
		cmd.Flags().BoolVar(&f.selector.Failed, "failed", false, "only those that failed")
	}
}

func queueListCommand() *cobra.Command {
	cmd, f := queueSubcommand(&cobra.Command{
		Use:   "list",
		Short: "List scans that wait, are under way or failed",
		Args:  cobra.NoArgs,
	}, func(cmd *cobra.Command, client *admin.Client, f *queueFlags) error {
		l, err := client.List(cmd.Context(), f.selector)
		if err != nil {
			return err
		}
		if f.output != "table" {
			return printObject(cmd.OutOrStdout(), l, f.output)
		}
		return printQueue(cmd.OutOrStdout(), l, time.Now())
	})
	addFilters(cmd, f, true)
	return cmd
}

func queueShowCommand() *cobra.Command {
	cmd, _ := queueSubcommand(&cobra.Command{
		Use:   "show ID",
		Short: "Show all that is known of a scan",
		Args:  one("ID"),
	}, func(cmd *cobra.Command, client *admin.Client, f *queueFlags) error {
		l, err := client.List(cmd.Context(), f.selector)
		if err != nil {
			return err
		}
		if len(l.Scans) == 0 {
			return fmt.Errorf("there is no scan %s: it may have ended", f.selector.IDs[0])
		}
		if f.output != "table" {
			return printObject(cmd.OutOrStdout(), l.Scans[0], f.output)
		}
		return printScan(cmd.OutOrStdout(), &l.Scans[0])
	})
	return cmd
}

func queueRetryCommand() *cobra.Command {
	cmd, f := queueSubcommand(&cobra.Command{
		Use:   "retry [ID...]",
		Short: "Make scans again that failed, now",
		Long: `Repeat failed scans now, on behalf of the namespaces that asked for them. Without
IDs the filters choose the scans, or --all.

Exit code 1 means that some scans could not be repeated.`,
	}, func(cmd *cobra.Command, client *admin.Client, f *queueFlags) error {
		r, err := client.Retry(cmd.Context(), f.selector)
		return changed(cmd, f, r, err, "queued again")
	})
	addFilters(cmd, f, false)
	cmd.Flags().BoolVar(&f.selector.All, "all", false, "all that failed")
	return cmd
}

func queuePurgeCommand() *cobra.Command {
	cmd, f := queueSubcommand(&cobra.Command{
		Use:   "purge [ID...]",
		Short: "Take scans off the queue, and forget those that failed",
		Long: `Take scans off the queue, stop those under way, and forget those that failed. A
purged scan is made again when somebody asks for it. Without IDs the filters choose
the scans, or --all.

Exit code 1 means that some scans could not be purged.`,
	}, func(cmd *cobra.Command, client *admin.Client, f *queueFlags) error {
		r, err := client.Purge(cmd.Context(), f.selector)
		return changed(cmd, f, r, err, "purged")
	})
	addFilters(cmd, f, true)
	cmd.Flags().BoolVar(&f.selector.All, "all", false, "all there are")
	return cmd
}

// changed prints what became of a change.
func changed(cmd *cobra.Command, f *queueFlags, r *admin.Result, err error, done string) error {
	if err != nil {
		return err
	}
	if f.output == "table" {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d %s\n", len(r.Done), done)
	} else {
		err = printObject(cmd.OutOrStdout(), r, f.output)
	}
	if err != nil || len(r.Errors) == 0 {
		return err
	}
	return &exit.Error{Code: queueUndone, Err: errors.New(strings.Join(r.Errors, "\n"))}
}

func printObject(w io.Writer, v any, output string) error {
	if output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	b, err := yaml.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// cell is text of others as a terminal may have it.
func cell(s string) string {
	const most = 120
	if s = report.Clean(s, most); s == "" {
		return "-"
	}
	return s
}

func printQueue(w io.Writer, l *admin.Listing, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	if len(l.Scans) > 0 {
		_, _ = fmt.Fprintln(t, "ID\tSTATE\tNAMESPACE\tIMAGE\tPLATFORM\tAGE\tATTEMPT\tDETAIL") // Flush returns the error
	}
	for i := range l.Scans {
		s := &l.Scans[i]
		since := s.Asked
		if s.State == admin.Failed {
			since = s.FailedAt
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", s.ID, s.State, cell(s.Namespace), cell(imageName(s)), cell(s.Platform),
			age(now, since), s.Attempt, cell(detail(s, now)))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	d := l.Depth
	_, err := fmt.Fprintf(w, "%d waiting, %d running on %d slots, %d failed\n", d.Waiting, d.Running, d.Slots, d.Failed)
	if d.Slots == 0 && err == nil {
		_, err = fmt.Fprintln(w, "no scan worker is running")
	}
	return err
}

// imageName is the image as people know it: by its tag where it had one.
func imageName(s *admin.Scan) string {
	if name, _, pinned := strings.Cut(s.Image, "@"); pinned && s.Tag != "" {
		return strings.TrimSuffix(name, ":"+s.Tag) + ":" + s.Tag
	}
	return s.Image
}

func detail(s *admin.Scan, now time.Time) string {
	switch s.State {
	case admin.Running:
		text := "on " + s.Holder + " for " + age(now, s.Since)
		if s.Message != "" {
			text += "; last attempt: " + s.Message
		}
		return text
	case admin.Failed:
		text := s.Reason
		if s.Until.After(now) {
			text += ", not tried for " + age(s.Until, now)
		}
		return text + ": " + s.Message
	default:
		return s.Message
	}
}

// age is how long before now something was, in one unit.
func age(now, then time.Time) string {
	if then.IsZero() {
		return "-"
	}
	const day = 24 * time.Hour
	switch d := max(now.Sub(then), 0); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 2*day:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/day.Hours()))
	}
}

// printScan writes one fact a line.
func printScan(w io.Writer, s *admin.Scan) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			_, _ = fmt.Fprintf(t, "%s\t%s\n", name, report.Clean(value, 1024)) // Flush returns the error
		}
	}
	attempts := ""
	if s.Attempt > 0 {
		attempts = fmt.Sprint(s.Attempt)
	}
	line("ID:", s.ID)
	line("State:", string(s.State))
	line("Namespace:", s.Namespace)
	line("Image:", s.Image)
	line("Tag:", s.Tag)
	line("Registry:", s.Registry)
	line("Repository:", s.Repository)
	line("Digest:", s.Digest)
	line("Platform:", s.Platform)
	line("Service account:", s.ServiceAccount)
	line("Pull secrets:", strings.Join(s.PullSecrets, ", "))
	line("Asked:", stamp(s.Asked))
	line("Held by:", s.Holder)
	line("Since:", stamp(s.Since))
	line("Attempt:", attempts)
	line("Reason:", s.Reason)
	line("Message:", s.Message)
	line("Failed:", stamp(s.FailedAt))
	line("Tried again from:", stamp(s.Until))
	return t.Flush()
}
