package imagescan

import (
	"slices"
	"time"

	v6 "github.com/anchore/grype/grype/db/v6"
	"github.com/anchore/grype/grype/distro"
	"github.com/anchore/grype/grype/pkg"
	"github.com/anchore/grype/grype/vulnerability"
	"github.com/anchore/syft/syft/linux"
	syftpkg "github.com/anchore/syft/syft/pkg"

	"github.com/imagegate/imagegate/scanner/failure"
)

// distributions is what the database knows of operating systems.
type distributions interface {
	GetOperatingSystems(v6.OSSpecifier) ([]v6.OperatingSystem, error)
}

// unmatched counts the packages of distributions that the database does not
// know. Packages of a distribution are looked up in its own records only, so
// without any they are found clean whatever they are; when the image does not
// even say which distribution it is, that is a failure.
func unmatched(packages []pkg.Package, release *linux.Release, db distributions) (int, error) {
	known := map[string]bool{}
	missing, homeless := 0, 0
	for _, p := range packages {
		if !ofDistribution(p.Type) {
			continue
		}
		if p.Distro == nil {
			homeless++
			continue
		}
		name := p.Distro.String()
		if _, asked := known[name]; !asked {
			found, err := inDatabase(p.Distro, db)
			if err != nil {
				return 0, failure.Wrap(failure.Database, err, "the vulnerability database could not be asked for the image's distribution")
			}
			known[name] = found
		}
		if !known[name] {
			missing++
		}
	}
	switch {
	case homeless == 0:
		return missing, nil
	case release == nil:
		return 0, failure.New(failure.Unsupported, "the image has %d packages of a Linux distribution but does not say which one it is (it has no /etc/os-release), so they cannot be looked up", homeless)
	default:
		return 0, failure.New(failure.Unsupported, "the image has %d packages of a Linux distribution that is not known (/etc/os-release says %q), so they cannot be looked up", homeless, short(release.ID))
	}
}

// endOfLife is when the maintenance of a distribution ends or ended, as far as
// the database knows. From then on its advisories tell less and less, and that
// nothing is found means nothing.
func endOfLife(d *distro.Distro, db vulnerability.Provider) (*time.Time, error) {
	checker, ok := db.(vulnerability.EOLChecker)
	if !ok {
		return nil, nil //nolint:nilnil // the database does not tell
	}
	end, _, err := checker.GetOperatingSystemEOL(d)
	return end, err
}

func ofDistribution(t syftpkg.Type) bool {
	return slices.Contains([]syftpkg.Type{syftpkg.DebPkg, syftpkg.RpmPkg, syftpkg.ApkPkg}, t)
}

// inDatabase asks as Grype does when it looks up a package, once for the
// distribution itself and once for each of its channels.
func inDatabase(d *distro.Distro, db distributions) (bool, error) {
	for _, channel := range append([]string{""}, d.Channels...) {
		found, err := db.GetOperatingSystems(v6.OSSpecifier{
			Name:             d.Name(),
			MajorVersion:     d.MajorVersion(),
			MinorVersion:     d.MinorVersion(),
			RemainingVersion: d.RemainingVersion(),
			LabelVersion:     d.LabelVersion(),
			Channel:          channel,
		})
		if err != nil || len(found) > 0 {
			return len(found) > 0, err
		}
	}
	return false, nil
}
