package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/exit"
	"github.com/imagegate/imagegate/provider/reference"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/scan"
)

// The exit codes of provider scan.
const (
	scanRejected = 1
	scanUndone   = 2
)

type scanFlags struct {
	output   string
	platform string
}

func scanCommand() *cobra.Command {
	var f scanFlags
	cmd := &cobra.Command{
		Use:   "scan IMAGE",
		Short: "Scan one image and print its report",
		Long: `Scan one image as the provider would and print its report.

Exit code 0 means accepted, 1 rejected, 2 that there is no report.`,
		Example: "  provider scan nginx:1.27\n  provider scan -o json registry.example.com/team/app@sha256:...",
		Args:    cobra.ExactArgs(1),
	}
	config.AddFlags(cmd.Flags())
	cmd.Flags().StringVarP(&f.output, "output", "o", "table", "table or json (the full report)")
	cmd.Flags().StringVar(&f.platform, "platform", "", "os/arch[/variant] to scan of an index, * for any; several with commas")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.output != "table" && f.output != "json" {
			return fmt.Errorf("--output %q is not table or json", f.output)
		}
		if _, err := reference.Parse(args[0]); err != nil {
			return fmt.Errorf("%.200q is not a valid image reference: %w", args[0], err)
		}
		c, err := config.Load(cmd.Flags(), os.LookupEnv)
		if err != nil {
			return err
		}
		return scanImage(cmd, &c, args[0], f)
	}
	return cmd
}

func scanImage(cmd *cobra.Command, c *config.Config, image string, f scanFlags) (err error) {
	ctx := cmd.Context()
	log, err := logger(quiet(c.Log), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	show := newProgress(cmd.ErrOrStderr())
	show.step("starting the scanner")
	p, err := assemble(ctx, c, log)
	if err != nil {
		show.end()
		return err
	}
	defer func() {
		if closeErr := p.close(context.WithoutCancel(ctx)); closeErr != nil {
			err = errors.Join(err, closeErr)
		}
	}()
	if err := p.waitReady(ctx); err != nil {
		show.end()
		return err
	}
	show.step("scanning " + image)
	ctx, cancel := context.WithTimeout(ctx, c.Registry.Timeout.Duration+c.Scan.Deadline.Duration)
	defer cancel()
	view := report.ViewFindings
	if f.output == "json" {
		view = report.ViewFull
	}
	r := p.service.Reports(ctx, []scan.Query{{Reference: image, Platform: f.platform, View: view, Patient: true}})[0]
	show.end()
	if err := printReport(cmd.OutOrStdout(), r, f.output); err != nil {
		return err
	}
	switch r.Status {
	case report.Accepted:
		return nil
	case report.Rejected:
		return &exit.Error{Code: scanRejected}
	default:
		return &exit.Error{Code: scanUndone}
	}
}

func printReport(w io.Writer, r report.ScanReport, output string) error {
	if output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	return printTable(w, r)
}

// printTable writes a head of facts and, for a finished scan, its findings.
func printTable(w io.Writer, r report.ScanReport) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	head := func(name, value string) {
		if value != "" {
			_, _ = fmt.Fprintf(t, "%s\t%s\n", name, value) // Flush returns the error
		}
	}
	head("Image:", r.ImageAndTag)
	head("Digest:", r.Digest)
	head("Status:", string(r.Status))
	head("Reason:", r.Message)
	head("Scanner:", r.Scanner)
	head("Scanned:", stamp(r.ScannedAt))
	head("Database:", stamp(r.DatabaseBuiltAt))
	head("Covered:", covered(r.Summary))
	if err := t.Flush(); err != nil {
		return err
	}
	if len(r.Vulnerabilities) == 0 {
		return nil
	}
	_, _ = fmt.Fprintln(t)
	_, _ = fmt.Fprintln(t, "SEVERITY\tID\tPACKAGE\tINSTALLED\tFIXED")
	for _, v := range r.Vulnerabilities {
		fixed := v.Fixed
		if fixed == "" {
			fixed = "-"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", v.Severity, v.ID, v.Package, v.Installed, fixed)
	}
	return t.Flush()
}

// covered says what was looked at, and what was not.
func covered(s *report.Summary) string {
	switch {
	case s == nil:
		return ""
	case s.Coverage == nil:
		return "not known"
	}
	out := s.Coverage.String()
	if s.Coverage.Unmatched > 0 {
		out += fmt.Sprintf(", of which %d could not be looked up", s.Coverage.Unmatched)
	}
	if end := s.Coverage.EndOfLife; !end.IsZero() {
		out += ", end of life " + end.UTC().Format(time.DateOnly)
	}
	if s.Coverage.Gap != "" {
		out += "; " + s.Coverage.Gap
	}
	return out
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
