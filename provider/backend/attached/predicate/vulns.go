package predicate

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/imagegate/imagegate/provider/report"
)

// finding is an entry of in-toto's scanner.result. Version 0.1's text nests it
// under "vulnerability", its example does not; both are read.
type finding struct {
	ID            string                       `json:"id"`
	Severity      []score                      `json:"severity"`
	Annotations   []map[string]json.RawMessage `json:"annotations"`
	Vulnerability *finding                     `json:"vulnerability"`
}

type score struct {
	Method string      `json:"method"`
	Score  flexibleStr `json:"score"`
}

// flexibleStr is a string that some signers write as a number.
type flexibleStr string

// UnmarshalJSON implements json.Unmarshaler.
func (f *flexibleStr) UnmarshalJSON(b []byte) error {
	var n json.Number
	if len(b) > 0 && b[0] != '"' && json.Unmarshal(b, &n) == nil {
		*f = flexibleStr(n)
		return nil
	}
	var s string
	err := json.Unmarshal(b, &s)
	*f = flexibleStr(s)
	return err
}

func readVulns(raw json.RawMessage) (*details, error) {
	r, err := readRecord(raw)
	if err != nil {
		return nil, err
	}
	d := &details{
		scanner:         scannerName(r.Scanner.URI, r.Scanner.Version),
		finished:        r.Metadata.ScanFinishedOn.Time,
		databaseBuiltAt: r.Scanner.DB.LastUpdate.Time,
		tellsFixes:      true,
	}
	switch {
	case r.Scanner.URI == "" || d.scanner == "":
		return nil, errors.New("scanner.uri is missing")
	case d.databaseBuiltAt.IsZero():
		return nil, errors.New("scanner.db.lastUpdate is missing")
	case !isList(r.Scanner.Result):
		return nil, errors.New("scanner.result is not a list")
	}
	var list []finding
	if err := json.Unmarshal(r.Scanner.Result, &list); err != nil {
		return nil, fmt.Errorf("reading scanner.result: %w", err)
	}
	for i, f := range list {
		if f.Vulnerability != nil {
			f = *f.Vulnerability
		}
		v, tells, err := f.vulnerability()
		if err != nil {
			return nil, fmt.Errorf("scanner.result[%d]: %w", i, err)
		}
		d.tellsFixes = d.tellsFixes && tells
		d.findings = append(d.findings, v)
	}
	return d, nil
}

// vulnerability takes the worst severity that can be read. The package is not
// part of the predicate's shape: it is taken from annotations where they have
// it under one of the names in use.
func (f finding) vulnerability() (v report.Vulnerability, tellsFixes bool, err error) {
	if f.ID == "" {
		return v, false, errors.New("id is missing")
	}
	v.ID = f.ID
	read := false
	for _, s := range f.Severity {
		if severity, ok := ofMethod(s.Method, string(s.Score)); ok {
			v.Severity, read = max(v.Severity, severity), true
		}
	}
	if !read {
		return v, false, unsupported("%s has no severity that can be read", report.Clean(f.ID, maxName))
	}
	v.Package, _ = f.annotation("package", "packagename", "pkgname")
	v.PURL, _ = f.annotation("purl")
	v.Package = cmp.Or(v.Package, v.PURL, unnamed)
	v.Installed, _ = f.annotation("installedversion", "packageversion")
	v.Fixed, tellsFixes = f.annotation("fixedversion", "fixversion", "fixedin")
	return v, tellsFixes, nil
}

// unnamed is the package of a finding that names none: the predicate has no field
// for it.
const unnamed = "(not named)"

// annotation finds a text by its key, whatever the case and the separators.
func (f finding) annotation(keys ...string) (string, bool) {
	plain := strings.NewReplacer("-", "", "_", "", ".", "", " ", "")
	for _, m := range f.Annotations {
		for k, raw := range m {
			k = strings.ToLower(plain.Replace(k))
			for _, want := range keys {
				var s string
				if k == want && json.Unmarshal(raw, &s) == nil {
					return s, true
				}
			}
		}
	}
	return "", false
}
