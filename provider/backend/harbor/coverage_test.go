package harbor_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/backendtest"
	"github.com/imagegate/imagegate/provider/backend/harbor"
	"github.com/imagegate/imagegate/provider/report"
)

// recorded is what a real adapter of Trivy answered: see testdata/trivy.
func recorded(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "trivy", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// replay answers as the real adapter did. An empty sbom is none.
func replay(t *testing.T, reportFile, sbomFile string) (*adapter, backend.Image) {
	t.Helper()
	a := newAdapter(t, backendtest.Script{})
	a.meta = map[string]any{}
	if err := json.Unmarshal(recorded(t, "metadata.json"), &a.meta); err != nil {
		t.Fatal(err)
	}
	var about struct {
		Artifact struct{ Digest string }
	}
	b := recorded(t, reportFile)
	if err := json.Unmarshal(b, &about); err != nil {
		t.Fatal(err)
	}
	image := backendtest.Image(0)
	image.Digest = about.Artifact.Digest
	a.override = at("/report", func(w http.ResponseWriter, req *http.Request) {
		accept := req.Header.Get("Accept")
		w.Header().Set("Content-Type", accept)
		if accept == mimeReport {
			_, _ = w.Write(b)
			return
		}
		if sbomFile == "" {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = fmt.Fprint(w, `{"error":{"message":"running trivy: exit status 1"}}`)
			return
		}
		// Not every image has a recording of both.
		s := string(recorded(t, sbomFile))
		var of struct {
			Artifact struct{ Digest string }
		}
		if err := json.Unmarshal([]byte(s), &of); err != nil {
			t.Error(err)
		}
		_, _ = fmt.Fprint(w, strings.ReplaceAll(s, of.Artifact.Digest, image.Digest))
	})
	return a, image
}

// recording is the clock of the machine that made them.
func recording(o *harbor.Options) {
	o.Now = func() time.Time { return time.Date(2026, 11, 26, 0, 46, 0, 0, time.UTC) }
}

func TestARealAdapterSaysWhatItLookedAt(t *testing.T) {
	for name, tc := range map[string]struct {
		report, sbom string
		findings     int
		want         *report.Coverage
	}{
		"findings":                    {"report-findings.json", "sbom-debian.json", 3, nil},
		"clean":                       {"report-clean.json", "sbom-debian.json", 0, &report.Coverage{Distribution: "debian 12.5", Packages: 2}},
		"a distribution it knows not": {"report-unsupported-distribution.json", "sbom-unsupported-distribution.json", 0, &report.Coverage{}},
		"a distribution past its end": {"report-distribution-past-its-end.json", "sbom-debian.json", 0, &report.Coverage{Distribution: "debian 12.5", Packages: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			a, image := replay(t, tc.report, tc.sbom)
			got, err := client(t, a.URL, recording).Scan(t.Context(), image)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Vulnerabilities) != tc.findings || got.Scanner != "Trivy Unknown" || got.Subject != image.Digest {
				t.Errorf("%d findings by %q about %s", len(got.Vulnerabilities), got.Scanner, got.Subject)
			}
			if (got.Coverage == nil) != (tc.want == nil) || got.Coverage != nil && *got.Coverage != *tc.want {
				t.Errorf("coverage is %+v, want %+v", got.Coverage, tc.want)
			}
			asked := 1
			if tc.findings == 0 {
				asked = 2
			}
			if len(a.posted) != asked {
				t.Errorf("the adapter was asked %d times, want %d", len(a.posted), asked)
			}
		})
	}
}

func TestTheListOfPackagesIsAskedForAsHarborDoes(t *testing.T) {
	a, image := replay(t, "report-clean.json", "sbom-debian.json")
	if _, err := client(t, a.URL, recording).Scan(t.Context(), image); err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(a.posted[1]["enabled_capabilities"])
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"parameters":{"sbom_media_types":["application/spdx+json"]},"produces_mime_types":["application/vnd.security.sbom.report+json; version=1.0"],"type":"sbom"}]`
	if string(got) != want {
		t.Errorf("enabled_capabilities is %s, want %s", got, want)
	}
}

func TestWhatSilenceCountsFor(t *testing.T) {
	silent := func(t *testing.T) (*adapter, backend.Image) {
		t.Helper()
		a, image := replay(t, "report-clean.json", "sbom-debian.json")
		a.meta = older()
		return a, image
	}
	broken := func(t *testing.T) (*adapter, backend.Image) {
		t.Helper()
		return replay(t, "report-clean.json", "")
	}
	const nothing = "the scanner reported nothing and does not say what it looked at (scanner.harbor.emptyReport)"
	const vain = "it was asked in vain what it looked at: the scan failed: the scanner answered with status 500: running trivy"
	for name, tc := range map[string]struct {
		adapter func(*testing.T) (*adapter, backend.Image)
		setting harbor.EmptyReport
		fails   string
	}{
		"no list of packages, by default": {silent, "", nothing},
		"no list of packages, reject":     {silent, harbor.Reject, nothing},
		"no list of packages, accept":     {silent, harbor.Accept, ""},
		"one that fails, reject":          {broken, harbor.Reject, vain},
		"one that fails, accept":          {broken, harbor.Accept, vain},
	} {
		t.Run(name, func(t *testing.T) {
			a, image := tc.adapter(t)
			got, err := client(t, a.URL, recording, func(o *harbor.Options) { o.EmptyReport = tc.setting }).Scan(t.Context(), image)
			if tc.fails != "" {
				f := report.FailureOf(err)
				if got != nil || !strings.Contains(f.Message, tc.fails) || f.Message != report.Clean(f.Message, 512) {
					t.Errorf("failure %q, want one with %q", f.Message, tc.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Coverage != nil || got.Believed != "harbor" {
				t.Errorf("coverage %+v, believed: %q", got.Coverage, got.Believed)
			}
		})
	}
	t.Run("an unknown setting", func(t *testing.T) {
		if _, err := harbor.New(harbor.Options{URL: "http://x", EmptyReport: "maybe"}); err == nil || !strings.Contains(err.Error(), `emptyReport: "maybe"`) {
			t.Errorf("error is %v", err)
		}
	})
}

func TestListsOfPackagesThatDoNotCount(t *testing.T) {
	image := backendtest.Image(0)
	const made = `"generated_at":"2026-11-26T11:00:00Z","scanner":{"name":"x"},"artifact":{"digest":"DIGEST"}`
	for name, tc := range map[string]struct{ body, words string }{
		"another image": {`{"generated_at":"2026-11-26T11:00:00Z","scanner":{"name":"x"},"artifact":{"digest":"sha256:other"}}`, "instead of"},
		"no scanner":    {`{"generated_at":"2026-11-26T11:00:00Z","artifact":{"digest":"DIGEST"}}`, "no scanner"},
		"no time":       {`{"scanner":{"name":"x"},"artifact":{"digest":"DIGEST"}}`, "when it was made"},
		"of the future": {`{"generated_at":"2027-11-26T11:00:00Z","scanner":{"name":"x"},"artifact":{"digest":"DIGEST"}}`, "in the future"},
		"not SPDX":      {`{` + made + `,"media_type":"application/vnd.cyclonedx+json","sbom":{"components":[]}}`, "not SPDX"},
		"no document":   {`{` + made + `,"media_type":"application/spdx+json"}`, "not SPDX"},
		"an empty one":  {`{` + made + `,"media_type":"application/spdx+json","sbom":{"spdxVersion":"SPDX-2.3","packages":[]}}`, "describes nothing"},
		"no JSON":       {`<html>`, "not a list of packages"},
		"too large":     {strings.Repeat(" ", 5000), "larger than 4096 bytes"},
		"a forged line": {`{"scanner":{"name":"x"},"generated_at":"2026-11-26T11:00:00Z","artifact":{"digest":"x\nlevel=error"}}`, `about "x\nlevel=error" instead`},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAdapter(t, backendtest.Script{})
			a.override = at("/report", func(w http.ResponseWriter, req *http.Request) {
				w.Header().Set("Content-Type", req.Header.Get("Accept"))
				if req.Header.Get("Accept") == mimeReport {
					_, _ = w.Write(a.body(image.Digest))
					return
				}
				_, _ = fmt.Fprint(w, strings.ReplaceAll(tc.body, "DIGEST", image.Digest))
			})
			scan, err := client(t, a.URL, func(o *harbor.Options) { o.MaxReportBytes = 4096 }).Scan(t.Context(), image)
			f := report.FailureOf(err)
			if scan != nil || !strings.Contains(f.Message, tc.words) || !strings.Contains(f.Message, "asked in vain") || f.Message != report.Clean(f.Message, 512) {
				t.Errorf("failure %q, want one with %q", f.Message, tc.words)
			}
		})
	}
}

// What the bundled worker says of an image of a distribution that its database
// does not have.
func TestTheBundledWorkersCoverageIsRead(t *testing.T) {
	a := newAdapter(t, backendtest.Script{Coverage: &report.Coverage{Distribution: "debian trixie/sid", Packages: 412, Unmatched: 412}})
	a.meta, a.worker = older(), true
	got, err := client(t, a.URL).Scan(t.Context(), backendtest.Image(0))
	if err != nil {
		t.Fatal(err)
	}
	if want := (report.Coverage{Distribution: "debian trixie/sid", Packages: 412, Unmatched: 412}); got.Coverage == nil || *got.Coverage != want {
		t.Errorf("coverage is %+v, want %+v", got.Coverage, want)
	}
}

// The bundled worker gives a scan up that nobody asks for in two minutes.
func TestAPollIntervalThatLooksLikeGivingUpIsRefused(t *testing.T) {
	if _, err := harbor.New(harbor.Options{URL: "http://x", PollInterval: time.Minute}); err == nil || !strings.Contains(err.Error(), "pollInterval: 1m0s is more than 30s") {
		t.Errorf("error is %v", err)
	}
	c, err := harbor.New(harbor.Options{URL: "http://x", PollInterval: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
