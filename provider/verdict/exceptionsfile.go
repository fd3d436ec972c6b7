package verdict

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"sigs.k8s.io/yaml"

	patterns "github.com/imagegate/imagegate/provider/pattern"
	"github.com/imagegate/imagegate/provider/strict"
)

// The bounds of what an entry says; both end up in messages.
const (
	maxIdentifier  = 64
	maxReasonBytes = 256
)

// exceptionEntry is one element of the file's list, as written.
type exceptionEntry struct {
	CVE        string       `json:"cve"`
	Images     []string     `json:"images"`
	Namespaces optionalList `json:"namespaces"`
	Packages   optionalList `json:"packages"`
	Expires    string       `json:"expires"`
	Reason     string       `json:"reason"`
	KEV        optionalText `json:"kev"`
	MinFixAge  optionalText `json:"minFixAge"`
}

// optionalText tells a text that is left out from one that is empty or null.
type optionalText struct {
	given bool
	text  string
}

// UnmarshalJSON is called for null as well.
func (o *optionalText) UnmarshalJSON(b []byte) error {
	o.given = true
	return json.Unmarshal(b, &o.text)
}

// optionalList tells a list that is left out, which means "all", from one that
// is empty or null, which is refused: it reads like "none".
type optionalList struct {
	given bool
	items []string
}

// UnmarshalJSON is called for null as well.
func (l *optionalList) UnmarshalJSON(b []byte) error {
	l.given = true
	return json.Unmarshal(b, &l.items)
}

func (l optionalList) checked(check func(string) error) ([]string, error) {
	if !l.given {
		return nil, nil
	}
	if len(l.items) == 0 {
		return nil, errors.New("is an empty list; leave the field out to mean all")
	}
	for i, s := range l.items {
		if err := check(s); err != nil {
			return nil, err
		}
		if slices.Contains(l.items[:i], s) {
			return nil, fmt.Errorf("%q is there twice", s)
		}
	}
	return l.items, nil
}

// parseExceptions reads an exceptions file: a YAML list, [] when there are
// none. Its error lists every mistake with the entry and the field.
func parseExceptions(b []byte) (*exceptions, error) {
	entries, err := decodeExceptions(b)
	if err != nil {
		return nil, err
	}
	var errs []error
	all := make([]*exception, 0, len(entries))
	scopes := map[string]int{}
	for i, entry := range entries {
		e, err := entry.exception()
		if err != nil {
			errs = append(errs, fmt.Errorf("entry %d (%s): %w", i+1, shown(entry.CVE), err))
			continue
		}
		if first, ok := scopes[e.scope()]; ok {
			errs = append(errs, fmt.Errorf("entry %d (%s): is about the same as entry %d", i+1, shown(entry.CVE), first))
			continue
		}
		scopes[e.scope()] = i + 1
		all = append(all, e)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return newExceptions(all), nil
}

func decodeExceptions(b []byte) ([]exceptionEntry, error) {
	j, err := yaml.YAMLToJSONStrict(b)
	if err != nil {
		return nil, err
	}
	// An empty file is more likely cut off than meant.
	if string(j) == "null" {
		return nil, errors.New("is empty; write [] when there are no exceptions")
	}
	var entries []exceptionEntry
	return entries, strict.JSON(j, &entries)
}

func shown(cve string) string {
	if checkIdentifier(cve) != nil {
		return "unnamed"
	}
	return cve
}

func (n *exceptionEntry) exception() (*exception, error) {
	var errs []error
	e := &exception{cve: n.CVE, until: n.Expires, reason: strings.TrimSpace(n.Reason)}
	fail := func(field string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", field, err))
		}
	}
	var err error
	fail("cve", checkIdentifier(n.CVE))
	if e.images, err = parsePatterns(n.Images); err != nil {
		errs = append(errs, err)
	}
	e.namespaces, err = n.Namespaces.checked(checkNamespace)
	fail("namespaces", err)
	e.packages, err = n.Packages.checked(checkPackage)
	fail("packages", err)
	e.expires, err = parseExpiry(n.Expires)
	fail("expires", err)
	fail("reason", checkReason(e.reason))
	if n.KEV.given {
		e.kevDeny = true
		if n.KEV.text != string(KEVDeny) {
			fail("kev", fmt.Errorf("%q must be deny; leave it out to let the exception hold for what is known to be exploited", n.KEV.text))
		}
	}
	e.minFixAge, err = parseSpan(n.MinFixAge)
	fail("minFixAge", err)
	e.by = fmt.Sprintf("exception until %s: %s", e.until, e.reason)
	return e, errors.Join(errs...)
}

func checkIdentifier(s string) error {
	switch {
	case s == "":
		return errors.New("missing")
	case len(s) > maxIdentifier:
		return fmt.Errorf("is longer than %d bytes", maxIdentifier)
	}
	if err := patterns.Identifier(s); err != nil {
		return fmt.Errorf("%q: %w", s, err)
	}
	return nil
}

// parseExpiry reads RFC 3339, or a date, which counts to its end in UTC: the
// exception holds through that day.
func parseExpiry(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, errors.New("missing; every exception needs an end")
	}
	if day, err := time.Parse(time.DateOnly, s); err == nil {
		return day.AddDate(0, 0, 1), nil
	}
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return at, nil
	}
	return time.Time{}, fmt.Errorf("%q is neither a date (2026-12-01) nor a time (2026-12-01T12:00:00Z)", s)
}

// parseSpan reads a time span as a Constraint has it; nil when it is left out.
func parseSpan(s optionalText) (*time.Duration, error) {
	if !s.given {
		return nil, nil
	}
	const digits = 5
	number, unit := strings.TrimRight(s.text, "mhd"), time.Duration(0)
	switch strings.TrimPrefix(s.text, number) {
	case "m":
		unit = time.Minute
	case "h":
		unit = time.Hour
	case "d":
		unit = 24 * time.Hour
	}
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil || unit == 0 || len(number) > digits {
		return nil, fmt.Errorf("%q is no time span such as 36h or 7d", s.text)
	}
	span := time.Duration(n) * unit
	return &span, nil
}

func checkReason(s string) error {
	switch {
	case s == "":
		return errors.New("missing; say why the finding may be ignored")
	case len(s) > maxReasonBytes:
		return fmt.Errorf("is longer than %d bytes", maxReasonBytes)
	case strings.ContainsFunc(s, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }):
		return errors.New("has characters that cannot be printed, or more than one line")
	}
	return nil
}

func checkNamespace(s string) error {
	if err := patterns.Namespace(s); err != nil {
		return fmt.Errorf("%q: %w", s, err)
	}
	return nil
}

func checkPackage(s string) error {
	if err := patterns.Package(s); err != nil {
		return fmt.Errorf("%q: %w", s, err)
	}
	return nil
}
