package attached_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend/attached/attachedtest"
	"github.com/imagegate/imagegate/provider/backend/attached/predicate"
	"github.com/imagegate/imagegate/provider/report"
)

// trivy is cosign's record of Trivy's report of an operating system.
func trivy(at time.Time, os map[string]any, results ...map[string]any) map[string]any {
	return map[string]any{
		"scanner": map[string]any{
			"version": "0.60.0",
			"result": map[string]any{
				"SchemaVersion": 2, "ArtifactType": "container_image", "CreatedAt": at,
				"Metadata": map[string]any{"OS": os}, "Results": results,
			},
		},
		"metadata": map[string]any{"scanFinishedOn": at},
	}
}

func sarif(at time.Time) map[string]any {
	return map[string]any{"version": "2.1.0", "runs": []any{map[string]any{
		"tool":        map[string]any{"driver": map[string]any{"name": "grype", "version": "1", "rules": []any{}}},
		"invocations": []any{map[string]any{"executionSuccessful": true, "endTimeUtc": at}}, "results": []any{},
	}}}
}

func osPackages(family string) map[string]any {
	return map[string]any{"Class": "os-pkgs", "Type": family}
}

func goPackages() map[string]any {
	return map[string]any{"Class": "lang-pkgs", "Type": "gobinary", "Packages": []any{map[string]any{"Name": "a"}}}
}

// with changes a record of Grype's report.
func with(record map[string]any, key string, value any) map[string]any {
	result := record["scanner"].(map[string]any)["result"].(map[string]any)
	result[key] = value
	return record
}

// Each of these read "no vulnerabilities found" where nobody had looked.
func TestAnIncompleteReportIsPassedOverAndTheImageScanned(t *testing.T) {
	debian := map[string]any{"Family": "debian", "Name": "12.5"}
	for name, c := range map[string]struct {
		kind   string
		record map[string]any
		reason string
	}{
		"Trivy, a distribution that it has no data of": {
			predicate.CosignVuln, trivy(now(), map[string]any{"Family": "fedora", "Name": "41"}, goPackages()), "Trivy has no data of fedora",
		},
		"Trivy, language packages only": {predicate.CosignVuln, trivy(now(), debian, goPackages()), "packages of debian 12.5 were not looked up"},
		"Trivy, past its end of life": {
			predicate.CosignVuln, trivy(now(), map[string]any{"Family": "debian", "Name": "8.11", "EOSL": true}, osPackages("debian")), "past its end of life",
		},
		"Trivy, a release that is not out": {
			predicate.CosignVuln, trivy(now(), map[string]any{"Family": "debian", "Name": "trixie/sid"}, osPackages("debian")), "trixie/sid",
		},
		"Trivy, no distribution":       {predicate.CosignVuln, trivy(now(), nil, goPackages()), "names no distribution"},
		"Grype, an empty distribution": {predicate.CosignVuln, with(grype(now()), "distro", map[string]any{"name": "", "version": ""}), "names no distribution"},
		"Grype, a distribution that it has no data of": {
			predicate.CosignVuln, with(grype(now()), "distro", map[string]any{"name": "gentoo", "version": "2"}), "Grype has no data of gentoo",
		},
		"in-toto's":                        {predicate.VulnsV02, vulns(now()), "does not say what was looked at"},
		"SARIF":                            {predicate.SARIF, sarif(now()), "does not say what was looked at"},
		"Grype, a finding without package": {predicate.VulnsV02, vulns(now(), "CVE-1"), "does not say what was looked at"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, true)
			w.bundle(attachedtest.Statement(t, c.kind, c.record, w.image.Digest))
			// An older report that is complete does not overrule the newer one.
			w.bundle(w.report(time.Hour))
			behind := &counting{}
			s, err := w.finder().Wrap(behind).Scan(t.Context(), w.image)
			if err != nil || behind.scans != 1 || s.Attached {
				t.Errorf("%+v, %v, %d scans", s, err, behind.scans)
			}
			if counts := w.counts(); !maps.Equal(counts, map[string]int{"incomplete": 1, "stale": 1, "none": 1}) {
				t.Errorf("counts %v", counts)
			}
			if log := w.log.String(); !strings.Contains(log, "level=INFO") || !strings.Contains(strings.ReplaceAll(log, `\"`, `"`), c.reason) {
				t.Errorf("the log does not say %q:\n%s", c.reason, log)
			}
		})
	}
}

func TestAnOlderIncompleteReportOverrulesNothing(t *testing.T) {
	w := newWorld(t, true)
	w.bundle(attachedtest.Statement(t, predicate.VulnsV02, vulns(now().Add(-2*time.Hour)), w.image.Digest))
	w.bundle(w.report(time.Hour, "CVE-1"))
	w.expect(w.find(), "CVE-1", map[string]int{"incomplete": 1, "used": 1, "found": 1})
}

func TestUnstatedReportsCountWhereTheyAreLet(t *testing.T) {
	for name, c := range map[string]struct {
		kind   string
		record map[string]any
		found  string
	}{
		"in-toto's, clean":                   {predicate.VulnsV02, vulns(now()), "clean"},
		"in-toto's":                          {predicate.VulnsV02, vulns(now(), "CVE-1"), "CVE-1"},
		"SARIF":                              {predicate.SARIF, sarif(now()), "clean"},
		"one that says that it did not look": {predicate.CosignVuln, trivy(now(), map[string]any{"Family": "fedora", "Name": "41"}, goPackages()), ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, true)
			w.options.Unstated = true
			w.bundle(attachedtest.Statement(t, c.kind, c.record, w.image.Digest))
			counts := map[string]int{"used": 1, "found": 1}
			if c.found == "" {
				counts = map[string]int{"incomplete": 1, "none": 1}
			}
			w.expect(w.find(), c.found, counts)
		})
	}
}

func TestAnAttachedReportTellsItsCoverage(t *testing.T) {
	w := newWorld(t, true)
	w.bundle(w.report(time.Hour, "CVE-1"))
	s := w.find().Scan
	if want := (report.Coverage{Distribution: "debian 12", Packages: 1, Uncounted: true}); s.Coverage == nil || *s.Coverage != want || s.Subject != w.image.Digest {
		t.Errorf("coverage %+v of %s", s.Coverage, s.Subject)
	}
}

func TestTheAgeOfTheVulnerabilityDataCounts(t *testing.T) {
	old := map[string]any{"name": "grype", "version": "1", "timestamp": now(), "db": map[string]any{"built": now().Add(-50 * time.Hour)}}
	ahead := map[string]any{"name": "grype", "version": "1", "timestamp": now(), "db": map[string]any{"built": now().Add(time.Hour)}}
	for name, c := range map[string]struct {
		most    time.Duration
		record  map[string]any
		outcome string
	}{
		"any age":         {0, with(grype(now()), "descriptor", old), ""},
		"young enough":    {51 * time.Hour, with(grype(now()), "descriptor", old), ""},
		"too old":         {49 * time.Hour, with(grype(now()), "descriptor", old), "stale"},
		"not told":        {49 * time.Hour, trivy(now(), map[string]any{"Family": "debian", "Name": "12.5"}, osPackages("debian")), "stale"},
		"from the future": {0, with(grype(now()), "descriptor", ahead), "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, true)
			w.options.MaxDatabaseAge = c.most
			w.bundle(attachedtest.Statement(t, predicate.CosignVuln, c.record, w.image.Digest))
			if c.outcome != "" {
				w.expect(w.find(), "", map[string]int{c.outcome: 1, "none": 1})
				return
			}
			s, err := w.finder().Wrap(&next{}).Scan(t.Context(), w.image)
			until := now().Add(24 * time.Hour)
			if c.most != 0 {
				until = now().Add(time.Hour)
			}
			if err != nil || !s.Attached || !s.ValidUntil.Equal(until) {
				t.Errorf("%+v, %v, want it valid until %s", s, err, until)
			}
		})
	}
}

// The documents of an image are kept with its scan.
func TestVEXDocumentsAreBoundedTogether(t *testing.T) {
	w := newWorld(t, true)
	for i := range 3 {
		doc := map[string]any{"@id": i, "x": strings.Repeat("x", 400<<10)}
		w.bundle(attachedtest.Statement(t, "https://openvex.dev/ns", doc, w.image.Digest))
	}
	if found, err := w.finder().Find(t.Context(), w.image); err == nil || !strings.Contains(err.Error(), "together") {
		t.Errorf("found %d documents, %v", len(found.VEX), err)
	}
}

// A registry may list what it likes, and what it lists is logged.
func TestWhatALogRepeatsIsBounded(t *testing.T) {
	w := newWorld(t, true)
	long := strings.Repeat("x", 64<<10)
	w.attach("application/vnd.security.vulnerability.report;"+long, "application/vnd.oci.empty.v1+json", []byte(`{}`))
	w.attach(attachedtest.BundleType, "application/"+long, []byte(`{}`))
	w.bundle(attachedtest.Statement(t, "https://example.com/"+long, map[string]any{}, w.image.Digest))
	statement, err := json.Marshal(map[string]any{"_type": long, "subject": []any{map[string]any{}}, "predicate": map[string]any{}})
	if err != nil {
		t.Fatal(err)
	}
	w.bundle(statement)
	w.expect(w.find(), "", map[string]int{"unsigned": 1, "unsupported": 3, "none": 1})
	for line := range strings.Lines(w.log.String()) {
		if len(line) > 2<<10 {
			t.Errorf("a line of %d bytes: %s...", len(line), line[:200])
		}
	}
}
