package verdict_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/pattern/patterntest"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/verdict"
)

func TestImagesOfAnException(t *testing.T) {
	for _, tc := range []struct {
		pattern, reference string
		want               bool
	}{
		{"nginx", "nginx", true},
		{"nginx", "nginx:1.25", true},
		{"nginx", "nginx@" + index, true},
		{"nginx", "nginx:1.25@" + index, true},
		{"nginx", "docker.io/library/nginx:1", true},
		{"nginx", "index.docker.io/library/nginx:1", true},
		{"docker.io/library/nginx", "nginx:1", true},
		{"docker.io/nginx", "library/nginx", true},
		{"nginx", "nginx-evil", false},
		{"nginx", "nginx/evil", false},
		{"nginx", "evil/nginx", false},
		{"nginx", "ghcr.io/library/nginx", false},
		// A registry on host nginx, port 5000.
		{"nginx", "nginx:5000/evil", false},
		{"nginx/", "nginx:5000/evil", false},
		{"nginx/", "nginx/any", true},
		{"nginx/", "nginx", false},
		{"library/", "nginx", true},
		{"docker.io/", "nginx", true},
		{"docker.io/", "acme/web", true},
		{"docker.io/", "ghcr.io/acme/web", false},
		{"docker.io/", "docker.io.evil.example/acme/web", false},
		{"ghcr.io/acme/", "ghcr.io/acme/web:1", true},
		{"ghcr.io/acme/", "ghcr.io/acme/a/b@" + index, true},
		{"ghcr.io/acme/", "ghcr.io/acme-evil/web", false},
		{"ghcr.io/acme/", "ghcr.io/acme", false},
		{"ghcr.io/acme/", "ghcr.io/acme/../evil/web", false},
		{"ghcr.io/acme", "ghcr.io/acme/web", false},
		{"localhost:5000/", "localhost:5000/a/b:c", true},
		{"localhost:5000/", "localhost:50001/a", false},
		{"localhost:5000/a/b", "localhost:5000/a/b:c", true},
		{"nginx:1.2", "nginx:1.2", true},
		{"nginx:1.2", "nginx:1.25", false},
		{"nginx:latest", "nginx", true},
		// A digest makes the tag before it decoration.
		{"nginx:1.2", "nginx:1.2@" + index, false},
		{"nginx@" + index, "nginx:9", true},
		{"nginx@" + manifest, "nginx@" + index, true},
		{"nginx@" + other, "nginx@" + index, false},
		{"nginx@" + index, "evil@" + index, false},
		{"*", "anything/at:all", true},
		{"nginx", "not a reference", false},
		{"ghcr.io/acme/web", "GHCR.io:443/acme/web:1", true},
		{"Registry-1.docker.io/library/nginx", "nginx", true},
		{"ghcr.io/acme/", "ghcr.io/acme/..:1", false},
	} {
		t.Run(tc.pattern+" "+tc.reference, func(t *testing.T) {
			j := withExceptions(t, fmt.Sprintf(`[{cve: CVE-1, images: [%q], expires: 2027-01-01, reason: r}]`, tc.pattern))
			s := verdict.Subject{Reference: tc.reference, Digest: index, Manifest: manifest}
			got := j.Judge(scanOf(finding("CVE-1", report.SeverityHigh, "")), s)
			if accepted := got.Status == report.Accepted; accepted != tc.want {
				t.Errorf("matches: %t, want %t", accepted, tc.want)
			}
		})
	}
}

func TestScopeOfAnException(t *testing.T) {
	at := func(year int, month time.Month, day, hour int) func() time.Time {
		return func() time.Time { return time.Date(year, month, day, hour, 0, 0, 0, time.UTC) }
	}
	v := func(id string, aliases ...string) report.Vulnerability {
		f := finding(id, report.SeverityHigh, "")
		f.Aliases = aliases
		return f
	}
	const open = `images: ["*"], expires: 2026-12-01, reason: r`
	for name, tc := range map[string]struct {
		entry     string
		finding   report.Vulnerability
		namespace string
		now       func() time.Time
		want      bool
	}{
		"its CVE":                      {entry: "cve: CVE-1, " + open, finding: v("CVE-1"), want: true},
		"another CVE":                  {entry: "cve: CVE-1, " + open, finding: v("CVE-10")},
		"letter case":                  {entry: "cve: cve-1, " + open, finding: v("CVE-1"), want: true},
		"an alias":                     {entry: "cve: CVE-1, " + open, finding: v("GHSA-x", "GO-1", "CVE-1"), want: true},
		"an advisory that bundles":     {entry: "cve: CVE-1, " + open, finding: v("ALAS-1", "CVE-1", "CVE-2")},
		"a bundle by its name":         {entry: "cve: ALAS-1, " + open, finding: v("ALAS-1", "CVE-1", "CVE-2"), want: true},
		"another CVE's alias":          {entry: "cve: CVE-1, " + open, finding: v("CVE-2", "CVE-1")},
		"in its namespace":             {entry: "cve: CVE-1, namespaces: [dev, shop], " + open, finding: v("CVE-1"), namespace: "shop", want: true},
		"in another namespace":         {entry: "cve: CVE-1, namespaces: [dev], " + open, finding: v("CVE-1"), namespace: "dev-2"},
		"namespace not known":          {entry: "cve: CVE-1, namespaces: [dev], " + open, finding: v("CVE-1")},
		"its package":                  {entry: "cve: CVE-1, packages: [pkg], " + open, finding: v("CVE-1"), want: true},
		"another package":              {entry: "cve: CVE-1, packages: [pkg2], " + open, finding: v("CVE-1")},
		"last moment":                  {entry: "cve: CVE-1, " + open, finding: v("CVE-1"), now: at(2026, 12, 1, 23), want: true},
		"the day after it":             {entry: "cve: CVE-1, " + open, finding: v("CVE-1"), now: at(2026, 12, 2, 0)},
		"a pattern of its namespace":   {entry: "cve: CVE-1, namespaces: [dev-*], " + open, finding: v("CVE-1"), namespace: "dev-2", want: true},
		"a pattern of others":          {entry: "cve: CVE-1, namespaces: [dev-*], " + open, finding: v("CVE-1"), namespace: "dev"},
		"to the hour, before":          {entry: `cve: CVE-1, images: ["*"], expires: "2026-11-01T14:00:00+02:00", reason: r`, finding: v("CVE-1"), now: at(2026, 11, 1, 11), want: true},
		"to the hour, ended":           {entry: `cve: CVE-1, images: ["*"], expires: "2026-11-01T14:00:00+02:00", reason: r`, finding: v("CVE-1"), now: at(2026, 11, 1, 12)},
		"unquoted time":                {entry: `cve: CVE-1, images: ["*"], expires: 2026-11-01T14:00:00Z, reason: r`, finding: v("CVE-1"), want: true},
		"a finding without identifier": {entry: "cve: CVE-1, " + open, finding: v("", "")},
	} {
		t.Run(name, func(t *testing.T) {
			j := newJudge(t, verdict.Options{
				Threshold: report.SeverityHigh, Now: tc.now, ExceptionsFile: write(t, "exceptions.yaml", "- {"+tc.entry+"}\n"),
			})
			s := subject()
			s.Namespace = tc.namespace
			if got := j.Judge(scanOf(tc.finding), s); (got.Status == report.Accepted) != tc.want {
				t.Errorf("%s %q, want acceptance: %t", got.Status, got.Message, tc.want)
			}
		})
	}
}

func TestAnEndedExceptionIsPointedOut(t *testing.T) {
	j := withExceptions(t, `
- {cve: CVE-1, images: [ghcr.io/acme/], expires: 2026-01-01, reason: first}
- {cve: CVE-1, images: [ghcr.io/acme/web], expires: 2026-10-01, reason: second}
`)
	got := j.Judge(scanOf(finding("CVE-1", report.SeverityHigh, "1.1"), finding("CVE-2", report.SeverityHigh, "")), subject())
	expect{report.Rejected, "CVE-1 (High) in pkg 1.0, fixed in 1.1; its exception ended 2026-10-01; and 1 more finding"}.check(t, got)
}

func TestWrongExceptionsAreNamed(t *testing.T) {
	const ok = `cve: CVE-1, images: [nginx], expires: 2027-01-01, reason: r`
	for name, tc := range map[string]struct{ file, want string }{
		"empty file":         {"", "write [] when"},
		"no list":            {"cve: CVE-1", "must be a list"},
		"no text":            {"- {cve: 7, images: [nginx], expires: 2027-01-01, reason: r}", "[0].cve: 7 must be a text"},
		"no list of names":   {"- {cve: CVE-1, images: nginx, expires: 2027-01-01, reason: r}", `[0].images: "nginx" must be a list`},
		"no list of spaces":  {"- {cve: CVE-1, images: [nginx], namespaces: dev, expires: 2027-01-01, reason: r}", `[0].namespaces: "dev" must be a list`},
		"not YAML":           {"- {", "did not find"},
		"unknown field":      {"- {" + ok + ", namespace: dev}", `unknown field "[0].namespace"`},
		"field twice":        {"- {cve: CVE-2, " + ok + "}", `"cve" already set`},
		"letter case":        {"- {CVE: CVE-1, images: [nginx], expires: 2027-01-01, reason: r}", "unknown field"},
		"empty entry":        {"- {}", "entry 1 (unnamed): cve: missing"},
		"null entry":         {"- {" + ok + "}\n-", "entry 2 (unnamed): cve: missing"},
		"no images":          {"- {cve: CVE-1, expires: 2027-01-01, reason: r}", "entry 1 (CVE-1): images: missing"},
		"empty image":        {`- {cve: CVE-1, images: [""], expires: 2027-01-01, reason: r}`, "images[0]: \"\": it is empty"},
		"invalid image":      {`- {cve: CVE-1, images: [nginx, "A B"], expires: 2027-01-01, reason: r}`, "images[1]: \"A B\""},
		"image twice":        {`- {cve: CVE-1, images: [nginx, docker.io/library/nginx], expires: 2027-01-01, reason: r}`, "images[1]: \"docker.io/library/nginx\": it is there twice"},
		"registry, no slash": {`- {cve: CVE-1, images: [ghcr.io], expires: 2027-01-01, reason: r}`, "end it with a slash"},
		"glob":               {`- {cve: CVE-1, images: ["nginx*"], expires: 2027-01-01, reason: r}`, `"nginx*"`},
		"only a slash":       {`- {cve: CVE-1, images: [/], expires: 2027-01-01, reason: r}`, `"/"`},
		"path":               {`- {cve: CVE-1, images: [ghcr.io/a/../], expires: 2027-01-01, reason: r}`, "components of a path begin and end"},
		"no expires":         {`- {cve: CVE-1, images: [nginx], reason: r}`, "entry 1 (CVE-1): expires: missing"},
		"invalid expires":    {`- {cve: CVE-1, images: [nginx], expires: never, reason: r}`, `expires: "never" is neither`},
		"impossible date":    {`- {cve: CVE-1, images: [nginx], expires: 2026-02-30, reason: r}`, `expires: "2026-02-30" is neither`},
		"no reason":          {`- {cve: CVE-1, images: [nginx], expires: 2027-01-01, reason: " "}`, "reason: missing"},
		"long reason":        {`- {cve: CVE-1, images: [nginx], expires: 2027-01-01, reason: ` + strings.Repeat("r", 257) + `}`, "reason: is longer than 256"},
		"reason of lines":    {`- {cve: CVE-1, images: [nginx], expires: 2027-01-01, reason: "a\nb"}`, "reason: has characters"},
		"no namespaces":      {"- {" + ok + ", namespaces: []}", "namespaces: is an empty list"},
		"null namespaces":    {"- {" + ok + ", namespaces: }", "namespaces: is an empty list"},
		"namespace pattern":  {"- {" + ok + ", namespaces: ['*-dev']}", `namespaces: "*-dev": a * may stand at the end only`},
		"namespace twice":    {"- {" + ok + ", namespaces: [dev, dev]}", `namespaces: "dev" is there twice`},
		"no packages":        {"- {" + ok + ", packages: []}", "packages: is an empty list"},
		"empty package":      {"- {" + ok + `, packages: [""]}`, `packages: "": it is empty`},
		"duplicate": {"- {" + ok + "}\n- {cve: cve-1, images: [docker.io/nginx], expires: 2028-01-01, reason: other}",
			"entry 2 (cve-1): is about the same as entry 1"},
		"odd cve":        {`- {cve: "CVE 1", images: [nginx], expires: 2027-01-01, reason: r}`, `cve: "CVE 1": no vulnerability is called so`},
		"cves of a year": {`- {cve: "CVE-2021-*", images: [nginx], expires: 2027-01-01, reason: r}`, `cve: "CVE-2021-*": no vulnerability has a * in its name`},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "exceptions.yaml", tc.file)
			_, err := verdict.New(verdict.Options{ExceptionsFile: path, Now: today})
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v lacks %q or the path", err, tc.want)
			}
		})
	}
}

func TestAllMistakesAreListed(t *testing.T) {
	path := write(t, "exceptions.yaml", "- {cve: CVE-1}\n- {cve: CVE-2, images: [nginx], expires: 2027-01-01}\n")
	_, err := verdict.New(verdict.Options{ExceptionsFile: path})
	for _, want := range []string{"entry 1 (CVE-1)", "images: missing", "expires: missing", "entry 2 (CVE-2): reason: missing"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
}

func TestNoExceptions(t *testing.T) {
	got := withExceptions(t, "[]\n").Judge(scanOf(finding("CVE-1", report.SeverityHigh, "")), subject())
	expect{report.Rejected, "CVE-1"}.check(t, got)
}

// TestPatternsOfImages runs the table that Rego and the schemas are held against.
func TestPatternsOfImages(t *testing.T) {
	for p, want := range patterntest.Read(t, "../pattern/testdata/cases.yaml").Images {
		path := write(t, "exceptions.yaml", fmt.Sprintf(`[{cve: CVE-1, images: [%q], expires: 2027-01-01, reason: r}]`, p))
		_, err := verdict.New(verdict.Options{ExceptionsFile: path, Now: today})
		if want = fmt.Sprintf("images[0]: %q: %s", p, want); err == nil && !strings.HasSuffix(want, ": ") || err != nil && (strings.HasSuffix(want, ": ") || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", p, err, want)
		}
	}
}
