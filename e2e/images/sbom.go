package images

import (
	"cmp"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// sbomType is the media type of the lists of parts that are attached.
const sbomType = "application/vnd.cyclonedx+json"

// The parts of CycloneDX 1.5 that are used.
type (
	sbom struct {
		Format       string       `json:"bomFormat"`
		SpecVersion  string       `json:"specVersion"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Timestamp string    `json:"timestamp"`
		Component component `json:"component"`
	}
	component struct {
		Ref        string     `json:"bom-ref"`
		Type       string     `json:"type"`
		Name       string     `json:"name"`
		Version    string     `json:"version"`
		PURL       string     `json:"purl,omitempty"`
		Properties []property `json:"properties,omitempty"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn,omitempty"`
	}
)

// SBOM lists what a binary was linked from, as the Go linker wrote it into the
// binary, and the certificate authorities beside it.
func (r Release) SBOM(program, binary string) ([]byte, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("list the parts of %s: %w", program, err)
	}
	main := golang(info.Main.Path, r.Version, "")
	main.Type = "application"
	for _, s := range info.Settings {
		main.Properties = append(main.Properties, property{"go:build:" + s.Key, s.Value})
	}
	parts := []component{golang("stdlib", strings.TrimPrefix(info.GoVersion, "go"), "")}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		parts = append(parts, golang(m.Path, m.Version, m.Sum))
	}
	roots, err := rootsVersion()
	if err != nil {
		return nil, fmt.Errorf("list the parts of %s: %w", program, err)
	}
	data := golang(rootsModule, roots.Version, roots.Sum)
	data.Type = "data"
	parts = append(parts, data)
	slices.SortFunc(parts, func(a, b component) int { return cmp.Compare(a.Ref, b.Ref) })

	on := dependency{Ref: main.Ref}
	for _, p := range parts {
		on.DependsOn = append(on.DependsOn, p.Ref)
	}
	return json.MarshalIndent(sbom{
		Format: "CycloneDX", SpecVersion: "1.5", Version: 1,
		Metadata:     metadata{Timestamp: r.created().Format(time.RFC3339), Component: main},
		Components:   parts,
		Dependencies: []dependency{on},
	}, "", " ")
}

func golang(path, version, sum string) component {
	purl := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	c := component{Ref: purl, Type: "library", Name: path, Version: version, PURL: purl}
	if sum != "" {
		c.Properties = []property{{"go:module:sum", sum}}
	}
	return c
}

// rootsVersion is what this program, which puts the authorities into the images,
// was linked with.
func rootsVersion() (debug.Module, error) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return debug.Module{}, fmt.Errorf("this program does not know its own modules")
	}
	for _, m := range info.Deps {
		if m.Path == rootsModule {
			return *m, nil
		}
	}
	// A test binary is not told of its modules.
	return debug.Module{Path: rootsModule, Version: "unknown"}, nil
}
