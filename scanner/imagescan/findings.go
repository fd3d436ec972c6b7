package imagescan

import (
	"cmp"
	"slices"
	"strings"
	"time"

	v6 "github.com/anchore/grype/grype/db/v6"
	"github.com/anchore/grype/grype/match"
	"github.com/anchore/grype/grype/vulnerability"

	"github.com/imagegate/imagegate/scanner/harbor"
)

// How much of one record goes into a report.
const (
	maxLinks       = 20
	maxDescription = 4096
	maxSuppressed  = 1000
)

// vulnerabilities turns matches into Harbor's findings, worst first.
func vulnerabilities(matches *match.Matches, risk *riskData) []harbor.Vulnerability {
	out := make([]harbor.Vulnerability, 0, matches.Count())
	for _, m := range matches.Sorted() {
		out = append(out, finding(m, risk))
	}
	slices.SortStableFunc(out, worstFirst)
	return slices.CompactFunc(out, sameFinding)
}

func worstFirst(a, b harbor.Vulnerability) int {
	return cmp.Or(
		cmp.Compare(b.Severity.Rank(), a.Severity.Rank()),
		cmp.Compare(a.ID, b.ID),
		cmp.Compare(a.Package, b.Package),
		cmp.Compare(a.Version, b.Version),
		cmp.Compare(a.VendorAttributes.Type, b.VendorAttributes.Type),
		cmp.Compare(a.VendorAttributes.Path, b.VendorAttributes.Path),
	)
}

// sameFinding joins what differs only in where in the image it is.
func sameFinding(a, b harbor.Vulnerability) bool {
	return a.ID == b.ID && a.Package == b.Package && a.Version == b.Version &&
		a.VendorAttributes.Type == b.VendorAttributes.Type && a.VendorAttributes.Path == b.VendorAttributes.Path
}

func finding(m match.Match, risk *riskData) harbor.Vulnerability {
	meta := m.Vulnerability.Metadata
	if meta == nil {
		meta = &vulnerability.Metadata{} // a record without one is of unknown severity
	}
	v := harbor.Vulnerability{
		ID:          m.Vulnerability.ID,
		Package:     m.Package.Name,
		Version:     m.Package.Version,
		FixVersion:  strings.Join(m.Vulnerability.Fix.Versions, ", "),
		Severity:    severity(meta.Severity),
		Description: clip(meta.Description),
		Links:       links(meta),
		CVSS:        preferredCVSS(meta.Cvss),
		CWEs:        weaknesses(meta.CWEs),
		VendorAttributes: harbor.VendorAttributes{
			Aliases:   aliases(m.Vulnerability),
			Published: published(m.Vulnerability),
			PURL:      m.Package.PURL,
			Type:      string(m.Package.Type),
			FixState:  string(m.Vulnerability.Fix.State),
			Namespace: m.Vulnerability.Namespace,

			FixAvailable: fixAvailable(m.Vulnerability.Fix),
		},
	}
	risk.weigh(&v, meta)
	if at := m.Package.Locations.ToSlice(); len(at) > 0 {
		v.VendorAttributes.Path = at[0].RealPath
	}
	return v
}

func severity(s string) harbor.Severity {
	for _, known := range []harbor.Severity{
		harbor.SeverityCritical, harbor.SeverityHigh, harbor.SeverityMedium, harbor.SeverityLow, harbor.SeverityNegligible,
	} {
		if strings.EqualFold(s, string(known)) {
			return known
		}
	}
	return harbor.SeverityUnknown
}

// handle is the database's own record, which knows more than Grype's model.
func handle(v vulnerability.Vulnerability) *v6.VulnerabilityHandle {
	h, _ := v.Internal.(*v6.VulnerabilityHandle)
	return h
}

func published(v vulnerability.Vulnerability) *time.Time {
	if h := handle(v); h != nil && h.PublishedDate != nil {
		t := h.PublishedDate.UTC()
		return &t
	}
	return nil
}

func aliases(v vulnerability.Vulnerability) []string {
	var ids []string
	if h := handle(v); h != nil && h.BlobValue != nil {
		ids = append(ids, h.BlobValue.Aliases...)
	}
	for _, r := range v.RelatedVulnerabilities {
		ids = append(ids, r.ID)
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return id == "" || strings.EqualFold(id, v.ID) })
	slices.Sort(ids)
	return slices.Compact(ids)
}

func links(meta *vulnerability.Metadata) []string {
	out := []string{}
	for _, u := range append([]string{meta.DataSource}, meta.URLs...) {
		if u != "" && len(out) < maxLinks && !slices.Contains(out, u) {
			out = append(out, u)
		}
	}
	return out
}

// preferredCVSS takes the first score of each generation: the database orders
// them by authority.
func preferredCVSS(scores []vulnerability.Cvss) *harbor.CVSS {
	var out harbor.CVSS
	for _, s := range scores {
		base := s.Metrics.BaseScore
		switch {
		case strings.HasPrefix(s.Version, "3") && out.ScoreV3 == nil:
			out.ScoreV3, out.VectorV3 = &base, s.Vector
		case strings.HasPrefix(s.Version, "2") && out.ScoreV2 == nil:
			out.ScoreV2, out.VectorV2 = &base, s.Vector
		}
	}
	if out.ScoreV2 == nil && out.ScoreV3 == nil {
		return nil
	}
	return &out
}

func weaknesses(cwes []vulnerability.CWE) []string {
	var ids []string
	for _, c := range cwes {
		ids = append(ids, c.CWE)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func clip(s string) string {
	if len(s) <= maxDescription {
		return s
	}
	return strings.ToValidUTF8(s[:maxDescription], "") + "..."
}

// suppressed lists what Grype matched and took back, worst first, with its
// reason.
func suppressed(ignored []match.IgnoredMatch, risk *riskData) []harbor.Suppressed {
	out := make([]harbor.Suppressed, 0, len(ignored))
	for _, m := range ignored {
		out = append(out, harbor.Suppressed{Vulnerability: finding(m.Match, risk), Reason: reasons(m.AppliedIgnoreRules)})
	}
	slices.SortStableFunc(out, func(a, b harbor.Suppressed) int { return worstFirst(a.Vulnerability, b.Vulnerability) })
	out = slices.CompactFunc(out, func(a, b harbor.Suppressed) bool {
		return a.Reason == b.Reason && sameFinding(a.Vulnerability, b.Vulnerability)
	})
	return out[:min(len(out), maxSuppressed)]
}

// said are the reasons that Grype writes as codes.
var said = map[string]string{
	"distro-fixed":           "the distribution's package that owns it has the fix",
	"distro-nak":             "the distribution declares the package that owns it not vulnerable",
	"UnaffectedPackageEntry": "the database declares the package not affected",
}

// reasons joins what the rules say; a rule of Grype's may say nothing.
func reasons(rules []match.IgnoreRule) string {
	var out []string
	for _, r := range rules {
		reason := cmp.Or(said[r.Reason], r.Reason)
		if reason != "" && !slices.Contains(out, reason) {
			out = append(out, reason)
		}
	}
	if len(out) == 0 {
		return "Grype: a rule without a reason"
	}
	return "Grype: " + strings.Join(out, "; ")
}
