package view_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
	"github.com/imagegate/imagegate/provider/verdict"
	"github.com/imagegate/imagegate/provider/view"
)

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func now() time.Time { return time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC) }

func newJudge(t *testing.T, o verdict.Options) *verdict.Judge {
	t.Helper()
	o.Now = now
	if o.Threshold == 0 {
		o.Threshold = report.SeverityHigh
	}
	j, err := verdict.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func ptr[T any](v T) *T { return &v }

// findings are three that are told apart, worst first.
func findings() []report.Vulnerability {
	return []report.Vulnerability{
		{
			ID: "CVE-2026-1", Aliases: []string{"GHSA-aaaa-bbbb-cccc"}, Package: "openssl", Installed: "3.0.1", Fixed: "3.0.2", Severity: report.SeverityHigh,
			KnownExploited: &report.KnownExploited{Added: "2026-05-01", Ransomware: true}, EPSS: &report.EPSS{Probability: 0.25, Percentile: 0.975},
			Risk: ptr(88.5), FixAvailable: now().AddDate(0, -1, 0), Links: []string{"javascript:alert(1)", "https://example.com/CVE-2026-1"},
		},
		{ID: "CVE-2026-2", Package: "zlib", Installed: "1.2", Severity: report.SeverityMedium},
		{ID: "CVE-2026-3", Package: "bash", Installed: "5.1", Fixed: "5.2", Severity: report.SeverityLow, Suppressed: "exception until 2026-12-01: not reachable"},
	}
}

func keptOf(t *testing.T, status report.Status, message string, scan *report.Scan) service.Kept {
	t.Helper()
	r, err := report.Render(report.ScanReport{ImageAndTag: "ghcr.io/acme/web:1.2", Status: status, Digest: digest, Message: message}, scan, report.ViewFindings, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return service.Kept{Report: r, Platforms: []string{"linux/amd64", "linux/arm64"}}
}

func newScan(v []report.Vulnerability) *report.Scan {
	return &report.Scan{
		Scanner: "Grype 0.120", Subject: digest, ScannedAt: now().Add(-3 * time.Hour), ReceivedAt: now().Add(-3 * time.Hour), DatabaseBuiltAt: now().AddDate(0, 0, -2),
		Vulnerabilities: v, Coverage: &report.Coverage{Distribution: "debian 12.5", Packages: 87},
		RiskData: &report.RiskData{KnownExploited: report.RiskSource{AsOf: now().AddDate(0, 0, -2)}, EPSS: report.RiskSource{AsOf: now().AddDate(0, 0, -2)}},
	}
}

func file(t *testing.T, k service.Kept, j view.Judge) *document {
	t.Helper()
	var b bytes.Buffer
	if err := view.WriteFile(&b, k, j, now()); err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv("VIEW_PAGES"); dir != "" { // to be looked at
		if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "_")+".html"), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return parse(t, b.String())
}

func TestAFileHasAllOfTheReport(t *testing.T) {
	d := file(t, keptOf(t, report.Rejected, "CVE-2026-1 is in it", newScan(findings())), newJudge(t, verdict.Options{OnlyFixed: true, KEV: verdict.KEVDeny}))
	if got := d.text("h1"); got != "Image ghcr.io/acme/web:1.2" {
		t.Errorf("heading %q", got)
	}
	for _, want := range []string{
		"rejected", "CVE-2026-1 is in it", digest, "Grype 0.120", "2026-11-27 09:00 UTC (3 hours ago)", "2026-11-25 12:00 UTC (2 days ago)",
		"87 packages of debian 12.5", "linux/amd64, linux/arm64: the worst of them counts", "known exploited vulnerabilities of 2026-11-25; EPSS of 2026-11-25",
		"1 known to be exploited", "verdict.onlyFixed", "verdict.kev",
	} {
		if !strings.Contains(d.text("main"), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	rows := d.table("findings")
	want := [][]string{
		{"High", "CVE-2026-1 also GHSA-aaaa-bbbb-cccc", "openssl", "3.0.1", "3.0.2 since 2026-10-27", "2026-05-01 ransomware", "25.00% (percentile 98)", "88.5", "rejects", ""},
		{"Medium", "CVE-2026-2", "zlib", "1.2", "no fix yet", "-", "?", "?", "below the threshold", ""},
	}
	if !equal(rows, want) {
		t.Errorf("findings %q\nwant %q", rows, want)
	}
	if rows := d.table("suppressed"); !equal(rows, [][]string{{"Low", "CVE-2026-3", "bash", "5.1", "5.2", "exception until 2026-12-01: not reachable"}}) {
		t.Errorf("suppressed %q", rows)
	}
	if rows := d.table("do"); !equal(rows, [][]string{{"openssl", "3.0.1", "3.0.2 or later", "High known to be exploited", "1"}}) {
		t.Errorf("what to do %q", rows)
	}
	if got := d.attributes("a", "href"); !slices.Contains(got, "https://example.com/CVE-2026-1") || slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "javascript") }) {
		t.Errorf("links %q", got)
	}
}

// A file asks for nothing, and its policy lets it use its own style.
func TestAFileLoadsNothing(t *testing.T) {
	d := file(t, keptOf(t, report.Rejected, "", newScan(findings())), newJudge(t, verdict.Options{}))
	for _, tag := range []string{"script", "link", "img", "iframe", "object", "form", "base"} {
		if n := len(d.all(tag)); n > 0 {
			t.Errorf("%d <%s>", n, tag)
		}
	}
	sum := sha256.Sum256([]byte(d.all("style")[0].FirstChild.Data))
	policy := d.attributes("meta", "content")
	if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !slices.ContainsFunc(policy, func(s string) bool { return strings.HasPrefix(s, "default-src 'none'; style-src "+want) }) {
		t.Errorf("no policy for the style %s: %q", want, policy)
	}
	for n := range d.nodes() {
		for _, a := range n.Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") || a.Key == "src" {
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
		}
	}
}

// What is not known is not shown as nothing.
func TestAFileSaysWhatIsNotKnown(t *testing.T) {
	j := newJudge(t, verdict.Options{})
	unlisted := newScan(nil)
	unlisted.Unlisted, unlisted.RiskData, unlisted.DatabaseBuiltAt = true, nil, time.Time{}
	silent := newScan(findings()[1:2])
	silent.Coverage, silent.RiskData = nil, nil
	for name, tc := range map[string]struct {
		kept service.Kept
		want []string
		not  []string
	}{
		"no scan":  {service.Kept{Report: report.ScanReport{ImageAndTag: "a", Status: report.NotAvailable, Message: "it is scanned"}}, []string{"Digest not known", "Scanned not known", "there is no report that counts", "age not known", "none yet"}, []string{"0 findings"}},
		"unlisted": {keptOf(t, report.Rejected, "", unlisted), []string{"the scanner did not list them", "Vulnerability data of not known", "Looked at not known"}, []string{"0 findings"}},
		"silent":   {keptOf(t, report.Accepted, "", silent), []string{"Looked at not known", "which findings are exploited is not known", "which are known to be exploited is not known"}, []string{"0 known"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := file(t, tc.kept, j).text("body")
			for _, want := range tc.want {
				if !strings.Contains(text, want) {
					t.Errorf("it does not say %q: %s", want, text)
				}
			}
			for _, not := range tc.not {
				if strings.Contains(text, not) {
					t.Errorf("it says %q: %s", not, text)
				}
			}
		})
	}
}

// hostile are texts as an attacker writes them.
func hostile() []string {
	return []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `</style><script>alert(1)</script>`,
		`</title><svg onload=alert(1)>`, "a\u202egpj.exe", `{{.Report}}`, `javascript:alert(1)`, `--><script>`, "\x00<b>", `]]><script>`,
	}
}

func TestHostileTextStaysText(t *testing.T) {
	j := newJudge(t, verdict.Options{})
	for _, h := range hostile() {
		scan := newScan([]report.Vulnerability{{
			ID: h, Aliases: []string{h}, Package: h, Installed: h, Fixed: h, Severity: report.SeverityCritical, Links: []string{h, "https://" + h}, Platforms: []string{h},
		}, {ID: h, Package: h, Suppressed: h}})
		scan.Scanner, scan.Coverage = h, &report.Coverage{Distribution: h, Gap: h, Packages: 1}
		k := keptOf(t, report.Rejected, h, scan)
		k.Report.ImageAndTag, k.Report.Image, k.Report.Digest, k.Platforms = h, h, h, []string{h, h}
		d := file(t, k, j)
		checkTame(t, d, h)
		if seen := strings.TrimSpace(report.Clean(h, 1024)); !strings.Contains(d.text("main"), strings.Join(strings.Fields(seen), " ")) {
			t.Errorf("%q is not to be read", h)
		}
	}
}

// checkTame says what a page has that only an attacker can have put there.
func checkTame(t *testing.T, d *document, h string) {
	t.Helper()
	for n := range d.nodes() {
		switch n.Data {
		case "img", "svg", "b", "iframe":
			t.Errorf("%q becomes <%s>", h, n.Data)
		case "script":
			if len(n.Attr) != 2 || n.FirstChild != nil {
				t.Errorf("%q becomes a script", h)
			}
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key != "value" && strings.HasPrefix(strings.ToLower(strings.TrimSpace(a.Val)), "javascript:") {
				t.Errorf("%q becomes %s=%q", h, a.Key, a.Val)
			}
		}
		if n.Type == html.TextNode && strings.ContainsAny(n.Data, "\u202e\x00") {
			t.Errorf("%q is shown as it is: %q", h, n.Data)
		}
	}
}

// The exception that a page proposes is one that the verdict takes, whatever the
// names in it are, and lets the image in.
func TestTheProposedExceptionIsOne(t *testing.T) {
	scan := newScan(append(findings()[:1], report.Vulnerability{ID: "CVE-2026-9", Package: "@scope/a: [b]", Installed: "1", Severity: report.SeverityCritical}))
	report.Arrange(scan.Vulnerabilities)
	d := file(t, keptOf(t, report.Rejected, "", scan), newJudge(t, verdict.Options{}))
	text := d.all("pre")[0].FirstChild.Data
	path := filepath.Join(t.TempDir(), "exceptions.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	j := newJudge(t, verdict.Options{ExceptionsFile: path})
	s := verdict.Subject{Reference: "ghcr.io/acme/web@" + digest, Digest: digest, Manifest: digest}
	if o := j.Judge(scan, s); o.Status != report.Accepted {
		t.Errorf("%s: %s\n%s", o.Status, o.Message, text)
	}
	s.Digest, s.Manifest = "sha256:"+strings.Repeat("1", 64), "sha256:"+strings.Repeat("1", 64)
	if o := j.Judge(scan, s); o.Status != report.Rejected {
		t.Errorf("another image: %s", o.Status)
	}
}
