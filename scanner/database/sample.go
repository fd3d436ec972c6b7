package database

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	v6 "github.com/anchore/grype/grype/db/v6"
	syftpkg "github.com/anchore/syft/syft/pkg"

	"github.com/imagegate/imagegate/scanner/advisories"
)

// What the sample's sources call themselves, in the place where Grype's own
// databases name the program that made them: the mark by which it is known.
const (
	sampleProcessor = "imagegate-scanner"
	sampleVersion   = "sample"
)

// BuildSample writes a database of the advisories in this repository to
// dir/vulnerability.db, in Grype's own schema. It needs no network.
//
// The database carries the day the advisories were checked, not the time it was
// put together: the same advisories always make a database of the same age.
func BuildSample(dir string, from *advisories.Collection) (path string, err error) {
	if err := fill(dir, from); err != nil {
		return "", err
	}
	path = filepath.Join(dir, v6.VulnerabilityDBFileName)
	db, err := v6.NewLowLevelDB(path, false, true, false)
	if err != nil {
		return "", fmt.Errorf("open the sample database: %w", err)
	}
	if err := db.Model(&v6.DBMetadata{}).Where("true").Update("build_timestamp", from.AsOf).Error; err != nil {
		return "", fmt.Errorf("date the sample database: %w", err)
	}
	pool, err := db.DB()
	if err != nil {
		return "", fmt.Errorf("finish the sample database: %w", err)
	}
	if err := pool.Close(); err != nil {
		return "", fmt.Errorf("finish the sample database: %w", err)
	}
	return path, nil
}

func fill(dir string, from *advisories.Collection) (err error) {
	w, err := v6.NewWriter(v6.Config{DBDirPath: dir})
	if err != nil {
		return fmt.Errorf("make the sample database: %w", err)
	}
	defer func() {
		if closeErr := w.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("finish the sample database: %w", closeErr)
		}
	}()
	if err := w.SetDBMetadata(); err != nil {
		return fmt.Errorf("describe the sample database: %w", err)
	}
	for _, a := range from.Advisories {
		if err := add(w, a, from.AsOf); err != nil {
			return fmt.Errorf("add %s to the sample database: %w", a.ID, err)
		}
		if err := addRisk(w, a, from.AsOf); err != nil {
			return fmt.Errorf("add the risk of %s to the sample database: %w", a.ID, err)
		}
	}
	return nil
}

// addRisk adds what is known of exploitation, from sources that are called as in
// Grype's databases.
func addRisk(w v6.ReadWriter, a advisories.Advisory, asOf time.Time) error {
	if e := a.Exploited; e != nil {
		if err := w.AddProvider(source("kev", asOf)); err != nil {
			return err
		}
		ransomware := "unknown"
		if e.Ransomware {
			ransomware = "known"
		}
		if err := w.AddKnownExploitedVulnerabilities(&v6.KnownExploitedVulnerabilityHandle{Cve: e.CVE, BlobValue: &v6.KnownExploitedVulnerabilityBlob{
			Cve: e.CVE, DateAdded: day(e.Added), DueDate: day(e.Due), KnownRansomwareCampaignUse: ransomware,
		}}); err != nil {
			return err
		}
	}
	if e := a.EPSS; e != nil {
		if err := w.AddProvider(source("epss", asOf)); err != nil {
			return err
		}
		return w.AddEpss(&v6.EpssHandle{Cve: e.CVE, Epss: e.Probability, Percentile: e.Percentile, Date: asOf})
	}
	return nil
}

// day reads YYYY-MM-DD, which was checked when it was loaded; nil when there is
// none.
func day(s string) *time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return nil
	}
	return &t
}

func source(id string, asOf time.Time) v6.Provider {
	return v6.Provider{ID: id, Version: sampleVersion, Processor: sampleProcessor, DateCaptured: &asOf}
}

func add(w v6.ReadWriter, a advisories.Advisory, asOf time.Time) error {
	for provider, affected := range bySource(a) {
		record := vulnerability(a, provider, asOf)
		if err := w.AddVulnerabilities(record); err != nil {
			return err
		}
		for _, f := range affected {
			h := affectedPackage(f, a)
			h.VulnerabilityID = record.ID
			if err := w.AddAffectedPackages(h); err != nil {
				return err
			}
		}
	}
	return nil
}

// bySource splits what is affected by the source whose records Grype would have
// for it: distributions have their own.
func bySource(a advisories.Advisory) map[string][]advisories.Affected {
	out := map[string][]advisories.Affected{}
	for _, f := range a.Affected {
		source := "github"
		if f.Ecosystem == "deb" {
			source, _, _ = strings.Cut(f.Distro, ":")
		}
		out[source] = append(out[source], f)
	}
	return out
}

func vulnerability(a advisories.Advisory, provider string, asOf time.Time) *v6.VulnerabilityHandle {
	published, from := a.PublishedAt(), source(provider, asOf)
	severities := []v6.Severity{{Scheme: v6.SeveritySchemeCHMLN, Value: a.Severity, Rank: 1}}
	if a.CVSS != "" {
		severities = append(severities, v6.Severity{
			Scheme: v6.SeveritySchemeCVSS,
			Value:  v6.CVSSSeverity{Vector: a.CVSS, Version: cvssVersion(a.CVSS)},
			Rank:   2,
		})
	}
	return &v6.VulnerabilityHandle{
		Name:          a.ID,
		Status:        v6.VulnerabilityActive,
		PublishedDate: &published,
		ProviderID:    provider,
		Provider:      &from,
		BlobValue: &v6.VulnerabilityBlob{
			ID:          a.ID,
			Description: a.Summary,
			References:  []v6.Reference{{URL: a.Source}},
			Aliases:     a.Aliases,
			Severities:  severities,
		},
	}
}

// cvssVersion reads "CVSS:3.1/AV:..." as 3.1.
func cvssVersion(vector string) string {
	head, _, _ := strings.Cut(vector, "/")
	return strings.TrimPrefix(head, "CVSS:")
}

func affectedPackage(f advisories.Affected, a advisories.Advisory) *v6.AffectedPackageHandle {
	types := packageTypes[f.Ecosystem]
	fix := &v6.Fix{Version: f.Fixed, State: v6.FixedStatus}
	if f.Fixed == "" {
		fix.State = v6.NotFixedStatus
	} else if on := day(f.FixedOn); on != nil {
		fix.Detail = &v6.FixDetail{Available: &v6.FixAvailability{Date: on, Kind: "advisory"}}
	}
	h := &v6.AffectedPackageHandle{
		Package: &v6.Package{Name: f.Package, Ecosystem: string(types.ecosystem)},
		BlobValue: &v6.PackageBlob{
			CVEs:   cves(a),
			Ranges: []v6.Range{{Version: v6.Version{Type: types.format, Constraint: f.Versions}, Fix: fix}},
		},
	}
	if f.Distro != "" {
		name, major, _ := strings.Cut(f.Distro, ":")
		h.OperatingSystem = &v6.OperatingSystem{Name: name, ReleaseID: name, MajorVersion: major, Codename: codenames[f.Distro]}
	}
	return h
}

func cves(a advisories.Advisory) []string {
	var out []string
	for _, id := range append([]string{a.ID}, a.Aliases...) {
		if strings.HasPrefix(id, "CVE-") {
			out = append(out, id)
		}
	}
	return out
}

// packageTypes says how Grype names an ecosystem and compares its versions.
var packageTypes = map[string]struct {
	ecosystem syftpkg.Type
	format    string
}{
	"go":   {syftpkg.GoModulePkg, "go"},
	"npm":  {syftpkg.NpmPkg, "semver"},
	"pypi": {syftpkg.PythonPkg, "python"},
	"deb":  {syftpkg.DebPkg, "dpkg"},
}

var codenames = map[string]string{"debian:12": "bookworm", "debian:11": "bullseye"}
