package report

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Coverage is what a scan looked at. A scan that found nothing says something
// about these packages and about no others; where it is not known what a scanner
// looked at there is no Coverage, which is not the same as a Coverage of nothing.
type Coverage struct {
	// Distribution is the Linux distribution that was recognised, with its
	// version: "debian 12.5". Empty when none was.
	Distribution string `json:",omitempty"`
	// Packages is how many packages were found, the distribution's and those of
	// languages together.
	Packages int
	// Uncounted says that the scanner told the distribution whose packages it
	// looked up and not how many: Packages is then what is known of at least.
	// Who asks whether anything was looked up asks Nothing.
	Uncounted bool `json:",omitempty"`
	// Unmatched is how many of them nobody could look up: the scanner's data has
	// no records of their distribution, or of its version.
	Unmatched int
	// EndOfLife is when the maintenance of the distribution ends or ended: from then
	// on that nothing is found in its packages means nothing. Zero when not known.
	EndOfLife time.Time `json:",omitzero"`
	// Gap says in a few words what else was not looked up where no number is
	// known: "targets that could not be read". Empty when nothing is missing.
	Gap string `json:",omitempty"`
}

// Matched is how many packages were looked up.
func (c *Coverage) Matched() int { return max(c.Packages-c.Unmatched, 0) }

// Nothing reports whether there was nothing that could be looked up.
func (c *Coverage) Nothing() bool { return !c.Uncounted && c.Matched() == 0 }

// String says what was looked at: "87 packages of debian 12.5".
func (c *Coverage) String() string {
	if c.Uncounted {
		return "the packages of " + Clean(c.Distribution, maxDistribution) + ", not counted"
	}
	packages := fmt.Sprintf("%d packages", c.Packages)
	if c.Packages == 1 {
		packages = "1 package"
	}
	if c.Distribution == "" {
		return packages + ", no distribution recognised"
	}
	return packages + " of " + Clean(c.Distribution, maxDistribution)
}

func (c *Coverage) check() error {
	if c.Packages < 0 || c.Unmatched < 0 || c.Unmatched > c.Packages {
		return errors.New("it counts its packages wrongly")
	}
	if c.Uncounted && c.Distribution == "" {
		return errors.New("it neither counts the packages it looked at nor names their distribution")
	}
	return nil
}

const (
	maxDistribution = 64
	maxGap          = 80
)

// clean returns c with every part bounded and printable.
func (c *Coverage) clean() *Coverage {
	if c == nil {
		return nil
	}
	out := *c
	out.Distribution, out.Gap = Clean(c.Distribution, maxDistribution), Clean(c.Gap, maxGap)
	return &out
}

// mergeCoverage is what was looked at of an image's manifests together: the sum
// of the packages, and every gap. It is not known when one is not.
func mergeCoverage(scans []*Scan, complete bool) *Coverage {
	if !complete || len(scans) == 0 {
		return nil
	}
	out := &Coverage{}
	var distributions, gaps []string
	for _, s := range scans {
		c := s.Coverage
		if c == nil {
			return nil
		}
		out.Packages += c.Packages
		out.Unmatched += c.Unmatched
		if out.EndOfLife.IsZero() || !c.EndOfLife.IsZero() && c.EndOfLife.Before(out.EndOfLife) {
			out.EndOfLife = c.EndOfLife
		}
		out.Uncounted = out.Uncounted || c.Uncounted
		distributions, gaps = append(distributions, c.Distribution), append(gaps, c.Gap)
	}
	out.Distribution, out.Gap = distinct(distributions), distinct(gaps)
	return out
}

// distinct joins what differs, in its order, without what is empty.
func distinct(s []string) string {
	var out []string
	for _, x := range s {
		if x != "" && !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return strings.Join(out, ", ")
}
