package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/imagegate/imagegate/e2e/registry"
)

// mounting is the manifest of a Pod that mounts what a registry has.
func mounting(ns, name, image, mounted string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {namespace: %s, name: %s}
spec:
  containers:
  - {name: app, image: %q, volumeMounts: [{name: data, mountPath: /data, readOnly: true}]}
  volumes:
  - {name: data, image: {reference: %q}}
`, ns, name, image, mounted)
}

// withParameters applies the accepted-only Constraint with other parameters, for
// namespaces that choose the policy of that name.
func withParameters(t *testing.T, policy string, parameters map[string]any) {
	t.Helper()
	err := shared.System.ApplyConstraint(t.Context(), "accepted-only", func(c *unstructured.Unstructured) error {
		c.SetName(constraintOf(policy))
		spec := c.Object["spec"].(map[string]any)
		spec["parameters"] = parameters
		spec["match"].(map[string]any)["namespaceSelector"] = map[string]any{"matchLabels": map[string]any{policyLabel: policy}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { deleteWith(t, "imagescanpolicy", constraintOf(policy)) })
}

// TestArtifactsAsImageVolumes: models and charts can be pinned and not be scanned.
// They are denied with a message that says what they are and which rule would let
// them in, and with that rule, as its message spells it, they are in by digest.
func TestArtifactsAsImageVolumes(t *testing.T) {
	chart, err := registry.HelmChart("shop", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	app := sample(t, registry.Fixed)
	vulnerable := push(t, image(t, registry.Vulnerable), "vulnerable")
	repository := slug(t)
	below := shared.Registry.Host() + "/" + repository + "/artifacts/"
	for _, tc := range []struct {
		name     string
		artifact registry.Artifact
		is       string
	}{
		{"chart", chart, "it is a Helm chart, not a container image"},
		{"model", registry.Model([]byte("weights of " + t.Name())), `it is an artifact of type "` + registry.ModelType + `", not a container image`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pushed, err := shared.Registry.PushArtifact(t.Context(), tc.artifact, repository+"/artifacts/"+tc.name, "1.0.0")
			if err != nil {
				t.Fatal(err)
			}
			said := create(t, mounting(namespaceNamed(t, slug(t)+"-default", denyPolicy), "app", app.Ref, pushed.Ref)).denied(t,
				"Image '"+pushed.Ref+"' REJECTED. Global default policy - scan failed: ", tc.is,
				"ImageScanPolicy lets it in by a rule that accepts its prefix", "scanPolicies.customPolicies", "scanRules.alwaysAccept",
				"It is pinned to '"+pushed.Pinned+"'.")
			if strings.Contains(said.output, "Image '"+app.Ref+"'") {
				t.Errorf("the container's image is denied too: %s", said.output)
			}
			custom := func(prefix string) map[string]any {
				return map[string]any{"scanPolicies": map[string]any{"customPolicies": []any{map[string]any{"prefix": prefix, "action": "accept"}}}}
			}
			for policy, parameters := range map[string]map[string]any{
				"custom": custom(below),
				"tag":    custom(pushed.Ref),
				"older":  {"scanRules": map[string]any{"alwaysAccept": []any{below}}},
				"before": {"preScanPolicies": map[string]any{"customPolicies": []any{map[string]any{"prefix": below, "action": "accept"}}}},
			} {
				t.Run(policy, func(t *testing.T) {
					name := slug(t)
					withParameters(t, name, parameters)
					ns := namespaceNamed(t, name, name)
					settle(t, mounting(ns, "app", app.Ref, pushed.Ref)).admitted(t)
					p := getPod(t, ns, "app")
					if got := p.Spec.Volumes[0].Image.Reference; got != pushed.Pinned {
						t.Errorf("the volume is %s, want %s", got, pushed.Pinned)
					}
					if got := p.Annotations["volume.original-image.imagegate.dev/data"]; got != pushed.Ref {
						t.Errorf("its annotation says %q, want %q", got, pushed.Ref)
					}
					// The rule is for artifacts: what else is mounted is judged.
					settle(t, mounting(ns, "vulnerable", app.Ref, vulnerable.Ref)).denied(t,
						append(advisory, "Image '"+vulnerable.Ref+"' REJECTED.", "scan result is 'reject'")...)
					settle(t, mounting(ns, "clean", app.Ref, app.Ref)).admitted(t)
				})
			}
		})
	}
}
