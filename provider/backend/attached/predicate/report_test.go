package predicate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend/attached/predicate"
	"github.com/imagegate/imagegate/provider/report"
)

const meta = `"metadata":{"scanStartedOn":"2026-11-01T10:00:00Z","scanFinishedOn":"2026-11-01T10:01:00Z"}`

func vulns(result string) string {
	return `{"scanner":{"uri":"pkg:github/aquasecurity/trivy@244fd47","version":"0.19.2","db":{"uri":"x","lastUpdate":"2026-10-31T17:45:50.52Z"},"result":` + result + `},` + meta + `}`
}

func cosign(result string) string {
	return `{"invocation":{"uri":""},"scanner":{"uri":"pkg:github/aquasecurity/trivy@v0.60.0","version":"v0.60.0","db":{"uri":"","version":""},"result":` + result + `},` + meta + `}`
}

func trivy(results string) string {
	return `{"SchemaVersion":2,"ArtifactName":"a","ArtifactType":"container_image","Results":` + results + `}`
}

func grype(matches string) string {
	return `{"matches":` + matches + `,"descriptor":{"name":"grype","version":"0.120.1","db":{"status":{"built":"2026-10-30T00:00:00Z"}}}}`
}

func sarif(tool, rules, results string) string {
	return fmt.Sprintf(`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":%q,"version":"1.0","rules":%s}},"results":%s,"properties":{"imageName":"a"}}]}`, tool, rules, results)
}

func fixture(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func read(predicateType, body string) (*predicate.Report, error) {
	return predicate.ReadReport(&predicate.Statement{PredicateType: predicateType, Predicate: json.RawMessage(body)})
}

func short(v []report.Vulnerability) string {
	var out []string
	for _, v := range v {
		s := strings.TrimSpace(fmt.Sprintf("%s %s %s %s %s", v.ID, v.Severity, v.Package, v.Installed, v.Fixed))
		if v.Suppressed != "" {
			s += " [" + v.Suppressed + "]"
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

func TestReports(t *testing.T) {
	for name, c := range map[string]struct {
		predicateType, body string
		scanner, want       string
		database            string
		blindToFixes        bool
	}{
		"vulns clean": {predicateType: predicate.VulnsV02, body: vulns(`[]`), scanner: "trivy 0.19.2", database: "2026-10-31T17:45:50.52Z"},
		"vulns": {
			predicateType: predicate.VulnsV02, scanner: "trivy 0.19.2", database: "2026-10-31T17:45:50.52Z", blindToFixes: true,
			body: vulns(`[{"id":"CVE-1","severity":[{"method":"nvd","score":"medium"},{"method":"cvss_score","score":"5.2"}]},{"id":"CVE-2","severity":[{"method":"cvss_score","score":9.8}]}]`),
			want: "CVE-2 Critical (not named); CVE-1 Medium (not named)",
		},
		"vulns worst of the severities": {
			predicateType: predicate.VulnsV01, scanner: "trivy 0.19.2", database: "2026-10-31T17:45:50.52Z", blindToFixes: true,
			body: vulns(`[{"id":"CVE-1","severity":[{"method":"epss","score":"0.9"},{"method":"nvd","score":"low"},{"method":"CVSS_V3","score":"7.0"}]}]`),
			want: "CVE-1 High (not named)",
		},
		"vulns v0.1 nested, with annotations": {
			predicateType: predicate.VulnsV01, scanner: "trivy 0.19.2", database: "2026-10-31T17:45:50.52Z",
			body: vulns(`[{"vulnerability":{"id":"CVE-1","severity":[{"method":"nvd","score":"High"}],"annotations":[{"pkg-name":"zlib","installedVersion":"1.2"},{"fixed_version":"1.3"}]}}]`),
			want: "CVE-1 High zlib 1.2 1.3",
		},
		"cosign Trivy":       {predicateType: predicate.CosignVuln, body: cosign(fixture(t, "trivy.json")), scanner: "Trivy v0.60.0", want: "CVE-2021-38561 High golang.org/x/text v0.3.5 0.3.7; CVE-2023-4911 High libc6 2.36-9 [Trivy set it aside: not_affected: vulnerable_code_not_present: vex.json]; CVE-2011-3374 Low apt 2.6.1"},
		"cosign Trivy clean": {predicateType: predicate.CosignVuln, body: cosign(trivy(`[{"Target":"a","Class":"os-pkgs","Type":"alpine"}]`)), scanner: "Trivy v0.60.0"},
		"cosign Grype":       {predicateType: predicate.CosignVuln, body: cosign(fixture(t, "grype.json")), scanner: "Grype 0.120.1", database: "2026-10-30T00:00:00Z", want: "CVE-2021-38561 High golang.org/x/text v0.3.5 0.3.7; CVE-2022-1 Medium busybox 1.35 [Grype set it aside: not_affected: inline_mitigations_already_exist]"},
		"cosign Grype clean": {predicateType: predicate.CosignVuln, body: cosign(grype(`[]`)), scanner: "Grype 0.120.1", database: "2026-10-30T00:00:00Z"},
		"cosign SARIF":       {predicateType: predicate.CosignVuln, body: cosign(fixture(t, "trivy.sarif")), scanner: "Trivy 0.60.0", want: "CVE-2021-38561 High golang.org/x/text v0.3.5 0.3.7; CVE-2011-3374 Low apt 2.6.1"},
		"bare type":          {predicateType: "cosign.sigstore.dev/attestation/vuln/v1", body: cosign(grype(`[]`)), scanner: "Grype 0.120.1", database: "2026-10-30T00:00:00Z"},
		"SARIF of Grype":     {predicateType: predicate.SARIF, body: fixture(t, "grype.sarif"), scanner: "Grype 0.120.1", want: "CVE-1999-0002 Critical package-2 2.2.2; CVE-1999-0001 Medium package-1 1.1.1 the-next-version"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(c.predicateType, c.body)
			if err != nil {
				t.Fatal(err)
			}
			s := got.Scan
			if s.Scanner != "attached: "+c.scanner || short(s.Vulnerabilities) != c.want || got.TellsFixes == c.blindToFixes {
				t.Errorf("read as %q: %s (tells fixes: %v), want %q: %s", s.Scanner, short(s.Vulnerabilities), got.TellsFixes, c.scanner, c.want)
			}
			want := "2026-11-01T10:01:00Z"
			if strings.Contains(c.body, `"2026-11-01T10:00:30Z"`) { // when the tool made it, before it was wrapped up
				want = "2026-11-01T10:00:30Z"
			}
			if at := s.ScannedAt.Format(time.RFC3339); at != want {
				t.Errorf("scanned at %s, want %s", at, want)
			}
			if c.database != "" && s.DatabaseBuiltAt.Format(time.RFC3339Nano) != c.database {
				t.Errorf("database of %s, want %s", s.DatabaseBuiltAt, c.database)
			}
			if c.database == "" && !s.DatabaseBuiltAt.IsZero() {
				t.Errorf("database of %s, want none", s.DatabaseBuiltAt)
			}
			if string(s.Inner) != c.body {
				t.Error("the inner report is not the predicate as it is")
			}
		})
	}
}

// What is said of a flaw by its advisory at GitHub is said of its CVE. An advisory
// of a distribution is about several.
func TestTrivyTellsTheAdvisoryAtGitHub(t *testing.T) {
	got, err := read(predicate.CosignVuln, cosign(trivy(`[{"Class":"lang-pkgs","Vulnerabilities":[
		{"VulnerabilityID":"CVE-1","VendorIDs":["GHSA-1","DSA-1"],"PkgName":"a","Severity":"LOW"}]}]`)))
	if err != nil {
		t.Fatal(err)
	}
	if v := got.Scan.Vulnerabilities[0]; v.ID != "CVE-1" || !slices.Equal(v.Aliases, []string{"GHSA-1"}) {
		t.Errorf("read as %s, with %s", v.ID, v.Aliases)
	}
}

// Grype says what is exploited, and nothing when it could not read that: what it says
// counts, and its silence does not.
func TestGrypeTellsWhatIsExploited(t *testing.T) {
	read := func(fields string) (report.Vulnerability, *report.Scan) {
		t.Helper()
		got, err := read(predicate.CosignVuln, cosign(grype(`[{"vulnerability":{"id":"CVE-1","severity":"High",`+fields+`},"artifact":{"name":"a"}}]`)))
		if err != nil {
			t.Fatal(err)
		}
		return got.Scan.Vulnerabilities[0], got.Scan
	}
	v, scan := read(`"fix":{"versions":["2","3"],"available":[{"version":"3","date":"2026-10-09","kind":"advisory"},{"version":"2","date":"2026-10-07"}]},
		"knownExploited":[{"cve":"CVE-1","dateAdded":"2026-10-02","dueDate":"2026-10-23","knownRansomwareCampaignUse":"Known"}],
		"epss":[{"cve":"CVE-1","epss":0.25,"percentile":0.75,"date":"2026-10-29"}],"risk":82.5`)
	if v.KnownExploited == nil || *v.KnownExploited != (report.KnownExploited{Added: "2026-10-02", Due: "2026-10-23", Ransomware: true}) ||
		v.EPSS == nil || *v.EPSS != (report.EPSS{Probability: 0.25, Percentile: 0.75, Date: "2026-10-29"}) || v.Risk == nil || *v.Risk != 82.5 ||
		v.FixAvailable.Format(time.DateOnly) != "2026-10-07" {
		t.Errorf("%+v %+v %+v", v, v.KnownExploited, v.EPSS)
	}
	if why, ok := scan.KnowsExploited(); ok || why == "" {
		t.Error("a report of Grype's is believed to know all that is exploited")
	}
	for fields, listed := range map[string]bool{
		`"risk":0`: false, `"knownExploited":null,"epss":null,"risk":null`: false, `"knownExploited":[],"epss":[]`: false,
		`"knownExploited":[{}],"epss":[{"percentile":0.97}]`: true, `"knownExploited":"yes","epss":"much","risk":"high","fix":{"versions":["2"],"available":"soon"}`: true,
	} {
		if v, _ := read(fields); (v.KnownExploited != nil) != listed || v.EPSS != nil || v.Risk != nil || !v.FixAvailable.IsZero() {
			t.Errorf("%s: %+v", fields, v)
		}
	}
}

func TestWhatIsNoReport(t *testing.T) {
	const rule = `[{"id":"CVE-1","properties":{"security-severity":"5.0"}}]`
	for name, c := range map[string]struct {
		predicateType, body string
		unsupported         bool
	}{
		"other predicate":      {"https://slsa.dev/provenance/v1", vulns(`[]`), true},
		"list of packages":     {"https://cyclonedx.org/bom", `{"vulnerabilities":[]}`, true},
		"empty":                {predicate.VulnsV02, `{}`, false},
		"null":                 {predicate.VulnsV02, `null`, false},
		"no result":            {predicate.VulnsV02, strings.Replace(vulns(`[]`), `,"result":[]`, "", 1), false},
		"null result":          {predicate.VulnsV02, vulns(`null`), false},
		"result is an object":  {predicate.VulnsV02, vulns(`{}`), false},
		"result is a text":     {predicate.VulnsV02, vulns(`"none"`), false},
		"null finding":         {predicate.VulnsV02, vulns(`[null]`), false},
		"finding without id":   {predicate.VulnsV02, vulns(`[{"severity":[{"method":"nvd","score":"low"}]}]`), false},
		"no severity":          {predicate.VulnsV02, vulns(`[{"id":"CVE-1"}]`), true},
		"EPSS alone":           {predicate.VulnsV02, vulns(`[{"id":"CVE-1","severity":[{"method":"epss","score":"0.97"}]}]`), true},
		"score out of range":   {predicate.VulnsV02, vulns(`[{"id":"CVE-1","severity":[{"method":"cvss","score":"-1"}]}]`), true},
		"score not a number":   {predicate.VulnsV02, vulns(`[{"id":"CVE-1","severity":[{"method":"cvss","score":"NaN"}]}]`), true},
		"vector":               {predicate.VulnsV02, vulns(`[{"id":"CVE-1","severity":[{"method":"cvss","score":"CVSS:3.1/AV:N"}]}]`), true},
		"no end":               {predicate.VulnsV02, strings.Replace(vulns(`[]`), "scanFinishedOn", "x", 1), false},
		"end is no time":       {predicate.VulnsV02, strings.Replace(vulns(`[]`), "2026-11-01T10:01:00Z", "yesterday", 1), false},
		"no scanner":           {predicate.VulnsV02, strings.Replace(vulns(`[]`), "pkg:github/aquasecurity/trivy@244fd47", "", 1), false},
		"no database":          {predicate.VulnsV02, strings.Replace(vulns(`[]`), "lastUpdate", "x", 1), false},
		"cosign, a list":       {predicate.CosignVuln, cosign(`[]`), true},
		"cosign, null":         {predicate.CosignVuln, cosign(`null`), true},
		"cosign, unknown":      {predicate.CosignVuln, cosign(`{"vulnerabilities":[]}`), true},
		"cosign, no end":       {predicate.CosignVuln, strings.Replace(cosign(grype(`[]`)), "scanFinishedOn", "x", 1), false},
		"Trivy, no results":    {predicate.CosignVuln, cosign(trivy(`null`)), false},
		"Trivy, empty results": {predicate.CosignVuln, cosign(trivy(`[]`)), false},
		"Trivy, secrets":       {predicate.CosignVuln, cosign(trivy(`[{"Class":"secret"}]`)), false},
		"Trivy, files":         {predicate.CosignVuln, cosign(strings.Replace(trivy(`[{"Class":"lang-pkgs"}]`), "container_image", "filesystem", 1)), true},
		"Trivy, schema 1":      {predicate.CosignVuln, cosign(strings.Replace(trivy(`[{"Class":"os-pkgs"}]`), ":2", ":1", 1)), true},
		"Trivy, odd severity":  {predicate.CosignVuln, cosign(trivy(`[{"Class":"os-pkgs","Vulnerabilities":[{"VulnerabilityID":"CVE-1","PkgName":"a","Severity":"TERRIBLE"}]}]`)), true},
		"Trivy, nameless":      {predicate.CosignVuln, cosign(trivy(`[{"Class":"os-pkgs","Vulnerabilities":[{}]}]`)), false},
		"Trivy, no list of its finding's severity": {predicate.CosignVuln, cosign(trivy(`[{"Class":"os-pkgs","Vulnerabilities":[{"VulnerabilityID":"CVE-1","PkgName":"a"}]}]`)), true},
		"Trivy, made after the scan's end":         {predicate.CosignVuln, cosign(strings.Replace(trivy(`[{"Class":"os-pkgs"}]`), `{`, `{"CreatedAt":"2026-11-01T10:30:00Z",`, 1)), false},
		"Trivy, made at no time":                   {predicate.CosignVuln, cosign(strings.Replace(trivy(`[{"Class":"os-pkgs"}]`), `{`, `{"CreatedAt":"lately",`, 1)), false},
		"Trivy, an identifier of a megabyte":       {predicate.CosignVuln, cosign(trivy(`[{"Class":"os-pkgs","Vulnerabilities":[{"VulnerabilityID":"` + strings.Repeat("C", 1<<20) + `","PkgName":"a","Severity":"LOW"}]}]`)), false},
		"Grype, an alias of a megabyte":            {predicate.CosignVuln, cosign(grype(`[{"vulnerability":{"id":"CVE-1","severity":"Low"},"artifact":{"name":"a"},"relatedVulnerabilities":[{"id":"` + strings.Repeat("C", 1<<20) + `"}]}]`)), false},
		"Grype, two thousand aliases":              {predicate.CosignVuln, cosign(grype(`[{"vulnerability":{"id":"CVE-1","severity":"Low"},"artifact":{"name":"a"},"relatedVulnerabilities":[` + strings.Repeat(`{"id":"CVE-2"},`, 1999) + `{"id":"CVE-3"}]}]`)), false},
		"Grype, data that is not valid":            {predicate.CosignVuln, cosign(strings.Replace(grype(`[]`), `"status":{`, `"status":{"valid":false,`, 1)), false},
		"Grype, data of no time":                   {predicate.CosignVuln, cosign(strings.Replace(grype(`[]`), "2026-10-30T00:00:00Z", "lately", 1)), false},
		"Grype, made after the scan's end":         {predicate.CosignVuln, cosign(strings.Replace(grype(`[]`), `"name":"grype"`, `"name":"grype","timestamp":"2026-11-01T10:30:00Z"`, 1)), false},
		"Grype, null matches":                      {predicate.CosignVuln, cosign(grype(`null`)), false},
		"Grype, object":                            {predicate.CosignVuln, cosign(grype(`{}`)), false},
		"Grype, other tool":                        {predicate.CosignVuln, cosign(strings.Replace(grype(`[]`), `"grype"`, `"x"`, 1)), true},
		"SARIF, other tool":                        {predicate.CosignVuln, cosign(sarif("CodeQL", `[]`, `[]`)), true},
		"SARIF, no runs":                           {predicate.CosignVuln, cosign(`{"version":"2.1.0","runs":[]}`), true},
		"SARIF, null results":                      {predicate.CosignVuln, cosign(sarif("grype", `[]`, `null`)), false},
		"SARIF, unknown rule":                      {predicate.CosignVuln, cosign(sarif("grype", `[]`, `[{"ruleId":"CVE-1"}]`)), false},
		"SARIF, bad index":                         {predicate.CosignVuln, cosign(sarif("grype", rule, `[{"ruleIndex":-1}]`)), false},
		"SARIF, odd score":                         {predicate.CosignVuln, cosign(sarif("grype", strings.Replace(rule, "5.0", "99", 1), `[{"ruleIndex":0}]`)), true},
		"SARIF, odd level":                         {predicate.CosignVuln, cosign(sarif("grype", `[{"id":"CVE-1"}]`, `[{"ruleIndex":0,"level":"bad"}]`)), true},
		"SARIF, not of an image":                   {predicate.CosignVuln, cosign(strings.Replace(sarif("Trivy", `[]`, `[]`), "imageName", "x", 1)), true},
		"SARIF, no time":                           {predicate.SARIF, sarif("grype", `[]`, `[]`), false},
		"SARIF, failed":                            {predicate.SARIF, strings.Replace(fixture(t, "grype.sarif"), `"executionSuccessful": true`, `"executionSuccessful": false`, 1), false},
		"SARIF 1.0":                                {predicate.SARIF, strings.Replace(fixture(t, "grype.sarif"), `"2.1.0"`, `"1.0.0"`, 1), true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(c.predicateType, c.body)
			if err == nil {
				t.Fatalf("read as %+v", got.Scan)
			}
			if errors.Is(err, predicate.ErrUnsupported) != c.unsupported {
				t.Errorf("error is %v; unsupported should be %v", err, c.unsupported)
			}
		})
	}
}

func TestSARIFLevels(t *testing.T) {
	for level, want := range map[string]report.Severity{
		"error": report.SeverityHigh, "warning": report.SeverityMedium, "": report.SeverityMedium,
		"note": report.SeverityLow, "none": report.SeverityNegligible,
	} {
		got, err := read(predicate.CosignVuln, cosign(sarif("grype", `[{"id":"CVE-1"}]`, `[{"ruleIndex":0,"level":"`+level+`"}]`)))
		if err != nil || got.Scan.Vulnerabilities[0].Severity != want {
			t.Errorf("level %q: %+v, %v, want %s", level, got, err, want)
		}
		if err == nil && got.TellsFixes {
			t.Errorf("level %q: claims to tell fixes", level)
		}
	}
}

func TestSeverities(t *testing.T) {
	for score, want := range map[string]report.Severity{
		"10": report.SeverityCritical, "9.0": report.SeverityCritical, "8.9": report.SeverityHigh, "7.0": report.SeverityHigh,
		"6.9": report.SeverityMedium, "4": report.SeverityMedium, "3.9": report.SeverityLow, "0.1": report.SeverityLow, "0.0": report.SeverityUnknown,
		"CRITICAL": report.SeverityCritical, "Important": report.SeverityHigh, "moderate": report.SeverityMedium, "low": report.SeverityLow,
		"negligible": report.SeverityNegligible, "info": report.SeverityNegligible, "none": report.SeverityUnknown, "unknown": report.SeverityUnknown,
	} {
		got, err := read(predicate.VulnsV02, vulns(`[{"id":"CVE-1","severity":[{"method":"cvss_v3","score":"`+score+`"}]}]`))
		if err != nil || got.Scan.Vulnerabilities[0].Severity != want {
			t.Errorf("%q: %+v, %v, want %s", score, got, err, want)
		}
	}
}

func TestStatements(t *testing.T) {
	const good = `{"_type":"https://in-toto.io/Statement/v0.1","subject":[{"name":"a","digest":{"sha256":"ab"}},{"name":"b","digest":{"sha512":"cd"}}],"predicateType":"p","predicate":{}}`
	s, err := predicate.ParseStatement([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	for digest, want := range map[string]bool{"sha256:ab": true, "sha256:cd": false, "sha512:cd": false, "sha256:": false, "ab": false, "": false} {
		if s.IsAbout(digest) != want {
			t.Errorf("about %q is %v", digest, !want)
		}
	}
	for name, body := range map[string]string{
		"empty": ``, "null": `null`, "list": `[]`, "other type": strings.Replace(good, "v0.1", "v9", 1),
		"no subject":      `{"_type":"https://in-toto.io/Statement/v1","predicate":{}}`,
		"no predicate":    strings.Replace(good, `,"predicate":{}`, "", 1),
		"null predicate":  strings.Replace(good, `"predicate":{}`, `"predicate":null`, 1),
		"text predicate":  strings.Replace(good, `"predicate":{}`, `"predicate":"x"`, 1),
		"digest is a nil": strings.Replace(good, `{"sha256":"ab"}`, `7`, 1),
		"two":             good + good,
	} {
		if got, err := predicate.ParseStatement([]byte(body)); err == nil {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
}

func FuzzReport(f *testing.F) {
	for _, body := range []string{
		vulns(`[{"id":"CVE-1","severity":[{"method":"nvd","score":"low"}],"annotations":[{"purl":"x"}]}]`), cosign(fixture(f, "trivy.json")),
		cosign(fixture(f, "grype.json")), cosign(fixture(f, "trivy.sarif")), fixture(f, "grype.sarif"),
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, predicateType := range []string{predicate.VulnsV01, predicate.VulnsV02, predicate.CosignVuln, predicate.SARIF} {
			got, err := read(predicateType, body)
			if err != nil {
				continue
			}
			if got.Scan.ScannedAt.IsZero() || got.Scan.Scanner == "" || !json.Valid(got.Scan.Inner) {
				t.Errorf("%s: half a report: %+v", predicateType, got.Scan)
			}
			for _, v := range got.Scan.Vulnerabilities {
				if v.ID == "" {
					t.Errorf("%s: a finding without an identifier", predicateType)
				}
			}
		}
	})
}

func FuzzStatement(f *testing.F) {
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"ab"}}],"predicate":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := predicate.ParseStatement(b); err == nil && (len(s.Subject) == 0 || !json.Valid(s.Predicate)) {
			t.Errorf("half a statement: %+v", s)
		}
	})
}
