package platform

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/platforms"

	"github.com/imagegate/imagegate/provider/nearest"
)

// commonSystems and commonArchitectures are what nodes of Kubernetes are, which is what
// a misspelled name was mostly meant to be.
func commonSystems() []string { return []string{"linux", "windows"} }

func commonArchitectures() []string {
	return []string{"386", "amd64", "arm", "arm64", "loong64", "ppc64le", "riscv64", "s390x"}
}

// variants are the forms of those that there are of an architecture; others have
// none that anybody goes by.
func variants() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		"amd64": regexp.MustCompile(`^v[1-4]$`),
		"arm":   regexp.MustCompile(`^v[5-8]$`),
		"arm64": regexp.MustCompile(`^v[89](\.[0-9]+)?$`),
	}
}

// ParseWritten is Parse for what a person wrote: a setting or a flag. It refuses names
// that no platform has, which would match nothing. Parse takes them, for a Pod may
// name what only its cluster knows.
func ParseWritten(s string) (Set, error) {
	set, err := Parse(s)
	if err != nil {
		return nil, err
	}
	for _, p := range set {
		if err := p.Known(); err != nil {
			return nil, fmt.Errorf("platform %q: %w", p, err)
		}
	}
	return set, nil
}

// Known says which name in p is no platform's, and what was mostly meant; nil when all
// are known.
func (p Pattern) Known() error {
	for _, os := range p.os.names() {
		if read, err := platforms.Parse(os); err != nil || read.OS != os {
			return unknown("operating system", os, commonSystems())
		}
	}
	for _, arch := range p.arch.names() {
		if read, err := platforms.Parse(arch); err != nil || read.Architecture != arch {
			return unknown("architecture", arch, commonArchitectures())
		}
	}
	if form, ok := variants()[p.arch.name]; ok && p.variant != "" && !form.MatchString(p.variant) {
		return fmt.Errorf("%s has no variant %s", p.arch.name, p.variant)
	}
	return nil
}

// names are those that h says, whether it means them or all others.
func (h half) names() []string {
	if h.name != "" {
		return []string{h.name}
	}
	return slices.Clone(h.not)
}

func unknown(what, name string, common []string) error {
	if meant, ok := nearest.To(name, common); ok {
		return fmt.Errorf("no %s is called %s: did you mean %s?", what, name, meant)
	}
	return fmt.Errorf("no %s is called %s; nodes are %s", what, name, strings.Join(common, ", "))
}
