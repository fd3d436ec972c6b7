package verdict_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/verdict"
)

// BenchmarkJudge is one answer for an image of 500 findings under 200
// exceptions, one of which applies.
func BenchmarkJudge(b *testing.B) {
	var file strings.Builder
	for i := range 200 {
		fmt.Fprintf(&file, "- {cve: CVE-%d, images: [ghcr.io/acme/], namespaces: [shop], expires: 2027-01-01, reason: r}\n", i+499)
	}
	path := filepath.Join(b.TempDir(), "exceptions.yaml")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	j, err := verdict.New(verdict.Options{Threshold: report.SeverityHigh, ExceptionsFile: path, Now: today})
	if err != nil {
		b.Fatal(err)
	}
	var v []report.Vulnerability
	for i := range 500 {
		f := finding(fmt.Sprintf("GHSA-abcd-%d", i), report.SeverityHigh, "2")
		f.Aliases = []string{fmt.Sprintf("CVE-%d", i)}
		v = append(v, f)
	}
	scan := scanOf(v...)
	b.ReportAllocs()
	for b.Loop() {
		if got := j.Judge(scan, subject()); got.Status != report.Rejected {
			b.Fatal(got.Message)
		}
	}
}
