package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/exit"
	"github.com/imagegate/imagegate/provider/reference"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
)

// The exit codes of provider scan.
const (
	scanRejected = 1
	scanUndone   = 2
)

type scanFlags struct {
	output         string
	platform       string
	namespace      string
	serviceAccount string
	pullSecrets    []string
}

const scanLong = `Scan one image as the provider would, and print its report.

The bundled scan worker does it, which keeps its vulnerability database in
--data-dir: the first scan downloads it. Without internet there is the small
--scanner-database sample for demonstrations; a file from elsewhere, taken in by
"scanner db import FILE" once or named in --scanner-database-file; or a mirror in
--scanner-database-url. Beside a provider that serves from the same --data-dir
the scan uses the database of that one. --scanner-url names another scanner.

Images are read with the credentials of docker login ($DOCKER_CONFIG or
~/.docker/config.json), or with those of --docker-config. With --pull-secrets,
which needs a cluster, they are those that a Pod of --namespace would have:
its --service-account's, and each --pull-secret.

The table has what is known to be exploited first, then the worst severity and the
highest risk score (0 to 100). A score of EPSS is the probability of an exploitation
in the next 30 days; ? is not known, which is not "no".

--namespace is also the one whose exceptions count. Without --platform an image
of several platforms is judged by the worst of registry.platforms.

Flags win over environment variables, those over the file of --config: --vex is
IMAGEGATE_VEX. Of the provider's configuration, what only a server needs is not
used.

Exit codes: 0 accepted, 1 rejected, 2 that there is no report or a mistake in the
command line, 130 interrupted.`

func scanCommand() *cobra.Command {
	var f scanFlags
	cmd := &cobra.Command{
		Use:   "scan IMAGE",
		Short: "Scan one image and print its report",
		Long:  scanLong,
		Example: `  provider scan nginx:1.27
  provider scan -o json registry.example.com/team/app@sha256:...
  provider scan --platform linux/arm64 --severity-threshold Critical nginx:1.27
  provider scan --scanner-database sample nginx:1.27`,
		Args: one("IMAGE"),
	}
	fs := cmd.Flags()
	config.AddScanFlags(fs)
	fs.StringVarP(&f.output, "output", "o", "table", "table or json (the full report)")
	fs.StringVar(&f.platform, "platform", "", "os/arch[/variant] to scan of an index, * for any; several with commas")
	fs.StringVarP(&f.namespace, "namespace", "n", "", "namespace of the Pod: whose exceptions count, and whose pull secrets with --pull-secrets")
	fs.StringVar(&f.serviceAccount, "service-account", "", "service account whose pull secrets open the image (needs --pull-secrets and --namespace)")
	fs.StringSliceVar(&f.pullSecrets, "pull-secret", nil, "Secret that opens the image (repeatable; needs --pull-secrets and --namespace)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.output != "table" && f.output != "json" {
			return fmt.Errorf("--output %q is not table or json", f.output)
		}
		if _, err := reference.Parse(args[0]); err != nil {
			return fmt.Errorf("%.200q is not a valid image reference: %w", args[0], err)
		}
		c, err := config.LoadScan(cmd.Flags(), os.LookupEnv)
		if err != nil {
			return err
		}
		if err := f.check(&c); err != nil {
			return err
		}
		return scanImage(cmd, &c, args[0], f)
	}
	return cmd
}

// check says which flag another one needs.
func (f *scanFlags) check(c *config.Config) error {
	if f.serviceAccount == "" && len(f.pullSecrets) == 0 {
		return nil
	}
	if f.namespace == "" || !c.Registry.PullSecrets.Enabled {
		return errors.New("--service-account and --pull-secret need --namespace and --pull-secrets")
	}
	return nil
}

func scanImage(cmd *cobra.Command, c *config.Config, image string, f scanFlags) (err error) {
	ctx := cmd.Context()
	log, err := logger(c.Log, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	show := newProgress(cmd.ErrOrStderr())
	defer show.end()
	show.step("starting the scanner")
	p, err := assemble(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := p.close(context.WithoutCancel(ctx)); closeErr != nil {
			err = errors.Join(err, closeErr)
		}
	}()
	if err := p.waitReady(ctx, show); err != nil {
		return err
	}
	show.step("scanning " + image)
	ctx, cancel := context.WithTimeout(ctx, c.Registry.Timeout.Duration+c.Scan.Deadline.Duration)
	defer cancel()
	view := report.ViewFindings
	if f.output == "json" {
		view = report.ViewFull
	}
	access := registry.Access{Namespace: f.namespace, ServiceAccount: f.serviceAccount, PullSecrets: f.pullSecrets}
	r := p.service.Reports(ctx, []service.Query{{Reference: image, Platform: f.platform, View: view, Patient: true, Access: access}})[0]
	show.end()
	if err := cmd.Context().Err(); err != nil {
		return err // it says nothing of the image
	}
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
	if strings.HasSuffix(r.Scanner, report.SampleDatabase) {
		head("Warning:", "the "+report.SampleDatabase+" knows a few advisories only: this says almost nothing of the image")
	}
	head("Scanned:", stamp(r.ScannedAt))
	head("Database:", stamp(r.DatabaseBuiltAt))
	head("Covered:", covered(r.Summary))
	head("Risk data:", riskData(r.Summary))
	if err := t.Flush(); err != nil {
		return err
	}
	if len(r.Vulnerabilities) == 0 {
		return nil
	}
	_, _ = fmt.Fprintln(t)
	weighed := r.Summary != nil && r.Summary.Risk != nil
	columns := []string{"SEVERITY", "ID", "PACKAGE", "INSTALLED", "FIXED"}
	if weighed {
		columns = append(columns, "EXPLOITED", "EPSS", "RISK")
	}
	_, _ = fmt.Fprintln(t, strings.Join(columns, "\t"))
	for _, v := range report.ByRisk(r.Vulnerabilities) {
		row := []string{v.Severity.String(), v.ID, v.Package, v.Installed, cmp.Or(v.Fixed, "-")}
		if weighed {
			row = append(row, exploited(v.KnownExploited, r.Summary.Risk), epss(v.EPSS), score(v.Risk))
		}
		_, _ = fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

// exploited is since when a finding is known to be exploited; no, only where that is
// known.
func exploited(k *report.KnownExploited, known *report.RiskSummary) string {
	switch {
	case k == nil && known.KnownExploitedAsOf.IsZero():
		return "?"
	case k == nil:
		return "-"
	case k.Ransomware:
		return strings.TrimSpace(k.Added + " ransomware")
	}
	return cmp.Or(k.Added, "yes")
}

// epss is a probability with its percentile, which must not be taken for each other.
func epss(e *report.EPSS) string {
	if e == nil {
		return "?"
	}
	const percent = 100
	return fmt.Sprintf("%.2f%% (percentile %.0f)", e.Probability*percent, e.Percentile*percent)
}

func score(risk *float64) string {
	if risk == nil {
		return "?"
	}
	return fmt.Sprintf("%.1f", *risk)
}

// riskData says of which day what is known of exploitation is.
func riskData(s *report.Summary) string {
	if s == nil || s.Risk == nil {
		return ""
	}
	var parts []string
	if at := s.Risk.KnownExploitedAsOf; !at.IsZero() {
		parts = append(parts, "known exploited vulnerabilities of "+at.UTC().Format(time.DateOnly))
	}
	if at := s.Risk.EPSSAsOf; !at.IsZero() {
		parts = append(parts, "EPSS of "+at.UTC().Format(time.DateOnly))
	}
	for _, m := range s.Risk.Missing {
		parts = append(parts, "without "+m)
	}
	return strings.Join(parts, "; ")
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
