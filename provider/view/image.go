package view

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/reference"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
	"github.com/imagegate/imagegate/provider/verdict"
)

// Judge says by which rules was judged. *verdict.Judge is one.
type Judge interface {
	Effect(v *report.Vulnerability) verdict.Effect
	Decides(by report.Judgement) bool
	Rules() []verdict.Rule
}

// imagePage is the page of one image.
type imagePage struct {
	page
	Report    report.ScanReport
	Platforms []string
	// Several says that findings may be on some of the platforms only.
	Several  bool
	Meaning  string
	Warnings []string
	// Upgrades is what has to be done for the image to be let in, or, where nothing
	// keeps it out, what could be.
	Upgrades     []report.Upgrade
	UpgradesSaid string
	// Exploited says how many findings are known to be.
	Exploited string
	// Decide says that findings decide on the image, and not its scanner alone.
	Decide     bool
	Findings   []*finding
	Suppressed []*finding
	Asked      []asked
	Runs       *runs
	// Exception is YAML; empty when nothing keeps the image out that an exception is for.
	Exception string
	Rules     []verdict.Rule
}

// finding is a row of the page.
type finding struct {
	report.Vulnerability
	Exploited string
	// FixedSince is the day of the fix, empty when not known.
	FixedSince string
	Effect     verdict.Effect
	Others     string
	// Link leads to the vulnerability's page, or Outside.
	Link    string
	Outside bool
}

// asked is one way in which the image was asked for.
type asked struct {
	Image, Namespace, Link string
	Status                 report.Status
	Current                bool
}

// WriteFile writes one HTML file about an image, for people who have neither a
// cluster nor the internet at hand: it loads nothing.
func WriteFile(w io.Writer, kept service.Kept, judge Judge, now time.Time) error {
	r, err := newRenderer()
	if err != nil {
		return err
	}
	p := newImagePage(kept, judge, now, nil)
	p.File, p.Style = true, r.style
	return r.render(w, imageTemplate, p)
}

// newImagePage fills in what is known of the report. link is the page of a
// vulnerability; nil where there is none.
func newImagePage(kept service.Kept, judge Judge, now time.Time, link func(id string) string) *imagePage {
	r := kept.Report
	p := &imagePage{
		page:      page{Title: r.ImageAndTag, Now: now},
		Report:    r,
		Platforms: kept.Platforms,
		Several:   len(kept.Platforms) > 1,
		Meaning:   meaning(r.Status),
		Decide:    judge.Decides(kept.Judgement),
		Rules:     judge.Rules(),
	}
	p.Ages = []string{agesOf("The scan", r.ScannedAt, now), agesOf("Its vulnerability data", r.DatabaseBuiltAt, now)}
	var risk *report.RiskSummary
	if r.Summary != nil {
		risk = r.Summary.Risk
	}
	p.Exploited = exploited(risk)
	var counting, standing []report.Vulnerability
	for _, v := range report.ByRisk(r.Vulnerabilities) {
		f := &finding{Vulnerability: v, Exploited: risk.ExploitedSaid(&v), Others: others(v.Aliases)}
		if !v.FixAvailable.IsZero() {
			f.FixedSince = v.FixAvailable.UTC().Format(time.DateOnly)
		}
		if f.Link = outside(v.Links); f.Link != "" {
			f.Outside = true
		}
		if link != nil {
			f.Link, f.Outside = link(v.ID), false
		}
		if v.Suppressed != "" {
			p.Suppressed = append(p.Suppressed, f)
			continue
		}
		if p.Decide {
			f.Effect = judge.Effect(&v)
		}
		if f.Effect == verdict.Rejects {
			counting = append(counting, v)
		}
		standing = append(standing, v)
		p.Findings = append(p.Findings, f)
	}
	p.Upgrades, p.UpgradesSaid = report.Upgrades(standing), "Worst first. Nothing here keeps the image out by the rules below."
	if len(counting) > 0 {
		p.Upgrades, p.UpgradesSaid = report.Upgrades(counting), "What keeps the image out, worst first."
	} else if !p.Decide {
		p.UpgradesSaid = "Worst first. The scanner's own policy has decided on the image."
	}
	p.warn(r)
	if r.Status == report.Rejected {
		p.Exception = exceptionYAML(r, counting, now)
	}
	return p
}

func (p *imagePage) warn(r report.ScanReport) {
	if strings.HasSuffix(r.Scanner, report.SampleDatabase) {
		p.Warnings = append(p.Warnings, "The "+report.SampleDatabase+" knows a few advisories only: this says almost nothing of the image.")
	}
	if r.Truncated {
		p.Warnings = append(p.Warnings, "This report is cut: not all findings are listed here.")
	}
}

// meaning says what a status means that is none of a report.
func meaning(s report.Status) string {
	switch s {
	case report.NotAvailable:
		return "There is no report that counts. A Pod has to wait until the image is scanned."
	case report.ScanFailed:
		return "The image could not be scanned, or not enough of it. That is no acceptance."
	default:
		return ""
	}
}

// exploited says how many findings are known to be exploited.
func exploited(s *report.RiskSummary) string {
	switch {
	case s == nil || s.KnownExploited == nil:
		return "which are known to be exploited is not known"
	case s.KnownExploitedAsOf.IsZero():
		return fmt.Sprintf("at least %d known to be exploited", *s.KnownExploited)
	}
	return fmt.Sprintf("%d known to be exploited", *s.KnownExploited)
}

func others(aliases []string) string {
	if len(aliases) <= maxCell {
		return strings.Join(aliases, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(aliases[:maxCell], ", "), len(aliases)-maxCell)
}

func agesOf(what string, at, now time.Time) string {
	if at.IsZero() {
		return what + ": age not known"
	}
	return what + " is of " + stamp(at) + " (" + age(at, now) + ")"
}

const (
	// maxExceptions bounds those of one proposal.
	maxExceptions = 50
	// reasonToWrite has to be replaced by whoever sends it.
	reasonToWrite = "WRITE HERE why this may run until then, and who stands for it"
)

// exceptionYAML proposes exceptions for the findings that keep the image out, as narrow
// as they can be: this digest, these packages, two weeks.
func exceptionYAML(r report.ScanReport, counting []report.Vulnerability, now time.Time) string {
	ref, err := reference.Parse(r.Asked())
	if err != nil || r.Digest == "" {
		return ""
	}
	image := ref.Context().Name() + "@" + r.Digest
	at := map[string]int{}
	var entries []verdict.Entry
	for _, v := range counting {
		if v.ID != clean(v.ID) || v.Package != clean(v.Package) {
			continue // nobody could see what is excepted
		}
		n, ok := at[v.ID]
		if !ok {
			if len(entries) == maxExceptions {
				continue
			}
			n = len(entries)
			at[v.ID] = n
			entries = append(entries, verdict.Entry{
				CVE: v.ID, Images: []string{image}, Expires: verdict.ProposedEnd(now), Reason: reasonToWrite,
			})
		}
		if e := &entries[n]; !slices.Contains(e.Packages, v.Package) {
			e.Packages = append(e.Packages, v.Package)
		}
	}
	text, err := verdict.WriteExceptions(entries)
	if err != nil {
		return "" // what nobody could take in is no proposal
	}
	return string(text)
}

// runs is where an image runs.
type runs struct {
	// Known says that there is an inventory.
	Known     bool
	Said      string
	Workloads []Workload
}

// Workload is who has an image run in a namespace.
type Workload struct {
	Namespace string
	// Owner is kind and name, such as Deployment/shop.
	Owner string
	Pods  int
}
