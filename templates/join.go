package templates

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Rules is a text of one's own rules and what it is called in errors.
type Rules struct {
	File string
	Text []byte
}

// blank reports whether the text has no rules, but comments and a package at most.
func (r Rules) blank() bool {
	for line := range strings.Lines(string(r.Text)) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "package ") {
			return false
		}
	}
	return true
}

// JoinRules makes one text, for Custom, of several: Sysdig's chart had rules before
// the scan and rules for the report in modules of their own. A text without rules
// is left out; without any the answer is empty. A text that would not compile alone
// is refused with its name and line, and so is a name that two of them define, which
// would come to mean both.
func JoinRules(options CustomOptions, texts ...Rules) ([]byte, error) {
	texts = slices.DeleteFunc(slices.Clone(texts), Rules.blank)
	var joined strings.Builder
	defined := map[string]string{}
	var versions []ast.RegoVersion
	for _, r := range texts {
		if !utf8.Valid(r.Text) {
			return nil, fmt.Errorf("%s is not UTF-8", r.File)
		}
		options.File = r.File
		if _, err := Custom(r.Text, options); err != nil {
			return nil, err
		}
		own, err := readRules(string(r.Text), options)
		if err != nil {
			return nil, err
		}
		if versions = append(versions, own.version); own.version != versions[0] {
			return nil, fmt.Errorf("%s is in Rego %v and %s in Rego %v: write both in one", texts[0].File, versions[0], r.File, own.version)
		}
		for _, rule := range own.module.Rules {
			name := rule.Head.Ref()[0].String()
			other := defined[name]
			if _, isHook := hooks[name]; !isHook && other != "" && other != r.File {
				return nil, fmt.Errorf("%s and %s both define %s: give it another name in one of them", other, r.File, name)
			}
			defined[name] = r.File
		}
		// The first line of what Custom is given must not name a package twice.
		joined.WriteString("\n# " + r.File + "\n" + packageLine.ReplaceAllString(string(r.Text), "") + "\n")
	}
	return []byte(joined.String()), nil
}
