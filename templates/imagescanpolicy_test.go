package templates_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const fivePlaces = `
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: shop}
spec:
  serviceAccountName: runner
  imagePullSecrets: [{name: b}, {name: a}]
  nodeSelector: {kubernetes.io/arch: arm64}
  initContainers: [{name: init, image: "good:1"}]
  containers: [{name: app, image: "bad:1"}, {name: twin, image: "bad:1"}]
  ephemeralContainers: [{name: debug, image: "slow:1"}]
  volumes: [{name: models, image: {reference: "broken:1"}}, {name: tmp, emptyDir: {}}]
`

func TestEveryPlaceOfAnImageIsJudged(t *testing.T) {
	e := newEngine(t, time.Minute)
	e.provider.reports = map[string]map[string]any{
		"good:1":   {"ImageAndTag": "good:1", "Status": "accepted"},
		"bad:1":    {"ImageAndTag": "bad:1", "Status": "rejected", "Message": "CVE-1 (High) in a 1, fixed in 2"},
		"broken:1": {"ImageAndTag": "broken:1", "Status": "scan_failed", "Message": "no such image"},
	}
	text := readFile(t, "imagescanpolicy/template.yaml")
	e.addTemplate(t, text)
	e.addConstraint(t, "ImageScanPolicy", "scan", `{help: Ask security.}`)

	want := []string{
		"Image 'bad:1' REJECTED. Global default policy - scan result is 'reject': CVE-1 (High) in a 1, fixed in 2. Ask security.",
		"Image 'broken:1' REJECTED. Global default policy - scan failed: no such image. Ask security.",
		"Image 'slow:1' REJECTED. Global default policy - scan report is pending: no report yet, the image is being scanned: try again shortly. Ask security.",
	}
	if diff := cmp.Diff(want, e.review(t, creation(t, fivePlaces))); diff != "" {
		t.Error(diff)
	}
	if e.provider.calls != 1 {
		t.Errorf("%d calls for one Pod", e.provider.calls)
	}
	query := mustQuery(t, e.provider.asked[0])
	if diff := cmp.Diff(map[string][]string{
		"namespace": {"shop"}, "serviceAccount": {"runner"}, "pullSecret": {"b", "a"}, "platform": {"linux/arm64"},
	}, map[string][]string(query)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"bad:1", "broken:1", "good:1", "slow:1"}, e.provider.images()); diff != "" {
		t.Error(diff)
	}
}
