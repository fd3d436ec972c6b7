package predicate_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend/attached/predicate"
	"github.com/imagegate/imagegate/provider/report"
)

// trivyOf is Trivy's report of an operating system.
func trivyOf(os, results string) string {
	return strings.Replace(trivy(results), `"Results"`, `"Metadata":{"OS":`+os+`},"Results"`, 1)
}

// grypeOf is Grype's report of a distribution, with more of the report behind.
func grypeOf(distro, more string) string {
	return strings.Replace(grype(`[]`), `"descriptor"`, `"distro":`+distro+`,`+more+`"descriptor"`, 1)
}

const (
	debianPackages = `{"Class":"os-pkgs","Type":"debian"}`
	goPackages     = `{"Class":"lang-pkgs","Type":"gobinary","Packages":[{"Name":"a"},{"Name":"b"}]}`
)

// What a report says that was looked at, and what it shows that was not: each of
// the latter read "no vulnerabilities found".
func TestCoverage(t *testing.T) {
	counted := strings.Replace(debianPackages, `}`, `,"Packages":[{"Name":"a"},{"Name":"b"},{"Name":"c"}]}`, 1)
	for name, c := range map[string]struct {
		body string
		want report.Coverage
	}{
		"Trivy":                                        {trivyOf(`{"Family":"debian","Name":"12.5"}`, `[`+debianPackages+`]`), report.Coverage{Distribution: "debian 12.5", Uncounted: true}},
		"Trivy, all packages":                          {trivyOf(`{"Family":"debian","Name":"12.5"}`, `[`+counted+`,`+goPackages+`]`), report.Coverage{Distribution: "debian 12.5", Packages: 5}},
		"Trivy, language packages only":                {trivyOf(`{"Family":"debian","Name":"12.5"}`, `[`+goPackages+`]`), report.Coverage{Distribution: "debian 12.5", Packages: 2, Gap: "the packages of debian 12.5 were not looked up"}},
		"Trivy, another's packages":                    {trivyOf(`{"Family":"alpine","Name":"3.20"}`, `[`+debianPackages+`]`), report.Coverage{Distribution: "alpine 3.20", Uncounted: true, Gap: "the packages of alpine 3.20 were not looked up"}},
		"Trivy, a distribution that it has no data of": {trivyOf(`{"Family":"fedora","Name":"41"}`, `[`+goPackages+`]`), report.Coverage{Distribution: "fedora 41", Packages: 2, Gap: "Trivy has no data of fedora"}},
		"Trivy, its packages listed but not looked up": {trivyOf(`{"Family":"fedora","Name":"41"}`, `[{"Class":"os-pkgs","Type":"fedora","Packages":[{"Name":"a"}]}]`), report.Coverage{Distribution: "fedora 41", Packages: 1, Gap: "Trivy has no data of fedora"}},
		"Trivy, a release that is not out":             {trivyOf(`{"Family":"debian","Name":"trixie/sid"}`, `[`+debianPackages+`]`), report.Coverage{Distribution: "debian trixie/sid", Uncounted: true, Gap: `Trivy has no data of release "trixie/sid" of debian`}},
		"Trivy, no release":                            {trivyOf(`{"Family":"debian"}`, `[`+debianPackages+`]`), report.Coverage{Distribution: "debian", Uncounted: true, Gap: `Trivy has no data of release "" of debian`}},
		"Trivy, past its end of life":                  {trivyOf(`{"Family":"debian","Name":"8.11","EOSL":true}`, `[`+debianPackages+`]`), report.Coverage{Distribution: "debian 8.11", Uncounted: true, Gap: "debian 8.11 is past its end of life"}},
		"Trivy, no distribution":                       {trivy(`[` + goPackages + `]`), report.Coverage{Packages: 2}},
		"Grype":                                        {grypeOf(`{"name":"debian","version":"12"}`, ""), report.Coverage{Distribution: "debian 12", Uncounted: true}},
		"Grype, an empty distribution":                 {grypeOf(`{"name":"","version":"","idLike":null}`, ""), report.Coverage{}},
		"Grype, no distribution":                       {grype(`[]`), report.Coverage{}},
		"Grype, a distribution that it has no data of": {grypeOf(`{"name":"gentoo","version":"2.15"}`, ""), report.Coverage{Distribution: "gentoo 2.15", Uncounted: true, Gap: "Grype has no data of gentoo"}},
		"Grype, a release that is not out":             {grypeOf(`{"name":"debian","version":""}`, ""), report.Coverage{Distribution: "debian", Uncounted: true, Gap: `Grype has no data of release "" of debian`}},
		"Grype, packages that it warns of": {
			grypeOf(`{"name":"debian","version":"8"}`, `"alertsByPackage":[{"package":{},"alerts":[{"type":"distro-eol"}]}],`),
			report.Coverage{Distribution: "debian 8", Uncounted: true, Gap: "Grype warns of its packages: distro-eol"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(predicate.CosignVuln, cosign(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if got.Scan.Coverage == nil || *got.Scan.Coverage != c.want {
				t.Errorf("coverage is %+v, want %+v", got.Scan.Coverage, c.want)
			}
		})
	}
	for name, c := range map[string][2]string{
		"in-toto":                  {predicate.VulnsV02, vulns(`[]`)},
		"SARIF":                    {predicate.SARIF, fixture(t, "grype.sarif")},
		"SARIF in cosign's record": {predicate.CosignVuln, cosign(fixture(t, "trivy.sarif"))},
	} {
		got, err := read(c[0], c[1])
		if err != nil || got.Scan.Coverage != nil {
			t.Errorf("%s: %+v, %v; its format cannot tell", name, got, err)
		}
	}
}

func TestAReportTellsWhichImageItLookedAt(t *testing.T) {
	source := `"source":{"type":"image","target":{"manifestDigest":"sha256:aa","imageID":"sha256:bb","os":"linux","architecture":"arm64"}},`
	meta := `{"OS":{"Family":"debian","Name":"12"},"ImageID":"sha256:bb","ImageConfig":{"os":"linux","architecture":"arm64"}}`
	for name, c := range map[string]struct {
		body string
		want predicate.Target
	}{
		"Grype":            {grypeOf(`{"name":"debian","version":"12"}`, source), predicate.Target{Manifest: "sha256:aa", Config: "sha256:bb", OS: "linux", Architecture: "arm64"}},
		"Grype, of a list": {grypeOf(`{"name":"debian","version":"12"}`, `"source":{"type":"sbom-file","target":"a.json"},`), predicate.Target{}},
		"Trivy":            {strings.Replace(trivy(`[`+debianPackages+`]`), `"Results"`, `"Metadata":`+meta+`,"Results"`, 1), predicate.Target{Config: "sha256:bb", OS: "linux", Architecture: "arm64"}},
		"Trivy, of a list": {strings.Replace(trivy(`[`+debianPackages+`]`), "container_image", "spdx", 1), predicate.Target{}},
	} {
		got, err := read(predicate.CosignVuln, cosign(c.body))
		if err != nil || got.Target != c.want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, c.want)
		}
	}
}

// Whoever wraps and signs an old report today has not scanned today.
func TestTheOlderOfTwoTimesCounts(t *testing.T) {
	for body, want := range map[string][2]string{
		cosign(strings.Replace(trivy(`[`+debianPackages+`]`), `{`, `{"CreatedAt":"2026-09-01T00:00:00Z",`, 1)):                              {"2026-09-01T00:00:00Z", ""},
		cosign(strings.Replace(grype(`[]`), `"name":"grype"`, `"name":"grype","timestamp":"2026-09-02T02:00:00+02:00"`, 1)):                 {"2026-09-02T00:00:00Z", "2026-10-30T00:00:00Z"},
		strings.Replace(cosign(grype(`[]`)), `"db":{"uri":"",`, `"db":{"lastUpdate":"2026-11-01T00:00:00Z","uri":"",`, 1):                   {"2026-11-01T10:01:00Z", "2026-10-30T00:00:00Z"},
		strings.Replace(cosign(grype(`[]`)), `"db":{"uri":"",`, `"db":{"lastUpdate":"2026-08-01T00:00:00Z","uri":"",`, 1):                   {"2026-11-01T10:01:00Z", "2026-08-01T00:00:00Z"},
		strings.Replace(cosign(trivy(`[`+debianPackages+`]`)), `"db":{"uri":"",`, `"db":{"lastUpdate":"2026-11-01T00:00:00Z","uri":"",`, 1): {"2026-11-01T10:01:00Z", "2026-11-01T00:00:00Z"},
	} {
		got, err := read(predicate.CosignVuln, body)
		if err != nil {
			t.Fatal(err)
		}
		database := ""
		if at := got.Scan.DatabaseBuiltAt; !at.IsZero() {
			database = at.Format(time.RFC3339)
		}
		if at := got.Scan.ScannedAt.Format(time.RFC3339); at != want[0] || database != want[1] {
			t.Errorf("%s: scanned %s on data of %s, want %s", body, at, database, want)
		}
	}
}

func TestAScoreStandsInForAWord(t *testing.T) {
	for name, body := range map[string]string{
		"Trivy": trivy(`[{"Class":"os-pkgs","Vulnerabilities":[{"VulnerabilityID":"CVE-1","PkgName":"a","Severity":"UNKNOWN","CVSS":{"nvd":{"V3Score":9.8}}}]}]`),
		"Grype": grype(`[{"vulnerability":{"id":"CVE-1","cvss":[{"metrics":{"baseScore":0}},{"metrics":{"baseScore":9.8}}]},"artifact":{"name":"a"}}]`),
	} {
		got, err := read(predicate.CosignVuln, cosign(body))
		if err != nil || got.Scan.Vulnerabilities[0].Severity != report.SeverityCritical {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestWhatIsKeptOfAFindingIsBounded(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	links, _ := json.Marshal([]string{long, "https://a", "https://b", "c", "d", "e", "f", "g", "h", "i"})
	got, err := read(predicate.CosignVuln, cosign(trivy(`[{"Class":"os-pkgs","Vulnerabilities":[{"VulnerabilityID":"CVE-1","Severity":"LOW",
		"PkgName":"`+long+`","PkgIdentifier":{"PURL":"`+long+`"},"InstalledVersion":"`+long+`","FixedVersion":"`+long+`","Description":"`+long+`","References":`+string(links)+`}]}]`)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(got.Scan.Vulnerabilities)
	if err != nil {
		t.Fatal(err)
	}
	big, err := read(predicate.CosignVuln, cosign(trivyOf(`{"Family":"`+long+`","Name":"`+long+`"}`, `[`+debianPackages+`]`)))
	if err != nil || len(big.Scan.Coverage.Distribution) > 200 || len(big.Scan.Coverage.Gap) > 200 {
		t.Errorf("coverage of %d bytes and a gap of %d, %v", len(big.Scan.Coverage.Distribution), len(big.Scan.Coverage.Gap), err)
	}
	if v := got.Scan.Vulnerabilities[0]; len(b) > 8<<10 || len(v.Links) != 8 || v.Links[0] != "https://a" {
		t.Errorf("%d bytes, links %q", len(b), v.Links)
	}
}
