package report

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"
)

// SampleDatabase is how whatever a scan says names the worker's small database.
const SampleDatabase = "SAMPLE database"

// Vulnerability is one finding in one package, in the same shape whatever
// scanner found it.
type Vulnerability struct {
	// ID is what the flaw goes by everywhere: see Identify.
	ID string
	// Aliases are its other identifiers: GHSA-..., GO-..., DLA-...
	Aliases []string `json:",omitempty"`
	Package string
	// PURL is the package's URL (pkg:golang/golang.org/x/text@v0.3.5), empty
	// when the scanner tells none.
	PURL string `json:",omitempty"`
	// Installed is the version found in the image.
	Installed string
	// Fixed is the version that has the fix; empty when there is none.
	Fixed    string
	Severity Severity
	// Published is when the advisory was made public, zero when not known.
	Published time.Time `json:",omitzero"`
	// KnownExploited is its entry among the known exploited vulnerabilities, EPSS its
	// score, Risk one from 0 to 100 that the scanner makes of both and the severity.
	// Each is nil when there is none, or when that is not known: Scan.RiskData says.
	KnownExploited *KnownExploited `json:",omitempty"`
	EPSS           *EPSS           `json:",omitempty"`
	Risk           *float64        `json:",omitempty"`
	// FixAvailable is when the first version that has the fix was there, zero when not
	// known.
	FixAvailable time.Time `json:",omitzero"`
	Description  string    `json:",omitempty"`
	Links        []string  `json:",omitempty"`
	// Platforms are those of an index on which the finding counts, or on which it
	// was suppressed when it counts on none; nil for a plain image and in a
	// stored scan, which is of one manifest.
	Platforms []string `json:",omitempty"`
	// Suppressed says why the finding does not count, "exception until
	// 2026-12-01: not reachable" or "VEX not_affected: component_not_present";
	// empty when it counts. In a stored scan it is what the scanner itself set
	// aside.
	Suppressed string `json:",omitempty"`
}

// Judgement is the verdict of a scanner that judges by a policy of its own
// (Anchore, Sysdig). Scanners that only list findings leave it empty.
type Judgement string

// The judgements.
const (
	JudgementNone Judgement = ""
	JudgementPass Judgement = "pass"
	JudgementFail Judgement = "fail"
)

// Scan is the outcome of one finished scan of one image manifest. It is what
// the store keeps: facts, never a verdict, so that a change of the verdict's
// configuration counts at once for images scanned long ago.
type Scan struct {
	// Scanner names who scanned, with its version: "Grype 0.120.1"; with SampleDatabase
	// at its end where that was looked into.
	Scanner string
	// Subject is the digest of the manifest that the report says it is about, in
	// the scanner's own words and not in ours: sha256:...
	Subject string
	// ScannedAt is when the scanner says that the scan ended.
	ScannedAt time.Time
	// ReceivedAt is when the provider got it, by its own clock: a scanner may
	// hand out a report it made long ago.
	ReceivedAt time.Time `json:",omitzero"`
	// DatabaseBuiltAt is the age of the vulnerability data, zero when unknown.
	DatabaseBuiltAt time.Time `json:",omitzero"`
	// ValidUntil is when the scan stops counting whatever else is configured;
	// zero: never.
	ValidUntil time.Time `json:",omitzero"`
	// RefreshAt is when the scan is worth making again whatever else is
	// configured, for something was out of reach when it was made; zero: never.
	// It counts until then and after.
	RefreshAt time.Time `json:",omitzero"`
	// Judgement is the scanner's own verdict, if it makes one.
	Judgement Judgement `json:",omitempty"`
	// Unlisted says that the scanner judged but did not list what it found, so
	// that an empty Vulnerabilities means nothing.
	Unlisted bool `json:",omitempty"`
	// Vulnerabilities is as Arrange leaves it.
	Vulnerabilities []Vulnerability `json:",omitempty"`
	// Overall is the severity that the scanner gives the image as a whole;
	// Unknown where it gives none.
	Overall Severity `json:",omitempty"`
	// Coverage is what was looked at; nil when that is not known.
	Coverage *Coverage `json:",omitempty"`
	// LeftOut is what the scanner says that it does not report; nil when it says
	// nothing of the kind.
	LeftOut *LeftOut `json:",omitempty"`
	// RiskData says whether it is known which findings are exploited; nil when the
	// scanner says nothing of the kind.
	RiskData *RiskData `json:",omitempty"`
	// Believed names the scanner that was configured, when it made the scan, to be
	// believed when it lists nothing and does not say what it looked at; empty for
	// one that was not. Whether it still is asks the verdict.
	Believed string `json:",omitempty"`
	// Attached says that the scan was not made by a configured scanner but found
	// attached to the image.
	Attached bool `json:",omitempty"`
	// SignedBy are the IDs of the keys that signed what was found attached. The
	// scan counts only as long as they are trusted.
	SignedBy []string `json:",omitempty"`
	// VEX are OpenVEX documents found attached to the image. Whoever puts them
	// here has verified their signatures.
	VEX []json.RawMessage `json:",omitempty"`
	// Inner is the scanner's own report object, passed on untouched as
	// InnerReport; nil when it was larger than any view can send. InnerLeftOut is
	// its size then.
	Inner        json.RawMessage `json:",omitempty"`
	InnerLeftOut int             `json:",omitempty"`
}

// Arrange identifies the findings of a scan and puts the worst first: by
// severity, then those that are known to be exploited, those that have a fix, those
// that are likelier to be exploited; then by identifier, the latest first, whose
// fix is most often the latest too; then by package and version, so that equal scans
// read alike, whoever made them, and a list that must be cut loses what matters
// least.
func Arrange(v []Vulnerability) {
	for i := range v {
		v[i].Identify()
	}
	slices.SortStableFunc(v, func(a, b Vulnerability) int {
		return cmp.Or(
			cmp.Compare(b.Severity, a.Severity),
			listedFirst(a, b),
			cmp.Compare(fixRank(a), fixRank(b)),
			likelierFirst(a, b),
			compareVersions(b.ID, a.ID),
			cmp.Compare(a.Package, b.Package),
			cmp.Compare(a.Installed, b.Installed),
		)
	})
}

func fixRank(v Vulnerability) int {
	if v.Fixed != "" {
		return 0
	}
	return 1
}
