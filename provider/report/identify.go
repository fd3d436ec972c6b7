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
	if strings.TrimSpace(v.ID) == "" || preferred == v.ID {
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
		id, several := v.identifier(source)
		switch {
		case id == "":
			continue
		case several || from(v.ID, source):
			return v.ID
		}
		return id
	}
	return v.ID
}

// Bundles reports whether the finding is about more than one CVE, as the
// advisories of distributions often are.
func (v *Vulnerability) Bundles() bool {
	_, several := v.identifier("CVE-")
	return several
}

// identifier is the first that source gave, and whether it gave several.
func (v *Vulnerability) identifier(source string) (id string, several bool) {
	if from(v.ID, source) {
		id = v.ID
	}
	for _, alias := range v.Aliases {
		switch {
		case !from(alias, source):
		case id == "":
			id = alias
		case !strings.EqualFold(alias, id):
			return id, true
		}
	}
	return id, false
}

func from(id, source string) bool {
	return len(id) >= len(source) && strings.EqualFold(id[:len(source)], source)
}
