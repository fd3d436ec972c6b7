// Package advisories is a small collection of real, published security
// advisories, written down as YAML so that anybody can read and check them.
// The worker can build a vulnerability database from them without any network,
// for tests and demonstrations. It is no substitute for the real database:
// thousands of vulnerabilities are missing.
package advisories

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

//go:embed *.yaml
var files embed.FS

// Advisory is one published vulnerability.
type Advisory struct {
	// ID as the source names it: GHSA-..., CVE-... or GO-...
	ID string `yaml:"id"`
	// Aliases are the identifiers that other sources use.
	Aliases []string `yaml:"aliases"`
	// Summary says in a sentence what can happen.
	Summary string `yaml:"summary"`
	// Severity is the source's own: critical, high, medium, low, negligible,
	// or unknown when it gives none.
	Severity string `yaml:"severity"`
	// CVSS is the vector as published, CVSS:3.1/AV:...; empty when there is none.
	CVSS string `yaml:"cvss"`
	// Published is the day the advisory came out, as YYYY-MM-DD.
	Published string `yaml:"published"`
	// Source is where the facts were read.
	Source string `yaml:"source"`
	// Exploited is its entry in CISA's catalogue of known exploited vulnerabilities,
	// nil when it is not listed.
	Exploited *Exploited `yaml:"exploited"`
	// EPSS is its score; nil when none is written down here, as in all files: it
	// changes from day to day.
	EPSS     *EPSS      `yaml:"-"`
	Affected []Affected `yaml:"affected"`
}

// Exploited is an entry of the catalogue
// (https://www.cisa.gov/known-exploited-vulnerabilities-catalog).
type Exploited struct {
	// CVE is the one that is listed.
	CVE string `yaml:"cve"`
	// Added and Due are days as YYYY-MM-DD.
	Added string `yaml:"added"`
	Due   string `yaml:"due"`
	// Ransomware is whether it is known to be used in campaigns of ransomware.
	Ransomware bool `yaml:"ransomware"`
}

// EPSS is a score of the Exploit Prediction Scoring System.
type EPSS struct {
	CVE string
	// Probability and Percentile are from 0 to 1.
	Probability, Percentile float64
}

// Affected is one range of versions of one package.
type Affected struct {
	// Ecosystem is go, npm, pypi or deb.
	Ecosystem string `yaml:"ecosystem"`
	Package   string `yaml:"package"`
	// Distro is the release a deb package belongs to: debian:12.
	Distro string `yaml:"distro"`
	// Versions is the range: "<0.3.7" or ">=1.0.0,<1.2.6".
	Versions string `yaml:"versions"`
	// Fixed is the first version without the vulnerability; empty when there is none.
	Fixed string `yaml:"fixed"`
	// FixedOn is the day on which that was there, as YYYY-MM-DD; empty when not known.
	FixedOn string `yaml:"fixedOn"`
}

// PublishedAt is Published as a time, midnight UTC.
func (a Advisory) PublishedAt() time.Time {
	t, _ := time.Parse(time.DateOnly, a.Published) // checked when loaded
	return t
}

// Collection is what a directory of files says.
type Collection struct {
	// AsOf is the day the collection was last checked against its sources.
	AsOf       time.Time
	Advisories []Advisory
}

// file is one YAML document.
type file struct {
	AsOf       string     `yaml:"asOf"`
	Advisories []Advisory `yaml:"advisories"`
}

// Load reads the advisories in this package. Errors name the file.
func Load() (*Collection, error) { return load(files) }

func load(from fs.FS) (*Collection, error) {
	names, err := fs.Glob(from, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list the advisories: %w", err)
	}
	var all Collection
	seen := map[string]string{}
	for _, name := range names {
		raw, err := fs.ReadFile(from, name)
		if err != nil {
			return nil, fmt.Errorf("read the advisories: %w", err)
		}
		f, err := parse(raw)
		if err != nil {
			return nil, fmt.Errorf("advisories in %s: %w", path.Base(name), err)
		}
		for _, a := range f.Advisories {
			if other, ok := seen[a.ID]; ok {
				return nil, fmt.Errorf("advisories in %s: %s is in %s already", name, a.ID, other)
			}
			seen[a.ID] = name
		}
		asOf, _ := time.Parse(time.DateOnly, f.AsOf)
		if asOf.After(all.AsOf) {
			all.AsOf = asOf
		}
		all.Advisories = append(all.Advisories, f.Advisories...)
	}
	if len(all.Advisories) == 0 {
		return nil, errors.New("there are no advisories")
	}
	return &all, nil
}

func parse(raw []byte) (*file, error) {
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	var f file
	if err := dec.Decode(&f); err != nil {
		return nil, err
	}
	if _, err := time.Parse(time.DateOnly, f.AsOf); err != nil {
		return nil, fmt.Errorf("asOf: %w", err)
	}
	for i, a := range f.Advisories {
		if err := a.check(); err != nil {
			return nil, fmt.Errorf("advisory %d (%s): %w", i, a.ID, err)
		}
	}
	return &f, nil
}

var (
	identifier = regexp.MustCompile(`^(GHSA(-[0-9a-z]{4}){3}|CVE-\d{4}-\d{4,}|GO-\d{4}-\d{4,})$`)
	distroName = regexp.MustCompile(`^[a-z]+:\d+$`)
	severities = []string{"critical", "high", "medium", "low", "negligible", "unknown"}
	ecosystems = []string{"go", "npm", "pypi", "deb"}
)

func (a Advisory) check() error {
	if !identifier.MatchString(a.ID) {
		return fmt.Errorf("id: %q is no GHSA, CVE or GO identifier", a.ID)
	}
	for _, alias := range a.Aliases {
		if !identifier.MatchString(alias) {
			return fmt.Errorf("aliases: %q is no GHSA, CVE or GO identifier", alias)
		}
	}
	if !slices.Contains(severities, a.Severity) {
		return fmt.Errorf("severity: %q is none of %v", a.Severity, severities)
	}
	if _, err := time.Parse(time.DateOnly, a.Published); err != nil {
		return fmt.Errorf("published: %w", err)
	}
	if a.Summary == "" || a.Source == "" || len(a.Affected) == 0 {
		return errors.New("summary, source and affected must be given")
	}
	if a.Exploited != nil {
		if err := a.Exploited.check(); err != nil {
			return fmt.Errorf("exploited.%w", err)
		}
	}
	for i, f := range a.Affected {
		if err := f.check(); err != nil {
			return fmt.Errorf("affected[%d].%w", i, err)
		}
	}
	return nil
}

func (e Exploited) check() error {
	if !identifier.MatchString(e.CVE) || !strings.HasPrefix(e.CVE, "CVE-") {
		return fmt.Errorf("cve: %q is no CVE", e.CVE)
	}
	for name, day := range map[string]string{"added": e.Added, "due": e.Due} {
		if _, err := time.Parse(time.DateOnly, day); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (f Affected) check() error {
	if _, err := time.Parse(time.DateOnly, f.FixedOn); f.FixedOn != "" && err != nil {
		return fmt.Errorf("fixedOn: %w", err)
	}
	switch {
	case !slices.Contains(ecosystems, f.Ecosystem):
		return fmt.Errorf("ecosystem: %q is none of %v", f.Ecosystem, ecosystems)
	case f.Package == "":
		return errors.New("package: must be given")
	case f.Versions == "":
		return errors.New("versions: must be given")
	case (f.Ecosystem == "deb") != distroName.MatchString(f.Distro):
		return fmt.Errorf("distro: %q; a deb package needs one like debian:12, others have none", f.Distro)
	default:
		return nil
	}
}
