// Package pattern says what may stand where a setting names images, namespaces,
// vulnerabilities or packages, and what is wrong with what may not. A rule that can never match
// lets through what it was written to stop, and nobody sees it: so it is refused
// where it is read. The templates' lib/patterns.rego says the same in Rego, their
// schemas and the chart's say most of it, and one table (testdata/cases.yaml) is
// held against all of them.
package pattern

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

const (
	// host is the first part of a reference, which may also be all of it.
	host = `([A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])`
	// component may have been cut anywhere, for a prefix may end there.
	component = `[a-z0-9][a-z0-9._-]*`
)

var (
	prefixForm = regexp.MustCompile(`^(` + host + `(:[0-9]+)?(/` + component + `)*/|(` + host + `(:[0-9]+)?(/` + component + `)+|` + host + `)(:[A-Za-z0-9._-]*)?(@([a-z0-9+._-]+(:[a-f0-9]*)?)?)?)$`)
	upperPath  = regexp.MustCompile(`^[^/:@]*(:[0-9]+)?/[^:@]*[A-Z]`)

	namespaceForm  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$|^[a-z0-9][a-z0-9-]*\*$`)
	identifierForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9.:_+]+)+$`)
	packageVersion = regexp.MustCompile(`=|@v[0-9]`)
	wholeYear      = regexp.MustCompile(`^(?i:CVE)-[0-9]{4}$`)
)

// Prefix says what is wrong with a prefix of image references, or nothing. All
// that begins with a prefix is matched.
func Prefix(s string) error {
	if err := Stray(s); err != nil {
		return err
	}
	switch {
	case prefixForm.MatchString(s):
		return nil
	case upperPath.MatchString(s):
		return errors.New("its path has upper case, and no image's has")
	}
	return errors.New("no image begins like this")
}

// Stray says what a pattern of images has that is in no image, or nothing.
func Stray(s string) error {
	switch _, after, scheme := strings.Cut(s, "://"); {
	case s == "":
		return errors.New("it is empty")
	case scheme && after != "":
		return fmt.Errorf("no image has a scheme: write %s", after)
	case scheme:
		return errors.New("no image has a scheme")
	case strings.Contains(s, "*"):
		if folder := strings.TrimRight(s, "*"); strings.HasSuffix(folder, "/") && !strings.Contains(folder, "*") {
			return fmt.Errorf("no image has a *: write %s for all below it", folder)
		}
		return errors.New("no image has a *: name each registry and path")
	}
	return nil
}

// Namespace says what is wrong with a pattern of namespaces, or nothing: it is a
// name, or the start of names and a *.
func Namespace(s string) error {
	switch {
	case namespaceForm.MatchString(s):
		return nil
	case s == "":
		return errors.New("it is empty")
	case s == "*":
		return errors.New("for all namespaces leave it out")
	case strings.Contains(s, "*"):
		return errors.New("a * may stand at the end only, as in dev-*")
	}
	return errors.New("no namespace is called so: names have lower case, digits and dashes")
}

// InNamespace reports whether a pattern names a namespace.
func InNamespace(pattern, namespace string) bool {
	start, open := strings.CutSuffix(pattern, "*")
	if open {
		return strings.HasPrefix(namespace, start)
	}
	return pattern == namespace
}

// ForNamespace returns what holds for a namespace: what is said under its name,
// else under the longest pattern of it.
func ForNamespace[V any](said map[string]V, namespace string) (V, bool) {
	if v, ok := said[namespace]; ok {
		return v, true
	}
	closest := ""
	for p := range said {
		if len(p) > len(closest) && InNamespace(p, namespace) {
			closest = p
		}
	}
	v, ok := said[closest]
	return v, ok
}

// Identifier says what is wrong with the name of a vulnerability, or nothing.
func Identifier(s string) error {
	switch {
	case s == "":
		return errors.New("it is empty")
	case strings.Contains(s, "*"):
		return errors.New("no vulnerability has a * in its name: name each")
	case wholeYear.MatchString(s):
		return errors.New("it is a year: name each vulnerability")
	case identifierForm.MatchString(s):
		return nil
	}
	return errors.New("no vulnerability is called so: write it as CVE-2021-38561")
}

// Package says what is wrong with the name of a package, or nothing. It is compared
// whole with the names that scanners give, of which some have an @ or a slash.
func Package(s string) error {
	switch {
	case s == "":
		return errors.New("it is empty")
	case strings.Contains(s, "*"):
		return errors.New("no package has a * in its name: name each")
	case strings.HasPrefix(s, "pkg:"):
		return errors.New("it is a package URL: write the name alone")
	case packageVersion.MatchString(s):
		return errors.New("it has a version: write the name alone, for all versions are meant")
	case strings.TrimSpace(s) != s || strings.ContainsAny(s, ",\n"):
		return errors.New("no package is called so")
	}
	return nil
}
