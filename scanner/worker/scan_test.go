package worker_test

import (
	"slices"
	"testing"

	"github.com/imagegate/imagegate/scanner/harbor"
)

func TestVulnerableProgram(t *testing.T) {
	reg := startRegistry(t)
	digest := push(t, reg, "team/app", programImage(t, "vulnerable"))
	w := startWorker(t, nil)

	r := w.report(t, request(reg, "team/app", digest))
	if r.Severity != harbor.SeverityHigh || r.DatabaseKind != "sample" || r.DatabaseBuiltAt.IsZero() || r.Artifact.Digest != digest {
		t.Errorf("report: %+v", r)
	}
	type short struct{ id, alias, pkg, version, fix, severity string }
	var got []short
	for _, v := range r.Vulnerabilities {
		if v.VendorAttributes.Published == nil || v.VendorAttributes.Type != "go-module" || v.VendorAttributes.Path != "/app" {
			t.Errorf("%s: vendor attributes %+v", v.ID, v.VendorAttributes)
		}
		got = append(got, short{v.ID, v.VendorAttributes.Aliases[0], v.Package, v.Version, v.FixVersion, string(v.Severity)})
	}
	want := []short{
		{"GHSA-69ch-w2m2-3vjp", "CVE-2022-32149", "golang.org/x/text", "v0.3.5", "0.3.8", "High"},
		{"GHSA-ppp9-7jff-5vj2", "CVE-2021-38561", "golang.org/x/text", "v0.3.5", "0.3.7", "High"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("findings\n got %v\nwant %v", got, want)
	}
	w.scratchIsEmpty(t)
}
