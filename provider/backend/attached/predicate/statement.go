package predicate

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ErrUnsupported marks what may be well-formed and is not read here. Any other
// error means that the predicate is malformed.
var ErrUnsupported = errors.New("not supported")

func unsupported(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ErrUnsupported)...)
}

// Statement is an in-toto statement
// (github.com/in-toto/attestation/spec/v1/statement.md).
type Statement struct {
	Type          string          `json:"_type"`
	Subject       []Subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// Subject is an artifact that a statement is about.
type Subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// ParseStatement reads a statement of version 0.1 or 1.
func ParseStatement(payload []byte) (*Statement, error) {
	var s Statement
	if err := json.Unmarshal(payload, &s); err != nil {
		return nil, fmt.Errorf("reading the statement: %w", err)
	}
	switch s.Type {
	case "https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1":
	default:
		return nil, unsupported("statement of type %q", s.Type)
	}
	if len(s.Subject) == 0 {
		return nil, errors.New("the statement has no subject")
	}
	if !isObject(s.Predicate) {
		return nil, errors.New("the statement has no predicate")
	}
	return &s, nil
}

// IsAbout reports whether the statement names the manifest digest sha256:...
// as one of its subjects.
func (s *Statement) IsAbout(digest string) bool {
	hex, ok := strings.CutPrefix(digest, "sha256:")
	if !ok || hex == "" {
		return false
	}
	for _, subject := range s.Subject {
		if strings.EqualFold(subject.Digest["sha256"], hex) {
			return true
		}
	}
	return false
}

func isObject(raw json.RawMessage) bool { return firstByte(raw) == '{' }
func isList(raw json.RawMessage) bool   { return firstByte(raw) == '[' }

// firstByte of a JSON value; RawMessage may keep the space before it.
func firstByte(raw json.RawMessage) byte {
	s := strings.TrimLeft(string(raw[:min(len(raw), 64)]), " \t\r\n")
	if s == "" {
		return 0
	}
	return s[0]
}
