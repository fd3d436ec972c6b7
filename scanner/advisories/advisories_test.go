package advisories

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestCollection(t *testing.T) {
	all, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Advisories) < 10 || all.AsOf.IsZero() {
		t.Errorf("%d advisories as of %s", len(all.Advisories), all.AsOf)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	const good = `asOf: "2026-01-02"
advisories:
  - id: CVE-2020-0001
    summary: s
    severity: high
    published: "2020-01-02"
    source: https://example.org
    affected:
      - {ecosystem: npm, package: p, versions: "<1", fixed: "1"}
`
	if _, err := load(fstest.MapFS{"a.yaml": {Data: []byte(good)}}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, replacement, want string }{
		"identifier": {"CVE-2020-0001", "CVE-20", "id:"},
		"severity":   {"high", "bad", "severity:"},
		"date":       {"2020-01-02", "yesterday", "published:"},
		"as of":      {"2026-01-02", "today", "asOf:"},
		"ecosystem":  {"npm", "cobol", "ecosystem:"},
		"range":      {`"<1"`, `""`, "versions:"},
		"distro":     {"npm", "deb", "distro:"},
		"unknown":    {"summary", "abstract", "not found"},
		"no source":  {"https://example.org", `""`, "source"},
	} {
		_, err := load(fstest.MapFS{"a.yaml": {Data: []byte(strings.Replace(good, c.old, c.replacement, 1))}})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "a.yaml") {
			t.Errorf("%s: %v", name, err)
		}
	}
	twice := fstest.MapFS{"a.yaml": {Data: []byte(good)}, "b.yaml": {Data: []byte(good)}}
	if _, err := load(twice); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("the same twice: %v", err)
	}
	if _, err := load(fstest.MapFS{}); err == nil {
		t.Error("nothing at all is accepted")
	}
}
