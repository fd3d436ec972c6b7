package imagescan

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	v6 "github.com/anchore/grype/grype/db/v6"
	"github.com/anchore/grype/grype/vulnerability"
	"gorm.io/gorm"

	"github.com/imagegate/imagegate/scanner/harbor"
)

// What the database's sources of risk data call themselves.
const (
	kevSource  = "kev"
	epssSource = "epss"
)

// The additions to Grype's schema, in its first revision, that brought the tables.
const (
	kevAddition  = 1
	epssAddition = 2
)

// store is what a reader of the database is; Grype itself asks it for GetDB.
type store interface {
	v6.Reader
	GetDB() *gorm.DB
}

// riskData is the database with what was asked of known exploitation and of EPSS.
// Grype takes a look-up that fails for a vulnerability of which nothing is known,
// which is how the worst of all looks like the rest: here it is asked again for what
// was found, and when that fails too the report says that its data is not whole.
type riskData struct {
	store
	mu        sync.Mutex
	exploited lookup[v6.KnownExploitedVulnerabilityHandle]
	epss      lookup[v6.EpssHandle]
}

// lookup is what was asked of one table.
type lookup[T any] struct {
	found map[string][]T
	// day is of which day the data is.
	day time.Time
	// missing says why it is not whole; empty when it is.
	missing string
}

// watchRisk looks whether the database has risk data at all.
func watchRisk(reader v6.Reader) (*riskData, error) {
	s, ok := reader.(store)
	if !ok {
		return nil, errors.New("the vulnerability database is read by something that cannot be asked for its tables")
	}
	r := &riskData{store: s}
	r.exploited = lookup[v6.KnownExploitedVulnerabilityHandle]{found: map[string][]v6.KnownExploitedVulnerabilityHandle{}}
	r.epss = lookup[v6.EpssHandle]{found: map[string][]v6.EpssHandle{}}
	var err error
	if r.exploited.day, err = r.day(kevSource, kevAddition, &v6.KnownExploitedVulnerabilityHandle{}); err != nil {
		r.exploited.fail("", err)
	}
	if r.epss.day, err = r.day(epssSource, epssAddition, &v6.EpssHandle{}); err != nil {
		r.epss.fail("", err)
	}
	return r, nil
}

// absent is an error that a report quotes: it holds nothing of the image or the
// machine.
type absent string

func (a absent) Error() string { return string(a) }

// day tells of which day the data of a source is. An empty table is none: nobody
// who has read either source has read nothing.
func (r *riskData) day(source string, addition int, table any) (time.Time, error) {
	meta, err := r.GetDBMetadata()
	if err != nil {
		return time.Time{}, fmt.Errorf("read the schema of the vulnerability database: %w", err)
	}
	if meta.Revision == 0 && meta.Addition < addition {
		return time.Time{}, absent("the vulnerability database is of a schema without it")
	}
	// Counted to the end, so that its pages have been read.
	var rows int64
	if err := r.GetDB().Model(table).Count(&rows).Error; err != nil {
		return time.Time{}, fmt.Errorf("count the entries of %s: %w", source, err)
	}
	if rows == 0 {
		return time.Time{}, absent("the vulnerability database has none")
	}
	sources, err := r.AllProviders()
	if err != nil {
		return time.Time{}, fmt.Errorf("read the sources of the vulnerability database: %w", err)
	}
	for _, s := range sources {
		if s.ID == source && s.DateCaptured != nil {
			return s.DateCaptured.UTC(), nil
		}
	}
	// It is no younger than what it is part of.
	if meta.BuildTimestamp == nil {
		return time.Time{}, absent("the vulnerability database does not say of which day it is")
	}
	return meta.BuildTimestamp.UTC(), nil
}

// fail remembers the first reason why the data is not whole.
func (l *lookup[T]) fail(cve string, err error) {
	if l.missing != "" {
		return
	}
	var known absent
	if errors.As(err, &known) {
		l.missing = string(known)
	} else {
		l.missing = "it could not be read from the vulnerability database"
	}
	slog.Warn("risk data is missing", "vulnerability", cve, "error", err)
}

// ask looks a CVE up, once each, but for what failed: it may be out of reach for a
// moment only.
func (l *lookup[T]) ask(cve string, from func(string) ([]T, error)) ([]T, error) {
	key := strings.ToUpper(cve)
	if found, ok := l.found[key]; ok {
		return found, nil
	}
	found, err := from(cve)
	if err == nil {
		l.found[key] = found
	}
	return found, err
}

// insist asks for a finding's CVE: what fails now is missing in the report. What was
// found in spite of it is told.
func (r *riskData) insist(cve string) ([]v6.KnownExploitedVulnerabilityHandle, []v6.EpssHandle) {
	listed, err := r.GetKnownExploitedVulnerabilities(cve)
	scores, errScores := r.GetEpss(cve)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.exploited.fail(cve, err)
	}
	if errScores != nil {
		r.epss.fail(cve, errScores)
	}
	return listed, scores
}

// source is what a report says of the data.
func (l *lookup[T]) source() harbor.RiskSource {
	if l.missing != "" {
		return harbor.RiskSource{Missing: l.missing}
	}
	return harbor.RiskSource{AsOf: &l.day}
}

// GetKnownExploitedVulnerabilities asks the catalogue of known exploited
// vulnerabilities.
func (r *riskData) GetKnownExploitedVulnerabilities(cve string) ([]v6.KnownExploitedVulnerabilityHandle, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.exploited.ask(cve, func(cve string) ([]v6.KnownExploitedVulnerabilityHandle, error) {
		found, err := r.store.GetKnownExploitedVulnerabilities(cve)
		for i := range found {
			// Grype reads it without looking. That it is listed counts nevertheless.
			if found[i].BlobValue == nil {
				found[i].BlobValue = &v6.KnownExploitedVulnerabilityBlob{Cve: cve}
				err = cmp.Or(err, errors.New("an entry has lost its content"))
			}
		}
		return found, err
	})
}

// GetEpss asks the scores of the Exploit Prediction Scoring System.
func (r *riskData) GetEpss(cve string) ([]v6.EpssHandle, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.epss.ask(cve, r.store.GetEpss)
}

// told is what the report says of the data as a whole, when all was asked.
func (r *riskData) told() *harbor.RiskData {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &harbor.RiskData{KnownExploited: r.exploited.source(), EPSS: r.epss.source()}
}

// weigh fills in the risk of a finding. It asks for every CVE that the finding
// goes by: of a distribution's advisory Grype asks for those only that the
// advisory's own record names, and not for those of the package's.
func (r *riskData) weigh(v *harbor.Vulnerability, meta *vulnerability.Metadata) {
	weighed := vulnerability.Metadata{Severity: meta.Severity, Cvss: meta.Cvss, EPSS: meta.EPSS}
	a := &v.VendorAttributes
	for _, cve := range cves(v) {
		listed, scores := r.insist(cve)
		for _, k := range listed {
			a.KnownExploited = together(a.KnownExploited, known(k))
			weighed.KnownExploited = append(weighed.KnownExploited, vulnerability.KnownExploited{CVE: k.Cve, KnownRansomwareCampaignUse: k.BlobValue.KnownRansomwareCampaignUse})
		}
		for _, s := range scores {
			if a.EPSS == nil || s.Epss > a.EPSS.Probability {
				a.EPSS = &harbor.EPSS{CVE: s.Cve, Probability: s.Epss, Percentile: s.Percentile, Date: s.Date.UTC().Format(time.DateOnly)}
			}
		}
	}
	if len(weighed.EPSS) == 0 && a.EPSS != nil {
		weighed.EPSS = []vulnerability.EPSS{{CVE: a.EPSS.CVE, EPSS: a.EPSS.Probability}}
	}
	// Without either Grype's score is 0, which would say that there is no risk.
	if len(weighed.KnownExploited) > 0 || len(weighed.EPSS) > 0 && r.whole() {
		score := weighed.RiskScore()
		a.Risk = &score
	}
}

// whole says that what is known of exploitation so far is all there is: without it
// a score would be too low.
func (r *riskData) whole() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.exploited.missing == ""
}

func cves(v *harbor.Vulnerability) []string {
	var out []string
	for _, id := range append([]string{v.ID}, v.VendorAttributes.Aliases...) {
		if len(id) > 4 && strings.EqualFold(id[:4], "CVE-") {
			out = append(out, id)
		}
	}
	return out
}

func known(k v6.KnownExploitedVulnerabilityHandle) *harbor.KnownExploited {
	return &harbor.KnownExploited{
		CVEs:       []string{k.Cve},
		DateAdded:  onDay(k.BlobValue.DateAdded),
		DueDate:    onDay(k.BlobValue.DueDate),
		Ransomware: strings.EqualFold(k.BlobValue.KnownRansomwareCampaignUse, "known"),
	}
}

func onDay(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

// together makes one of the entries of several CVEs: the earliest days.
func together(a, b *harbor.KnownExploited) *harbor.KnownExploited {
	if a == nil {
		return b
	}
	out := *a
	if !slices.Contains(out.CVEs, b.CVEs[0]) {
		out.CVEs = append(slices.Clone(out.CVEs), b.CVEs[0])
	}
	out.DateAdded, out.DueDate = earlier(a.DateAdded, b.DateAdded), earlier(a.DueDate, b.DueDate)
	out.Ransomware = a.Ransomware || b.Ransomware
	return &out
}

// earlier compares days, of which either may not be known.
func earlier(a, b string) string {
	if a == "" || b != "" && b < a {
		return b
	}
	return a
}

// fixAvailable is when the first of the versions that have the fix was there; nil
// when there is none, or when nobody knows.
func fixAvailable(f vulnerability.Fix) *time.Time {
	var first *time.Time
	if len(f.Versions) == 0 {
		return nil
	}
	for _, a := range f.Available {
		if at := a.Date.UTC(); !a.Date.IsZero() && (first == nil || at.Before(*first)) {
			first = &at
		}
	}
	return first
}
