package harbor

import (
	"strings"

	"github.com/imagegate/imagegate/provider/report"
)

// What the adapter of Trivy tells of its configuration, by environment variable.
// Other adapters tell nothing of the kind.
const (
	trivySeverities = "env.SCANNER_TRIVY_SEVERITY"
	trivyUnfixed    = "env.SCANNER_TRIVY_IGNORE_UNFIXED"
	trivyTypes      = "env.SCANNER_TRIVY_VULN_TYPE"
)

// leftOut is what the adapter says that it is configured not to report.
func (m *metadata) leftOut() *report.LeftOut {
	out := &report.LeftOut{Unfixed: strings.EqualFold(m.Properties[trivyUnfixed], "true"), Packages: m.unlooked()}
	if listed := m.Properties[trivySeverities]; listed != "" {
		kept := map[report.Severity]bool{}
		for word := range strings.SplitSeq(listed, ",") {
			if s, ok := report.SeverityOf(strings.TrimSpace(word)); ok {
				kept[s] = true
			}
		}
		// Trivy knows no Negligible: what others call that is Low there.
		kept[report.SeverityNegligible] = kept[report.SeverityLow]
		for _, s := range report.Severities() {
			if !kept[s] {
				out.Severities = append(out.Severities, s)
			}
		}
	}
	if len(out.Severities) == 0 && !out.Unfixed && out.Packages == "" {
		return nil
	}
	return out
}

// unlooked names the kind of packages that the adapter is configured not to look
// up.
func (m *metadata) unlooked() string {
	listed := m.Properties[trivyTypes]
	if listed == "" {
		return ""
	}
	kept := map[string]bool{}
	for word := range strings.SplitSeq(listed, ",") {
		kept[strings.TrimSpace(word)] = true
	}
	switch {
	case !kept["os"]:
		return "packages of the distribution"
	case !kept["library"]:
		return "packages of languages"
	}
	return ""
}
