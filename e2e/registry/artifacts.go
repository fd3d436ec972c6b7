package registry

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Artifact is what a registry can hold and no container can run.
type Artifact struct {
	// Type is the manifest's artifactType. Artifacts from before there was one have
	// none and go by the type of their configuration.
	Type                  string
	ConfigType, LayerType string
	Config, Layer         []byte
}

// HelmChart is what `helm push` makes of a chart that has nothing but a name.
func HelmChart(name, version string) (Artifact, error) {
	metadata := fmt.Appendf(nil, "apiVersion: v2\nname: %s\nversion: %s\n", name, version)
	var archive bytes.Buffer
	compressed := gzip.NewWriter(&archive)
	files := tar.NewWriter(compressed)
	if err := files.WriteHeader(&tar.Header{Name: name + "/Chart.yaml", Mode: 0o644, Size: int64(len(metadata)), Typeflag: tar.TypeReg}); err != nil {
		return Artifact{}, fmt.Errorf("pack chart %s: %w", name, err)
	}
	if _, err := files.Write(metadata); err != nil {
		return Artifact{}, fmt.Errorf("pack chart %s: %w", name, err)
	}
	if err := files.Close(); err != nil {
		return Artifact{}, fmt.Errorf("pack chart %s: %w", name, err)
	}
	if err := compressed.Close(); err != nil {
		return Artifact{}, fmt.Errorf("pack chart %s: %w", name, err)
	}
	config, err := json.Marshal(map[string]string{"apiVersion": "v2", "name": name, "version": version})
	if err != nil {
		return Artifact{}, fmt.Errorf("pack chart %s: %w", name, err)
	}
	return Artifact{
		ConfigType: "application/vnd.cncf.helm.config.v1+json", Config: config,
		LayerType: "application/vnd.cncf.helm.chart.content.v1.tar+gzip", Layer: archive.Bytes(),
	}, nil
}

// ModelType is the artifact type of models here.
const ModelType = "application/vnd.imagegate-e2e.model.v1"

// Model is an artifact of a type of its own, with the empty configuration that the
// OCI specification gives those that need none.
func Model(weights []byte) Artifact {
	return Artifact{
		Type: ModelType, ConfigType: "application/vnd.oci.empty.v1+json", Config: []byte("{}"),
		LayerType: "application/octet-stream", Layer: weights,
	}
}

// PushArtifact stores an artifact under repository:tag.
func (r *Registry) PushArtifact(ctx context.Context, a Artifact, repository, tag string) (Pushed, error) {
	manifest := map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIManifestSchema1,
		"config": map[string]any{"mediaType": a.ConfigType, "digest": digestOf(a.Config), "size": len(a.Config)},
		"layers": []any{map[string]any{"mediaType": a.LayerType, "digest": digestOf(a.Layer), "size": len(a.Layer)}},
	}
	if a.Type != "" {
		manifest["artifactType"] = a.Type
	}
	data, err := json.Marshal(manifest)
	if err != nil {
		return Pushed{}, fmt.Errorf("push the artifact %s:%s: %w", repository, tag, err)
	}
	return r.put(ctx, repository, tag, data, a.Config, a.Layer)
}
