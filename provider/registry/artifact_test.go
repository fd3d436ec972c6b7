package registry

import (
	"context"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/imagegate/imagegate/provider/report"
)

// unscannable is why a resolved reference cannot be scanned: an error, or what is
// said of an artifact.
func unscannable(res *Resolved, err error) error {
	if err == nil && res.Artifact != nil {
		return res.Artifact
	}
	return err
}

// An artifact can be pinned, as often as it is asked for, and never scanned.
func TestAnArtifactHasADigestAndNoScan(t *testing.T) {
	reg := newRegistry(t, false)
	for config, words := range map[string]string{
		"application/vnd.cncf.helm.config.v1+json": "cannot be scanned: it is a Helm chart, not a container image",
		"application/vnd.oci.empty.v1+json":        "cannot be scanned: it is an artifact of type",
	} {
		chart := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.MediaType(config))
		digest := reg.pushImage("chart:1", chart)
		r := resolver(t, Options{Insecure: []string{reg.host()}})
		for _, image := range []string{reg.host() + "/chart:1", reg.host() + "/chart@" + digest} {
			for range 2 { // from the registry, then from memory
				for _, resolve := range []func(context.Context, string, string, Access) (*Resolved, error){r.Resolve, r.ResolveNow} {
					res, err := resolve(t.Context(), image, "", Access{})
					if err != nil || res.Digest != digest || len(res.Manifests) > 0 || res.Artifact == nil {
						t.Fatalf("%s is pinned to %+v, %v", image, res, err)
					}
					wantFailure(t, res.Artifact, report.ReasonUnsupported, image, words)
				}
			}
		}
	}
}

// What an index offers to a platform must be an image: no runtime takes another.
func TestAnIndexOfAnArtifactIsNotPinned(t *testing.T) {
	reg := newRegistry(t, false)
	chart := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), "application/vnd.cncf.helm.config.v1+json")
	reg.writeIndex("app:1", mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: chart}))
	r := resolver(t, Options{Insecure: []string{reg.host()}})
	for range 2 {
		_, err := r.ResolveNow(t.Context(), reg.host()+"/app:1", "", Access{})
		wantFailure(t, err, report.ReasonUnsupported, "Helm chart")
	}
}
