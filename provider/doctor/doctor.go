package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/imagegate/imagegate/provider/install/finding"
	"github.com/imagegate/imagegate/provider/kube"
	"github.com/imagegate/imagegate/provider/report"
)

// Options say where to look, and what is old.
type Options struct {
	// Kubeconfig and Context are as kubectl's; empty: its defaults.
	Kubeconfig, Context string
	// Namespace and Release choose an installation; empty: the only one there is.
	Namespace, Release string
	// Exempt are namespaces that are not judged on purpose, beside those that the
	// policies exempt. A * may stand at either end.
	Exempt []string
	Limits Limits
	// Now is the clock.
	Now func() time.Time
}

// Diagnosis is what was found.
type Diagnosis struct {
	Release   string            `json:"release"`
	Namespace string            `json:"namespace"`
	Findings  []finding.Finding `json:"findings"`
}

// Look looks at an installation. The error says why it could not at all.
func Look(ctx context.Context, o Options) (*Diagnosis, error) {
	cfg, err := kube.Outside(o.Kubeconfig, o.Context, "imagegate-doctor")
	if err != nil {
		return nil, err
	}
	c, err := newAPIServer(cfg)
	if err != nil {
		return nil, err
	}
	return look(ctx, c, o)
}

func look(ctx context.Context, c cluster, o Options) (*Diagnosis, error) {
	s, err := gather(ctx, c, o)
	if err != nil {
		return nil, err
	}
	d := &Diagnosis{Release: s.Release.Name, Namespace: s.Release.Namespace, Findings: []finding.Finding{}}
	d.Findings = append(d.Findings, examine(s)...)
	return d, nil
}

// Count is how many of the findings have that severity.
func (d *Diagnosis) Count(s finding.Severity) (n int) {
	for _, f := range d.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// JSON writes the diagnosis for programs.
func (d *Diagnosis) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(d)
}

// Table writes it for people. Sentences and commands have lines of their own: in a
// column none could be copied.
func (d *Diagnosis) Table(w io.Writer) error {
	p := &printer{w: w}
	wide := 0
	for _, f := range d.Findings {
		wide = max(wide, len(f.ID))
	}
	if len(d.Findings) > 0 {
		p.line("%-8s  %-*s  %s", "SEVERITY", wide, "FINDING", "OBJECT")
	}
	for _, f := range d.Findings {
		p.line("%-8s  %-*s  %s", f.Severity, wide, f.ID, clean(f.Object))
		p.line("          %s", clean(f.Message))
		if f.Command != "" {
			p.line("          $ %s", clean(f.Command))
		}
	}
	errors, unknown, warnings := d.Count(finding.Error), d.Count(finding.Unknown), d.Count(finding.Warning)
	p.line("release %s in %s: %s, %s, %d not looked at", d.Release, d.Namespace, plural(errors, "error", "errors"), plural(warnings, "warning", "warnings"), unknown)
	return p.err
}

// clean is text of a cluster as a terminal may have it.
func clean(s string) string { return report.Clean(s, 2048) }

type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}
