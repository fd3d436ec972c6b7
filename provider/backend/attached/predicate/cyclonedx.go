package predicate

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// cdxBOM is the part of a CycloneDX document (cyclonedx.org/docs/1.6/json)
// that VEX is made of.
type cdxBOM struct {
	Format       string `json:"bomFormat"`
	SerialNumber string `json:"serialNumber"`
	Version      int    `json:"version"`
	Metadata     struct {
		Timestamp timestamp    `json:"timestamp"`
		Component cdxComponent `json:"component"`
		Supplier  struct {
			Name string `json:"name"`
		} `json:"supplier"`
	} `json:"metadata"`
	Components      []cdxComponent     `json:"components"`
	Vulnerabilities []cdxVulnerability `json:"vulnerabilities"`

	byRef map[string]*cdxComponent
}

type cdxComponent struct {
	Ref        string         `json:"bom-ref"`
	PURL       string         `json:"purl"`
	Components []cdxComponent `json:"components"`
}

type cdxVulnerability struct {
	ID       string       `json:"id"`
	Analysis cdxAnalysis  `json:"analysis"`
	Affects  []cdxAffects `json:"affects"`
}

type cdxAnalysis struct {
	State         string    `json:"state"`
	Justification string    `json:"justification"`
	Detail        string    `json:"detail"`
	FirstIssued   timestamp `json:"firstIssued"`
	LastUpdated   timestamp `json:"lastUpdated"`
}

type cdxAffects struct {
	Ref      string            `json:"ref"`
	Versions []json.RawMessage `json:"versions"`
}

// limited reports whether the analysis holds for some versions only.
func (a cdxAffects) limited() bool { return len(a.Versions) > 0 }

// fromCycloneDX converts the analyses of a CycloneDX document into OpenVEX
// about the manifest with the digest hex. The statement's subject, which is
// signed, says which image it is about. Narrowly read: an analysis that sets a
// finding aside counts only for components that the document itself names.
// A document without analyses, such as a mere list of packages, is
// unsupported.
func fromCycloneDX(raw json.RawMessage, hex string) (json.RawMessage, error) {
	var b cdxBOM
	if err := json.Unmarshal(raw, &b); err != nil {
		return nil, fmt.Errorf("reading CycloneDX: %w", err)
	}
	if b.Format != "CycloneDX" {
		return nil, errors.New("the CycloneDX document does not say that it is one")
	}
	b.byRef = map[string]*cdxComponent{}
	index(b.byRef, b.Components)
	out := openVEX{
		Context: "https://openvex.dev/ns/v0.2.0", Author: "CycloneDX VEX", Timestamp: b.Metadata.Timestamp,
		ID: "urn:cyclonedx:" + hex + ":" + strings.TrimPrefix(b.SerialNumber, "urn:uuid:"), Version: max(b.Version, 1),
	}
	if name := b.Metadata.Supplier.Name; name != "" {
		out.Author = name
	}
	for i := range b.Vulnerabilities {
		s, ok, err := b.Vulnerabilities[i].statement(&b, hex)
		if err != nil {
			return nil, err
		}
		if ok {
			out.Statements = append(out.Statements, s)
		}
	}
	switch {
	case len(out.Statements) == 0:
		return nil, unsupported("CycloneDX without an analysis that can be used")
	case out.Timestamp.IsZero():
		return nil, errors.New("metadata.timestamp of the CycloneDX document is missing")
	}
	return json.Marshal(out)
}

// index finds components by reference. One that is there twice names neither.
func index(byRef map[string]*cdxComponent, list []cdxComponent) {
	for i := range list {
		c := &list[i]
		if c.Ref != "" {
			if _, twice := byRef[c.Ref]; twice {
				c = &cdxComponent{Ref: c.Ref}
			}
			byRef[c.Ref] = c
		}
		index(byRef, list[i].Components)
	}
}

// resolve says what a reference means: all of the image, or the package whose
// URL is id. known is false, and id the reference itself, when it leads to no
// package URL. A BOM-Link (urn:cdx:serial/version#ref) names a component of
// the list that the VEX document goes with, often by its package URL.
func (b *cdxBOM) resolve(ref string) (id string, all, known bool) {
	if ref != "" && ref == b.Metadata.Component.Ref {
		return ref, true, true
	}
	if c, ok := b.byRef[ref]; ok && c.PURL != "" {
		return c.PURL, false, true
	}
	if _, fragment, ok := strings.Cut(ref, "#"); ok && strings.HasPrefix(ref, "urn:cdx:") {
		if plain, err := url.PathUnescape(fragment); err == nil && strings.HasPrefix(plain, "pkg:") {
			return plain, false, true
		}
	}
	return ref, false, strings.HasPrefix(ref, "pkg:")
}
