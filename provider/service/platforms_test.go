package service_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
)

// High on amd64 beside Critical on arm64: both reject, and the message is of the
// worse, whichever comes first.
func TestMessageIsOfTheWorstPlatform(t *testing.T) {
	index := registryFunc(func(_ context.Context, ref string, _ registry.Access) (*registry.Resolved, error) {
		res := &registry.Resolved{Digest: "sha256:index"}
		for _, platform := range strings.Split(ref, ",") {
			res.Manifests = append(res.Manifests, registry.Manifest{Digest: "sha256:" + platform, Platform: platform})
		}
		return res, nil
	})
	svc := newService(t, index, scannerFunc(func(_ context.Context, i backend.Image) (*report.Scan, error) {
		found := report.Vulnerability{ID: "CVE-1", Package: "p", Installed: "1", Severity: report.SeverityHigh, Fixed: "2"}
		if i.Platform == "arm64" {
			found.Severity = report.SeverityCritical
		}
		return &report.Scan{Scanner: "test", Vulnerabilities: []report.Vulnerability{found}}, nil
	}))
	defer closeService(t, svc)
	for _, ref := range []string{"amd64,arm64", "arm64,amd64"} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		r := svc.Reports(ctx, []service.Query{{Reference: ref}})[0]
		cancel()
		if r.Status != report.Rejected || !strings.Contains(r.Message, "CVE-1 (Critical)") || !strings.HasSuffix(r.Message, "(platform arm64)") {
			t.Errorf("%s: %s %q", ref, r.Status, r.Message)
		}
		if r.Summary.Total != 1 || r.Summary.Counts.Of(report.SeverityCritical) != 1 || !slices.Equal(r.Summary.Worst[0].Platforms, strings.Split(ref, ",")) {
			t.Errorf("%s: %+v", ref, r.Summary)
		}
	}
}
