package predicate

import (
	"fmt"

	"github.com/imagegate/imagegate/provider/report"
)

// The bounds of what is kept of one finding, in bytes and in entries.
const (
	maxIdentifier  = 128
	maxAliases     = 64
	maxPackage     = 256
	maxPURL        = 1024
	maxVersion     = 256
	maxDescription = 1024
	maxLinks       = 8
	maxLink        = 512
)

// bound cuts a finding to size. What it goes by is not cut, since a part of a
// name, or some of several, are the name of another flaw: those are an error.
func bound(v *report.Vulnerability) error {
	for _, id := range append([]string{v.ID}, v.Aliases...) {
		if len(id) > maxIdentifier {
			return fmt.Errorf("a finding has an identifier of %d bytes, more than %d", len(id), maxIdentifier)
		}
	}
	if n := len(v.Aliases); n > maxAliases {
		return fmt.Errorf("%s goes by %d names, more than %d", report.Clean(v.ID, maxName), n, maxAliases)
	}
	v.Package, v.PURL = report.Clean(v.Package, maxPackage), report.Clean(v.PURL, maxPURL)
	v.Installed, v.Fixed = report.Clean(v.Installed, maxVersion), report.Clean(v.Fixed, maxVersion)
	v.Description = report.Clean(v.Description, maxDescription)
	var links []string
	for _, l := range v.Links {
		if len(l) <= maxLink && len(links) < maxLinks {
			links = append(links, l)
		}
	}
	v.Links = links
	return nil
}
