package cli

import (
	"cmp"
	"context"
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

	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/exit"
	"github.com/imagegate/imagegate/provider/platform"
	"github.com/imagegate/imagegate/provider/reference"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
	"github.com/imagegate/imagegate/provider/view"
)

// The exit codes of provider scan.
const (
	scanRejected = 1
	scanUndone   = 2
)

// What provider scan prints.
const (
	outputTable = "table"
	outputJSON  = "json"
	outputHTML  = "html"
)

type scanFlags struct {
	output         string
	platform       string
	namespace      string
	serviceAccount string
	pullSecrets    []string
}

const scanLong = `Scan one image as the provider would, and print its report.

The bundled scan worker scans the image. It keeps its vulnerability database in
--data-dir, and downloads it for the first scan. Without internet there are three
ways: the small --scanner-database sample, for demonstrations; a database file, taken
in once by "scanner db import FILE" or named in --scanner-database-file; or a mirror
in --scanner-database-url. If a provider serves from the same --data-dir, the scan
uses that provider's database. --scanner-url names another scanner.

Images are read with the credentials of docker login ($DOCKER_CONFIG or
~/.docker/config.json), or with those of --docker-config. With --pull-secrets,
which needs a cluster, they are read with the credentials that a Pod of --namespace
would have: those of its --service-account, and each --pull-secret.

-o html writes a page about the image that needs neither a cluster nor the network. It
has the verdict with its rules, what to upgrade, all findings and what was looked at.

The table lists first what is known to be exploited, then by severity and risk score
(0 to 100). An EPSS score is the probability of an exploitation in the next 30 days.
A ? means "not known", not "no".

--namespace is also the one whose exceptions count. Without --platform an image
of several platforms is judged by the worst of registry.platforms. With it, an image
for other platforms only has no report.

Flags win over environment variables (--vex is IMAGEGATE_VEX), and these over the
file of --config. Settings that only a server needs are ignored.

Exit codes: 0 accepted, 1 rejected, 2 no report or a mistake in the command line,
130 interrupted.`

func scanCommand() *cobra.Command {
	var f scanFlags
	cmd := &cobra.Command{
		Use:   "scan IMAGE",
		Short: "Scan one image and print its report",
		Long:  scanLong,
		Example: `  provider scan nginx:1.27
  provider scan -o json registry.example.com/team/app@sha256:...
  provider scan -o html nginx:1.27 > report.html
  provider scan --platform linux/arm64 --severity-threshold Critical nginx:1.27
  provider scan --scanner-database sample nginx:1.27`,
		Args: one("IMAGE"),
	}
	fs := cmd.Flags()
	config.AddScanFlags(fs)
	fs.StringVarP(&f.output, "output", "o", outputTable, "table, json (the full report) or html (a page that stands by itself)")
	fs.StringVar(&f.platform, "platform", "", "os/arch[/variant] to scan of an index, * for any; several with commas")
	fs.StringVarP(&f.namespace, "namespace", "n", "", "namespace of the Pod: whose exceptions count, and whose pull secrets with --pull-secrets")
	fs.StringVar(&f.serviceAccount, "service-account", "", "service account whose pull secrets open the image (needs --pull-secrets and --namespace)")
	fs.StringSliceVar(&f.pullSecrets, "pull-secret", nil, "Secret that opens the image (repeatable; needs --pull-secrets and --namespace)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !slices.Contains([]string{outputTable, outputJSON, outputHTML}, f.output) {
			return fmt.Errorf("--output %q is not table, json or html", f.output)
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

// check says what is wrong with a flag, and which flag another one needs.
func (f *scanFlags) check(c *config.Config) error {
	if _, err := platform.ParseWritten(f.platform); err != nil {
		return fmt.Errorf("--platform: %w", err)
	}
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
	var found *service.Image
	p, err := assemble(ctx, c, log, func(i service.Image) { found = &i })
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
	if f.output == outputJSON {
		view = report.ViewFull
	}
	access := registry.Access{Namespace: f.namespace, ServiceAccount: f.serviceAccount, PullSecrets: f.pullSecrets}
	r := p.service.Reports(ctx, []service.Query{{Reference: image, Platform: f.platform, View: view, Patient: true, Access: access}})[0]
	show.end()
	if err := cmd.Context().Err(); err != nil {
		return err // it says nothing of the image
	}
	if f.output == outputHTML {
		err = p.printPage(ctx, cmd.OutOrStdout(), r, found)
	} else {
		err = printReport(cmd.OutOrStdout(), r, f.output)
	}
	if err != nil {
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

// printPage writes the page of an image that was asked about, or of what is said of
// one that was not found.
func (p *parts) printPage(ctx context.Context, w io.Writer, r report.ScanReport, image *service.Image) error {
	kept := service.Kept{Report: r}
	if image != nil && r.Scanner != "" {
		var err error
		if kept, err = p.service.Kept(ctx, *image, p.reports.Get); err != nil {
			return err
		}
	}
	return view.WriteFile(w, kept, p.judge, time.Now())
}

func printReport(w io.Writer, r report.ScanReport, output string) error {
	if output == outputJSON {
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
	head("Covered:", r.Summary.Covered())
	head("Risk data:", r.Summary.RiskSaid())
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
			row = append(row, r.Summary.Risk.ExploitedSaid(&v), v.EPSSSaid(), v.RiskSaid())
		}
		_, _ = fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
