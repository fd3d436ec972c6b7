package verdict

import (
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/openvex/go-vex/pkg/vex"
	"github.com/package-url/packageurl-go"

	"github.com/imagegate/imagegate/provider/reference"
	"github.com/imagegate/imagegate/provider/report"
)

// certainty is how sure it is that a statement is about a finding. To set a
// finding aside takes yes; a statement that lets it stand needs maybe only.
type certainty int

const (
	no certainty = iota
	maybe
	yes
)

// statements are those of all documents.
type statements struct {
	all []*statement
	// byName has the keys of identifier.
	byName map[string][]*statement
}

func (x *statements) add(s *statement) {
	x.all = append(x.all, s)
	for _, n := range s.names {
		if !slices.Contains(x.byName[n], s) {
			x.byName[n] = append(x.byName[n], s)
		}
	}
}

// bytes is about what the statements take in memory.
func (x *statements) bytes() int {
	// What each takes beside its text, with its place in the map and in lists that
	// have grown.
	const perStatement, perName, perProduct, perPURL, perString = 350, 180, 120, 160, 40
	n := 0
	for _, s := range x.all {
		n += perStatement + len(s.by) + len(s.where)
		for _, name := range s.names {
			n += perName + len(name)
		}
		for _, p := range s.products {
			n += perProduct
			for _, u := range p.purls {
				n += perPURL + len(u.Type) + len(u.Namespace) + len(u.Name) + len(u.Version) + len(u.Subpath)
				for _, q := range u.Qualifiers {
					n += perString + len(q.Key) + len(q.Value)
				}
			}
			for _, d := range p.digests {
				n += perString + len(d)
			}
			for _, sub := range p.subcomponents {
				n += perString
				for _, purl := range sub.purls {
					n += perString + len(purl)
				}
			}
		}
	}
	return n
}

// standing returns the statements that let findings stand.
func (x *statements) standing() *statements {
	out := &statements{byName: map[string][]*statement{}}
	for _, s := range x.all {
		if !s.suppresses() {
			out.add(s)
		}
	}
	return out
}

// useless returns the statements that would set findings aside but can match
// no image.
func (x *statements) useless() []*statement {
	var out []*statement
	for _, s := range x.all {
		if s.suppresses() && !slices.ContainsFunc(s.products, product.namesDigest) {
			out = append(out, s)
		}
	}
	return out
}

func (p product) namesDigest() bool {
	return len(p.digests) > 0 || slices.ContainsFunc(p.purls, func(u packageurl.PackageURL) bool {
		return u.Type == packageurl.TypeOCI && u.Version != ""
	})
}

// suppression returns why a finding does not count, or nothing. The latest
// statement holds, by timestamp as the OpenVEX specification has it; of two of
// the same time, the one that lets the finding stand.
func suppression(all []*statements, i image, v *report.Vulnerability) string {
	var latest *statement
	consider := func(s *statement) {
		if latest == nil || s.at.After(latest.at) || s.at.Equal(latest.at) && !s.suppresses() {
			latest = s
		}
	}
	for n := range ownNames(v) {
		for s := range named(all, n) {
			if s.suppresses() && s.about(i, v) == yes {
				consider(s)
			}
		}
	}
	if latest == nil {
		return ""
	}
	for n := range names(v) {
		for s := range named(all, n) {
			if !s.suppresses() && s.about(i, v) >= maybe {
				consider(s)
			}
		}
	}
	if !latest.suppresses() {
		return ""
	}
	return latest.by
}

// named yields the statements about a vulnerability by one of its names.
func named(all []*statements, name string) iter.Seq[*statement] {
	return func(yield func(*statement) bool) {
		for _, x := range all {
			for _, s := range x.byName[identifier(name)] {
				if !yield(s) {
					return
				}
			}
		}
	}
}

func countStatements(all []*statements) (n int) {
	for _, x := range all {
		n += len(x.all)
	}
	return n
}

// about compares a statement with a finding that goes by one of its names. A
// statement without products is about nothing here: nothing encloses the
// document that could name them.
func (s *statement) about(i image, v *report.Vulnerability) certainty {
	found := no
	for _, p := range s.products {
		found = max(found, min(p.is(i), p.holds(v)))
	}
	return found
}

// is compares a product with an image.
func (p product) is(i image) certainty {
	if slices.ContainsFunc(p.digests, i.has) {
		return yes
	}
	found := no
	for _, u := range p.purls {
		found = max(found, imageIs(i, u))
	}
	return found
}

// imageIs compares pkg:oci/NAME@sha256:...?repository_url=... with an image.
// Only a digest makes it certain: a name alone stands for every build.
func imageIs(i image, u packageurl.PackageURL) certainty {
	sameDigest, sameName := i.has(u.Version), i.is(u)
	switch {
	case u.Type != packageurl.TypeOCI || u.Namespace != "":
		return no
	case u.Version != "" && !sameDigest:
		return no
	case sameDigest && sameName && (u.Version == i.manifest || allPlatforms(u)):
		return yes
	case sameDigest || sameName:
		return maybe
	}
	return no
}

// is compares name and repository_url of u with the repository. The
// specification of the oci type has the URL include the name; writers that
// leave it out mean the same.
func (i image) is(u packageurl.PackageURL) bool {
	if i.repository == "" || u.Name != strings.ToLower(path.Base(i.repository)) {
		return false
	}
	url, ok := u.Qualifiers.Map()["repository_url"]
	if !ok {
		return true
	}
	for _, s := range []string{url, strings.TrimSuffix(url, "/") + "/" + u.Name} {
		if r, err := reference.ParseRepository(s); err == nil && reference.Repository(r) == i.repository {
			return true
		}
	}
	return false
}

// allPlatforms reports whether u, which has the digest of an index, is about
// all of its manifests: a qualifier such as arch picks one, and which one was
// scanned is not known here.
func allPlatforms(u packageurl.PackageURL) bool {
	for _, q := range u.Qualifiers {
		if q.Key != "repository_url" && q.Key != "tag" {
			return false
		}
	}
	return true
}

// holds reports whether the product's subcomponents, if it has any, include
// the finding's package.
func (p product) holds(v *report.Vulnerability) certainty {
	if len(p.subcomponents) == 0 {
		return yes
	}
	found := no
	for _, s := range p.subcomponents {
		found = max(found, s.is(v))
	}
	return found
}

func (s subcomponent) is(v *report.Vulnerability) certainty {
	if len(s.purls) == 0 {
		return maybe
	}
	found := no
	for _, u := range s.purls {
		found = max(found, packageIs(u, v))
	}
	return found
}

// packageIs compares a package URL with a finding. With a URL of the finding's
// own the specification's rule holds: what the first leaves out, the second
// may have. Without, name and version must both be there and be the same, and
// qualifiers, which cannot be compared, leave it open.
func packageIs(u string, v *report.Vulnerability) certainty {
	want, err := packageurl.FromString(u)
	if err != nil {
		return no
	}
	got, err := packageurl.FromString(v.PURL)
	switch {
	case err == nil && vex.PurlMatches(u, v.PURL) && want.Subpath == "":
		return yes
	case err == nil && (want.Type != got.Type || want.Namespace != got.Namespace || want.Name != got.Name):
		return no
	case err == nil:
		return versionMaybe(want.Version, got.Version)
	case !slices.Contains(packageNames(want), v.Package):
		return no
	case want.Version != "" && want.Version == v.Installed && len(want.Qualifiers) == 0 && want.Subpath == "":
		return yes
	}
	return versionMaybe(want.Version, v.Installed)
}

func versionMaybe(want, got string) certainty {
	if want == "" || got == "" || want == got {
		return maybe
	}
	return no
}

// packageNames returns how scanners spell the name of a package.
func packageNames(u packageurl.PackageURL) []string {
	switch u.Type {
	case packageurl.TypeDebian, packageurl.TypeRPM, packageurl.TypeApk, packageurl.TypeAlpm:
		// The namespace is the distribution.
		return []string{u.Name}
	case packageurl.TypeMaven:
		return []string{u.Namespace + ":" + u.Name}
	}
	if u.Namespace == "" {
		return []string{u.Name}
	}
	return []string{u.Namespace + "/" + u.Name}
}
