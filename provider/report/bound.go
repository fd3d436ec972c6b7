package report

import "fmt"

// The bounds of what is kept of one finding, in bytes and in entries. What it
// goes by is longer than what a view shows of it.
const (
	keptIdentifier  = 128
	keptAliases     = 1024 // a distribution's advisory of its kernel lists hundreds
	keptPackage     = 256
	keptPURL        = 1024
	keptVersion     = 256
	keptDescription = 1024
	keptLinks       = 8
	keptLink        = 512
)

// Bound cuts a finding to size; every backend has its findings pass it as they
// are read. What a finding goes by is not cut, since a part of a name, or some of
// several, are the name of another flaw: those are an error.
func (v *Vulnerability) Bound() error {
	for _, id := range append([]string{v.ID}, v.Aliases...) {
		if len(id) > keptIdentifier {
			return fmt.Errorf("a finding has an identifier of %d bytes, more than %d", len(id), keptIdentifier)
		}
	}
	if n := len(v.Aliases); n > keptAliases {
		return fmt.Errorf("%s goes by %d names, more than %d", Clean(v.ID, maxID), n, keptAliases)
	}
	v.Package, v.PURL = Clean(v.Package, keptPackage), Clean(v.PURL, keptPURL)
	v.Installed, v.Fixed = Clean(v.Installed, keptVersion), Clean(v.Fixed, keptVersion)
	v.Description, v.Suppressed = Clean(v.Description, keptDescription), Clean(v.Suppressed, keptDescription)
	v.boundRisk()
	var links []string
	for _, l := range v.Links {
		if len(l) <= keptLink && len(links) < keptLinks {
			links = append(links, l)
		}
	}
	v.Links = links
	return nil
}
