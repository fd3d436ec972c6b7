package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/install/finding"
)

// examine returns all that is wrong in a snapshot, the worst first.
func examine(s *snapshot) []finding.Finding {
	found := slices.Clone(s.Unseen)
	for _, check := range []func(*snapshot) []finding.Finding{
		gatekeeperThere, gatekeeperJudges, gatekeeperPods, gatekeeperNamespaces, failedOpen,
		mutatorPins, mutatorNamespaces, mutatorLast,
		providerObject, providerPods, parts, databases, certificates,
		constraints, templatesTaken,
	} {
		found = append(found, check(s)...)
	}
	found = append(found, leader(s, found)...)
	found = compact(found)
	slices.SortStableFunc(found, func(a, b finding.Finding) int { return cmp.Compare(rank(a.Severity), rank(b.Severity)) })
	return found
}

func rank(s finding.Severity) int {
	return slices.Index([]finding.Severity{finding.Error, finding.Unknown, finding.Warning}, s)
}

// compact leaves one finding of each id for an object: three replicas see one old
// database.
func compact(found []finding.Finding) (list []finding.Finding) {
	for _, f := range found {
		if !slices.ContainsFunc(list, func(x finding.Finding) bool { return x.ID == f.ID && x.Object == f.Object }) {
			list = append(list, f)
		}
	}
	return list
}

func has(found []finding.Finding, ids ...finding.ID) bool {
	return slices.ContainsFunc(found, func(f finding.Finding) bool { return slices.Contains(ids, f.ID) })
}

// leaseLost is after how long without renewal nobody leads: the Lease is for a quarter
// of a minute, and clocks differ.
const leaseLost = time.Minute

// leader is what the replica that installs says, as far as there is one and it is not
// said already; found are all other findings.
func leader(s *snapshot, found []finding.Finding) []finding.Finding {
	r := &s.Release
	if !r.Installs || !s.Installed.Done || !s.Renewed.Done || has(found, finding.ProviderNotReady) {
		return nil // who is not there leads nothing
	}
	if !s.Installed.It || s.Now.Sub(s.Renewed.It) > leaseLost {
		says := "no replica installs or repairs anything"
		if s.Renewed.It.IsZero() {
			says += ": there never was one"
		} else {
			says += " since " + s.Renewed.It.UTC().Format(time.RFC3339)
		}
		return []finding.Finding{{
			ID: finding.InstallerMissing, Severity: finding.Error, Object: "Lease " + r.Namespace + "/" + r.Instance + "-install",
			Message: says, Command: fmt.Sprintf("kubectl -n %s logs -l app.kubernetes.io/instance=%s,app.kubernetes.io/component=provider -c provider --tail=50", r.Namespace, r.Name),
		}}
	}
	var list []finding.Finding
	for _, f := range s.Leader {
		// Without Gatekeeper nothing can be installed, whatever of it is missed first.
		follows := has(found, finding.GatekeeperMissing) && f.Severity == finding.Error
		if !has(found, f.ID) && !follows {
			list = append(list, f)
		}
	}
	return list
}

// exempt reports whether nothing there is meant to be judged.
func (s *snapshot) exempt(namespace string) bool {
	return namespace == s.Gatekeeper || slices.ContainsFunc(s.Release.Exempt, func(pattern string) bool { return matches(pattern, namespace) })
}

// some lists names, as many as a line has room for.
func some(names []string) string {
	slices.Sort(names)
	const most = 8
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

func plural(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
