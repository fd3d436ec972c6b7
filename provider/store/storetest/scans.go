package storetest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/report"
)

// Digest returns the digest of an image that there is not; each n has its own.
func Digest(n int) string { return fmt.Sprintf("sha256:%064x", n) }

// Key returns what a scan of the image is kept under that counts everywhere.
func Key(n int) string { return backend.ByDigest.Key(backend.Image{Digest: Digest(n)}) }

// Scan returns a scan of the image with so many findings, as a scanner of
// packages makes them: with identifiers, package URLs, a description of some
// hundred bytes and links. Equal arguments make equal scans; different ones have
// most of their findings' texts in common, as the images of a cluster do.
func Scan(n, findings int) *report.Scan {
	made := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	s := &report.Scan{
		Scanner:         "Grype 0.120.1",
		Subject:         Digest(n),
		ScannedAt:       made,
		ReceivedAt:      made.Add(time.Second),
		DatabaseBuiltAt: made.Add(-3 * time.Hour),
		Coverage:        &report.Coverage{Distribution: "debian 12.5", Packages: 3*findings + 1},
	}
	image := rand.New(rand.NewPCG(uint64(n), 1)) //nolint:gosec // equal arguments make equal scans
	for range findings {
		s.Vulnerabilities = append(s.Vulnerabilities, finding(image.IntN(20*findings)))
	}
	report.Arrange(s.Vulnerabilities)
	return s
}

// finding is one of those that there are, in the same words wherever it is found.
func finding(n int) report.Vulnerability {
	r := rand.New(rand.NewPCG(uint64(n), 2)) //nolint:gosec // as above
	name := fmt.Sprintf("%s-%s", words(r, 1), words(r, 1))
	v := report.Vulnerability{
		ID:          fmt.Sprintf("CVE-%d-%d", 2015+r.IntN(12), 1000+r.IntN(60000)),
		Package:     name,
		PURL:        fmt.Sprintf("pkg:deb/debian/%s@%d.%d.%d-%d+deb12u%d?arch=amd64&distro=debian-12", name, r.IntN(9), r.IntN(40), r.IntN(20), r.IntN(9), r.IntN(9)),
		Installed:   fmt.Sprintf("%d.%d.%d-%d", r.IntN(9), r.IntN(40), r.IntN(20), r.IntN(9)),
		Severity:    report.Severity(r.IntN(int(report.SeverityCritical) + 1)),
		Published:   time.Date(2015+r.IntN(12), time.Month(1+r.IntN(12)), 1+r.IntN(28), r.IntN(24), r.IntN(60), 0, 0, time.UTC),
		Description: words(r, 30+r.IntN(60)),
		Links:       []string{fmt.Sprintf("https://security-tracker.debian.org/tracker/%d", r.IntN(1<<30))},
	}
	if r.IntN(2) == 0 {
		v.Fixed = v.Installed + "+deb12u1"
		v.Aliases = []string{fmt.Sprintf("GHSA-%08x", r.Uint32())}
	}
	return v
}

// words are as repetitive as advisories are.
func words(r *rand.Rand, n int) string {
	const vocabulary = "a an allows attacker remote local crafted overflow heap stack buffer integer read write use after free " +
		"denial of service via in before through the function parser library version component memory corruption input " +
		"file request header malformed libxml openssl glibc systemd kernel driver vulnerability discovered was found when " +
		"processing could lead to arbitrary code execution information disclosure which fails properly validate bounds " +
		"python perl curl tar zlib image decoder certificate signature handling race condition null pointer dereference"
	all := strings.Fields(vocabulary)
	out := make([]string, n)
	for i := range out {
		out[i] = all[r.IntN(len(all))]
	}
	return strings.Join(out, " ")
}

// Full returns a scan with something in every field, so that a test can see one that
// is lost.
func Full(n int) *report.Scan {
	s := Scan(n, 5)
	s.ValidUntil = s.ScannedAt.Add(72 * time.Hour)
	s.RefreshAt = s.ScannedAt.Add(time.Hour)
	s.Judgement = report.JudgementFail
	s.Unlisted = true
	s.Overall = report.SeverityHigh
	s.LeftOut = &report.LeftOut{Severities: []report.Severity{report.SeverityLow}, Unfixed: true, Packages: "packages of languages"}
	s.Coverage = &report.Coverage{Distribution: "debian 12.5", Packages: 9, Uncounted: true, Unmatched: 2, EndOfLife: s.ScannedAt.AddDate(2, 0, 0), Gap: "a target"}
	s.RiskData = &report.RiskData{
		KnownExploited: report.RiskSource{AsOf: s.ScannedAt.AddDate(0, 0, -1), Missing: "a part"},
		EPSS:           report.RiskSource{AsOf: s.ScannedAt.AddDate(0, 0, -2), Missing: "another"},
	}
	s.Believed = "scanner.harbor"
	s.Attached = true
	s.SignedBy = []string{"key-1", "key-2"}
	s.VEX = []json.RawMessage{json.RawMessage(`{"@context":"https://openvex.dev/ns/v0.2.0","statements":[]}`)}
	s.Inner = json.RawMessage(`{"vulnerabilities":[{"id":"CVE-1","links":["https://example.org/?a=1&b=<2>"]}],"n":12345678901234567890}`)
	s.InnerLeftOut = 7
	for i := range s.Vulnerabilities {
		v := &s.Vulnerabilities[i]
		v.Aliases = []string{"GHSA-1"}
		v.Fixed = "9.9"
		v.Severity = report.SeverityHigh
		v.KnownExploited = &report.KnownExploited{Added: "2023-11-21", Due: "2023-12-12", Ransomware: true}
		v.EPSS = &report.EPSS{Probability: 0.25, Percentile: 0.75, Date: "2026-11-27"}
		v.Risk = new(float64(82.5))
		v.FixAvailable = v.Published.AddDate(0, 0, 1)
		v.Platforms = []string{"linux/arm64"}
		v.Suppressed = "the scanner set it aside"
	}
	report.Arrange(s.Vulnerabilities)
	return s
}
