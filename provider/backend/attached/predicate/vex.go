package predicate

import (
	"encoding/json"
	"fmt"
	"strings"
)

// ReadVEX returns the OpenVEX document of a statement about the manifest
// digest sha256:...: an OpenVEX predicate as it is, the analyses in a CycloneDX
// one converted. It returns nil without an error for other predicates.
func ReadVEX(s *Statement, digest string) (json.RawMessage, error) {
	switch {
	case isType(s.PredicateType, "https://openvex.dev/ns"):
		return s.Predicate, nil
	case isType(s.PredicateType, "https://cyclonedx.org/bom"), isType(s.PredicateType, "https://cyclonedx.org/vex"):
		return fromCycloneDX(s.Predicate, strings.TrimPrefix(digest, "sha256:"))
	}
	return nil, nil
}

// isType reports whether t is a predicate type, perhaps with its version
// behind.
func isType(t, want string) bool { return t == want || strings.HasPrefix(t, want+"/") }

// The part of OpenVEX 0.2 (github.com/openvex/spec) that is written here.
type openVEX struct {
	Context    string         `json:"@context"`
	ID         string         `json:"@id"`
	Author     string         `json:"author"`
	Timestamp  timestamp      `json:"timestamp"`
	Version    int            `json:"version"`
	Statements []vexStatement `json:"statements"`
}

type vexStatement struct {
	Vulnerability   vexName      `json:"vulnerability"`
	Timestamp       timestamp    `json:"timestamp,omitzero"`
	Products        []vexProduct `json:"products"`
	Status          string       `json:"status"`
	Justification   string       `json:"justification,omitempty"`
	ImpactStatement string       `json:"impact_statement,omitempty"`
	ActionStatement string       `json:"action_statement,omitempty"`
}

type vexName struct {
	Name string `json:"name"`
}

type vexProduct struct {
	Hashes        map[string]string `json:"hashes"`
	Subcomponents []vexComponent    `json:"subcomponents,omitempty"`
}

type vexComponent struct {
	ID string `json:"@id"`
}

const (
	notAffected        = "not_affected"
	fixed              = "fixed"
	affected           = "affected"
	underInvestigation = "under_investigation"
)

// status maps CycloneDX's impact analysis states; ok is false for others.
func (a *cdxAnalysis) status() (status string, ok bool) {
	switch a.State {
	case "not_affected", "false_positive":
		return notAffected, true
	case "resolved", "resolved_with_pedigree":
		return fixed, true
	case "exploitable":
		return affected, true
	case "in_triage":
		return underInvestigation, true
	}
	return "", false
}

// justification maps CycloneDX's justifications to OpenVEX's where they mean
// the same.
func (a *cdxAnalysis) justification() string {
	switch a.Justification {
	case "code_not_present":
		return "vulnerable_code_not_present"
	case "code_not_reachable":
		return "vulnerable_code_not_in_execute_path"
	case "protected_by_mitigating_control", "protected_at_runtime", "protected_at_perimeter", "protected_by_compiler":
		return "inline_mitigations_already_exist"
	}
	return ""
}

// reason is the text that goes with a status.
func (a *cdxAnalysis) reason() string {
	out := strings.TrimSpace(a.State + " " + a.Justification)
	if a.Detail != "" {
		out += ": " + a.Detail
	}
	return out
}

// suppresses reports whether a status sets findings aside.
func suppresses(status string) bool { return status == notAffected || status == fixed }

func (v *cdxVulnerability) statement(b *cdxBOM, hex string) (vexStatement, bool, error) {
	status, ok := v.Analysis.status()
	if !ok {
		return vexStatement{}, false, nil
	}
	if v.ID == "" {
		return vexStatement{}, false, fmt.Errorf("an analysis in state %s names no vulnerability", status)
	}
	s := vexStatement{Vulnerability: vexName{Name: v.ID}, Status: status}
	s.Timestamp = v.Analysis.LastUpdated
	if s.Timestamp.IsZero() {
		s.Timestamp = v.Analysis.FirstIssued
	}
	switch status {
	case notAffected:
		s.Justification, s.ImpactStatement = v.Analysis.justification(), v.Analysis.reason()
	case affected:
		s.ActionStatement = v.Analysis.reason()
	}
	product := vexProduct{Hashes: map[string]string{"sha-256": hex}}
	whole := false
	for _, a := range v.Affects {
		id, all, known := b.resolve(a.Ref)
		switch {
		case all && !(a.limited() && suppresses(status)):
			whole = true
		case suppresses(status) && (!known || a.limited()):
			// Of who knows what, or of some versions of it.
		case !all:
			product.Subcomponents = append(product.Subcomponents, vexComponent{ID: id})
		}
	}
	switch {
	case whole, len(v.Affects) == 0 && !suppresses(status):
		product.Subcomponents = nil
	case len(product.Subcomponents) == 0:
		return vexStatement{}, false, nil
	}
	s.Products = []vexProduct{product}
	return s, true, nil
}
