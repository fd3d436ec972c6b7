package report

import (
	"slices"
	"strings"
)

// Identify makes ID the identifier that people call the flaw by, whichever
// database the scanner knows it from, and the others its aliases: its one CVE,
// else its one GitHub advisory, else what the scanner calls it. An advisory that
// bundles several CVEs goes by its own ID, since what is said of one of them does
// not hold for the others.
func (v *Vulnerability) Identify() {
	preferred := v.preferred()
	if v.ID == "" || preferred == v.ID {
		return // without an ID a finding is none, whatever else is said of it
	}
	aliases := make([]string, 0, len(v.Aliases))
	for _, id := range append([]string{v.ID}, v.Aliases...) {
		if id != "" && !strings.EqualFold(id, preferred) && !slices.Contains(aliases, id) {
			aliases = append(aliases, id)
		}
	}
	v.ID, v.Aliases = preferred, aliases
}

func (v *Vulnerability) preferred() string {
	for _, source := range []string{"CVE-", "GHSA-"} {
		found := v.identifiers(source)
		switch {
		case len(found) == 0:
			continue
		case len(found) > 1 || from(v.ID, source):
			return v.ID
		}
		return found[0]
	}
	return v.ID
}

// Bundles reports whether the finding is about more than one CVE, as the
// advisories of distributions often are.
func (v *Vulnerability) Bundles() bool { return len(v.identifiers("CVE-")) > 1 }

// identifiers are those of one source, each once.
func (v *Vulnerability) identifiers(source string) []string {
	var found []string
	add := func(id string) {
		if from(id, source) && !slices.ContainsFunc(found, func(f string) bool { return strings.EqualFold(f, id) }) {
			found = append(found, id)
		}
	}
	add(v.ID)
	for _, id := range v.Aliases {
		add(id)
	}
	return found
}

func from(id, source string) bool {
	return len(id) >= len(source) && strings.EqualFold(id[:len(source)], source)
}
