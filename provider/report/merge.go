package report

import (
	"slices"
	"time"
)

// Merge returns what is known of an image that has several manifests, each
// scanned by itself: all findings, the oldest times, what all of them cover, and
// of lead, one of scans, the rest. A reader of the result must not mistake one
// platform's list for the image's: it is Unlisted when any of them is, or when
// complete is false because a manifest has no scan yet.
func Merge(lead *Scan, scans []*Scan, complete bool) *Scan {
	out := *lead
	out.Unlisted, out.Vulnerabilities = !complete, nil
	out.Coverage = mergeCoverage(scans, complete)
	type finding struct{ id, pkg, installed string }
	seen := map[finding]int{}
	for _, s := range scans {
		out.Unlisted = out.Unlisted || s.Unlisted
		out.ScannedAt = earliest(out.ScannedAt, s.ScannedAt)
		out.DatabaseBuiltAt = earliest(out.DatabaseBuiltAt, s.DatabaseBuiltAt)
		for _, v := range s.Vulnerabilities {
			key := finding{v.ID, v.Package, v.Installed}
			i, ok := seen[key]
			if !ok {
				seen[key] = len(out.Vulnerabilities)
				out.Vulnerabilities = append(out.Vulnerabilities, v)
			} else if out.Vulnerabilities[i].Suppressed != "" && v.Suppressed == "" {
				out.Vulnerabilities[i] = v // it counts on one platform, so it counts
			}
		}
	}
	if out.Unlisted {
		out.Vulnerabilities = nil
	}
	out.Vulnerabilities = slices.Clip(out.Vulnerabilities)
	SortVulnerabilities(out.Vulnerabilities)
	return &out
}

// earliest takes an unknown time for the oldest.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.IsZero() {
		return time.Time{}
	}
	if b.Before(a) {
		return b
	}
	return a
}
