package verdict

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

const digest = "sha256:2222222222222222222222222222222222222222222222222222222222222222"

// FuzzExceptions checks what no exceptions file may do, however it is written.
func FuzzExceptions(f *testing.F) {
	f.Add("- {cve: CVE-1, images: [nginx], expires: 2026-12-01, reason: r}")
	f.Add("- {cve: CVE-1, images: ['*', ghcr.io/a/], namespaces: [x], packages: [p], expires: 2026-12-01T00:00:00Z, reason: r}")
	f.Add("- &a {cve: CVE-1, images: [nginx:1@" + digest + "], expires: 2026-12-01, reason: \"\\u202e\"}\n- *a")
	f.Add("[]")
	f.Add("")
	f.Fuzz(func(t *testing.T, file string) {
		x, err := parseExceptions([]byte(file))
		if err != nil {
			return
		}
		at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		v := report.Vulnerability{ID: "CVE-1", Package: "p", Severity: report.SeverityCritical}
		for _, e := range x.all {
			switch {
			case e.cve == "" || e.reason == "" || len(e.images) == 0 || e.expires.IsZero():
				t.Errorf("an incomplete exception: %+v", e)
			case len(e.by) > 512 || strings.ContainsAny(e.by, "\n\x00"):
				t.Errorf("unfit for a message: %q", e.by)
			}
			for _, p := range e.images {
				// Spelled out, a pattern is itself again.
				again, err := parsePattern(p.String())
				if err != nil || again != p {
					t.Errorf("%q is read as %+v, %v; want %+v", p, again, err, p)
				}
			}
		}
		after := at.AddDate(10000, 0, 0)
		i := imageOf(Subject{Reference: "nginx", Digest: digest})
		if by := x.suppression(i, &v, true, after); by != "" {
			t.Errorf("still in force after ten thousand years: %s", by)
		}
		if by := x.suppression(i, &report.Vulnerability{}, true, at); by != "" {
			t.Errorf("a finding without identifier is suppressed: %s", by)
		}
	})
}

// FuzzImages checks that a pattern without a final slash matches images of the
// same last name only, and that nothing climbs out of a folder.
func FuzzImages(f *testing.F) {
	f.Add("nginx", "nginx-evil")
	f.Add("ghcr.io/a/", "ghcr.io/a/../b")
	f.Add("localhost:5000/a", "localhost:5000/a:b@"+digest)
	f.Add("nginx:1", "nginx:5000/evil")
	f.Add("docker.io/nginx", "library/nginx")
	last := func(s string) string {
		s, _, _ = strings.Cut(s, "@")
		s, _, _ = strings.Cut(path.Base(s), ":")
		return s
	}
	f.Fuzz(func(t *testing.T, s, reference string) {
		p, err := parsePattern(s)
		if err != nil || p.any || !p.matches(imageOf(Subject{Reference: reference, Digest: digest})) {
			return
		}
		if !strings.HasSuffix(s, "/") && last(s) != last(reference) {
			t.Errorf("%q matches %q", s, reference)
		}
		if strings.Contains(reference, "/../") || strings.Contains(reference, "//") {
			t.Errorf("%q matches the path %q", s, reference)
		}
	})
}

// FuzzVEX checks that documents are read or refused, and that nothing they say
// without the image's digest sets a finding aside.
func FuzzVEX(f *testing.F) {
	samples, err := filepath.Glob("testdata/*.json")
	if err != nil || len(samples) == 0 {
		f.Fatalf("no samples: %v", err)
	}
	for _, s := range samples {
		b, err := os.ReadFile(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b), "pkg:golang/golang.org/x/text@v0.3.5", "golang.org/x/text", "v0.3.5")
	}
	f.Add("{}", "pkg:", "", "")
	f.Fuzz(func(t *testing.T, document, purl, pkg, installed string) {
		now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		x, err := parseVEX([]string{"a.json"}, [][]byte{[]byte(document)}, now)
		if err != nil {
			return
		}
		i := imageOf(Subject{Reference: "ghcr.io/acme/web", Digest: digest, Manifest: digest})
		for _, s := range x.all {
			for _, n := range append(s.names, "", "CVE-2021-38561") {
				v := report.Vulnerability{ID: n, PURL: purl, Package: pkg, Installed: installed}
				by := suppression([]*statements{x}, i, &v)
				if by == "" {
					continue
				}
				if n == "" || len(by) > 512 {
					t.Errorf("%q is suppressed: %q", n, by)
				}
			}
			s.about(imageOf(Subject{Reference: "ghcr.io/acme/web"}), &report.Vulnerability{ID: "CVE-1"})
		}
		for _, s := range x.all {
			// No digest of another image makes a statement certain.
			other := imageOf(Subject{Reference: "ghcr.io/acme/web", Digest: "sha256:" + strings.Repeat("5", 64)})
			if !strings.Contains(document, "5555") && s.about(other, &report.Vulnerability{PURL: purl, Package: pkg, Installed: installed}) == yes {
				t.Errorf("%+v is about another image", s)
			}
		}
	})
}
