package service_test

import (
	"context"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
)

// An artifact is pinned, never scanned, and called by what its author wrote: a rule
// that accepts a chart by its tag is held against that.
func TestAnArtifactIsVouchedForAndNotScanned(t *testing.T) {
	chart := func(_ context.Context, reference string, _ registry.Access) (*registry.Resolved, error) {
		res := &registry.Resolved{Reference: reference, Digest: oldDigest, Artifact: &report.Failure{
			Reason: report.ReasonUnsupported, Message: reference + " cannot be scanned: it is a Helm chart, not a container image",
		}}
		if _, tag, ok := strings.Cut(reference, ":"); ok && !strings.Contains(reference, "@") {
			res.Tag = tag
		}
		return res, nil
	}
	svc := newService(t, registryFunc(chart), scannerFunc(func(_ context.Context, image backend.Image) (*report.Scan, error) {
		t.Errorf("%s was scanned", image.Digest)
		return clean(), nil
	}))
	t.Cleanup(func() { closeService(t, svc) })
	pinTag(t, svc, "r.example/charts/shop:1")
	got := askWith(t, svc, "r.example/charts/shop@"+oldDigest, "r.example/charts/shop:1")
	if got.ImageAndTag != "r.example/charts/shop:1" || got.Status != report.ScanFailed || got.Digest != oldDigest {
		t.Errorf("the report of a chart: %+v", got)
	}
	for _, words := range []string{"it is a Helm chart, not a container image", "lets it in", "scanPolicies.customPolicies", "scanRules.alwaysAccept"} {
		if !strings.Contains(got.Message, words) {
			t.Errorf("it does not say %q: %s", words, got.Message)
		}
	}
}
