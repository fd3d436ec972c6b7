package platform

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Pattern stands for the platforms that agree with all it says.
type Pattern struct {
	os, arch half
	// version of the operating system, as in windows(10.0.20348)/amd64.
	version string
	// variant is given only beside the name of an architecture. Without one
	// every variant is meant: no label of a node tells it.
	variant string
}

// half is the operating system or the architecture: its name, or any but those
// in not.
type half struct {
	name string
	not  []string
}

var (
	word   = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
	system = regexp.MustCompile(`^([A-Za-z0-9_.-]+)(?:\(([A-Za-z0-9_.-]+)\))?$`)
)

func parsePattern(s string) (p Pattern, err error) {
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 {
		return p, errForm
	}
	if match := system.FindStringSubmatch(parts[0]); match != nil {
		p.os, p.version = half{name: match[1]}, match[2]
	} else if p.os, err = open(parts[0]); err != nil {
		return p, err
	}
	if word.MatchString(parts[1]) {
		p.arch.name = parts[1]
	} else if p.arch, err = open(parts[1]); err != nil {
		return p, err
	}
	if len(parts) == 3 {
		if p.arch.name == "" || !word.MatchString(parts[2]) {
			return p, errForm
		}
		p.variant = parts[2]
	}
	return p.normal(), nil
}

// open reads a half that is not named: *, or !name once or more.
func open(s string) (half, error) {
	if s == "*" {
		return half{}, nil
	}
	names := strings.Split(s, "!")
	if len(names) < 2 || names[0] != "" {
		return half{}, errForm
	}
	h := half{not: names[1:]}
	for _, name := range h.not {
		if !word.MatchString(name) {
			return half{}, errForm
		}
	}
	return h, nil
}

// normal spells p as container runtimes do: x86_64 is amd64, armhf is arm/v7.
// The variant of a lone arm stays open.
func (p Pattern) normal() Pattern {
	spelled := func(os, arch, variant string) ocispec.Platform {
		return platforms.Normalize(ocispec.Platform{OS: os, Architecture: arch, Variant: variant})
	}
	if p.os.name != "" {
		p.os.name = spelled(p.os.name, "", "").OS
	}
	for i, name := range p.os.not {
		p.os.not[i] = spelled(name, "", "").OS
	}
	if p.arch.name != "" {
		n := spelled("", p.arch.name, p.variant)
		renamed := !strings.EqualFold(p.arch.name, n.Architecture)
		switch {
		case p.variant != "":
			// The base variants, v8 of arm64 and v1 of amd64, have none normally.
			p.variant = cmp.Or(n.Variant, strings.ToLower(p.variant))
		case renamed:
			p.variant = n.Variant
		}
		p.arch.name = n.Architecture
	}
	for i, name := range p.arch.not {
		p.arch.not[i] = spelled("", name, "").Architecture
	}
	return p
}

// exact reports whether p names both halves.
func (p Pattern) exact() bool { return p.os.name != "" && p.arch.name != "" }

// String returns p as Parse reads it.
func (p Pattern) String() string {
	s := p.os.String()
	if p.version != "" {
		s += "(" + p.version + ")"
	}
	s += "/" + p.arch.String()
	if p.variant != "" {
		s += "/" + p.variant
	}
	return s
}

func (h half) String() string {
	switch {
	case h.name != "":
		return h.name
	case len(h.not) > 0:
		return "!" + strings.Join(h.not, "!")
	}
	return "*"
}

func (h half) allows(name string) bool {
	if h.name != "" {
		return h.name == name
	}
	return !slices.Contains(h.not, name)
}

// and returns what agrees with both, ok being false when nothing does.
func (h half) and(o half) (both half, ok bool) {
	switch {
	case h.name != "":
		return h, o.allows(h.name)
	case o.name != "":
		return o, h.allows(o.name)
	}
	both.not = slices.Concat(h.not, o.not)
	slices.Sort(both.not)
	both.not = slices.Compact(both.not)
	return both, true
}

func (p Pattern) and(o Pattern) (Pattern, bool) {
	os, okOS := p.os.and(o.os)
	arch, okArch := p.arch.and(o.arch)
	if !okOS || !okArch || (p.variant != "" && o.variant != "" && p.variant != o.variant) {
		return Pattern{}, false
	}
	both := Pattern{os: os, arch: arch, version: p.version, variant: p.variant}
	if both.version == "" {
		both.version = o.version
	}
	if both.variant == "" {
		both.variant = o.variant
	}
	return both, true
}

// Takes reports whether some node that p stands for may run what is offered
// for o, when an index offers all. Offers are told apart by operating system,
// architecture and variant alone. A node that has the name of an architecture
// takes what is best for it, older ones included; where p leaves something open,
// everything counts that it leaves open.
func (p Pattern) Takes(o ocispec.Platform, all []ocispec.Platform) bool {
	o = platforms.Normalize(o)
	if !p.os.allows(o.OS) {
		return false
	}
	if p.arch.name == "" {
		return p.arch.runs(o.Architecture)
	}
	if p.variant == "" && o.Architecture == p.arch.name {
		return true
	}
	node := platforms.Only(ocispec.Platform{OS: o.OS, OSVersion: p.version, Architecture: p.arch.name, Variant: p.variant})
	return node.Match(o) && !slices.ContainsFunc(all, func(other ocispec.Platform) bool { return node.Less(other, o) })
}

// runs is allows with what the nodes of an allowed architecture run besides
// their own.
func (h half) runs(arch string) bool {
	switch {
	case h.allows(arch):
		return true
	case arch == "386":
		return h.allows("amd64")
	case arch == "arm":
		return h.allows("arm64")
	}
	return false
}

// Describe names p in messages: "linux/amd64", "any windows platform".
func (p Pattern) Describe() string {
	switch {
	case p.exact():
		return p.String()
	case p.os.name != "" && len(p.arch.not) == 0:
		return fmt.Sprintf("any %s platform", p.os.name)
	case p.arch.name != "" && len(p.os.not) == 0:
		return fmt.Sprintf("any operating system on %s", p.arch.name)
	case len(p.os.not)+len(p.arch.not) == 0:
		return "any platform"
	}
	return p.String()
}
