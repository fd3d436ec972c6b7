package plugin

import (
	"errors"
	"strings"

	"github.com/package-url/packageurl-go"
)

const packagePrefix = "pkg:"

func isPackage(name string) bool { return strings.HasPrefix(name, packagePrefix) }

// packageOf is how reports name a package: of a package URL without its version, and
// with the namespace where that is a part of the name.
func packageOf(name string) (string, error) {
	plain := strings.TrimPrefix(name, packagePrefix)
	if plain == "" {
		return "", errors.New("which package? As pkg:openssl, or a package URL")
	}
	p, err := packageurl.FromString(name)
	if _, known := packageurl.KnownTypes[p.Type]; err != nil || !known {
		return plain, nil //nolint:nilerr // it is a name
	}
	switch p.Type {
	case packageurl.TypeGolang, packageurl.TypeNPM, packageurl.TypeComposer, packageurl.TypeGithub, packageurl.TypeSwift:
		if p.Namespace != "" {
			return p.Namespace + "/" + p.Name, nil
		}
	}
	return p.Name, nil
}
