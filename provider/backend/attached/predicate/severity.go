package predicate

import (
	"math"
	"strconv"
	"strings"

	"github.com/imagegate/imagegate/provider/report"
)

// ofScore maps a CVSS base score to the severity that the CVSS v3 standard
// names for it; 0, "None" there, is Unknown as with the other backends.
func ofScore(score float64) (report.Severity, bool) {
	switch {
	case math.IsNaN(score), score < 0, score > 10:
		return report.SeverityUnknown, false
	case score >= 9:
		return report.SeverityCritical, true
	case score >= 7:
		return report.SeverityHigh, true
	case score >= 4:
		return report.SeverityMedium, true
	case score > 0:
		return report.SeverityLow, true
	}
	return report.SeverityUnknown, true
}

// ofMethod reads a score by the method it was made with. A number counts only
// where the method is CVSS, or NVD, which scores by it: others (EPSS) have
// other scales. CVSS vectors are not read.
func ofMethod(method, score string) (report.Severity, bool) {
	score = strings.TrimSpace(score)
	if s, ok := report.SeverityOf(score); ok {
		return s, true
	}
	method = strings.ToLower(method)
	if !strings.Contains(method, "cvss") && !strings.HasPrefix(method, "nvd") {
		return report.SeverityUnknown, false
	}
	n, err := strconv.ParseFloat(score, 64)
	if err != nil {
		return report.SeverityUnknown, false
	}
	return ofScore(n)
}
