package attached_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/backend/attached/attachedtest"
	"github.com/imagegate/imagegate/provider/backend/attached/predicate"
)

// withIndex puts the world's image into an index beside one of another platform
// and returns the index' descriptor and the digest of the image's configuration.
func (w *world) withIndex() (index v1.Descriptor, config string) {
	w.t.Helper()
	image, err := remote.Image(w.repo.Digest(w.image.Digest))
	if err != nil {
		w.t.Fatal(err)
	}
	other, err := random.Image(64, 1)
	if err != nil {
		w.t.Fatal(err)
	}
	both := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
		mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}},
		mutate.IndexAddendum{Add: other, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}})
	digest, err := both.Digest()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := remote.WriteIndex(w.repo.Digest(digest.String()), both); err != nil {
		w.t.Fatal(err)
	}
	d, err := remote.Get(w.repo.Digest(digest.String()))
	if err != nil {
		w.t.Fatal(err)
	}
	name, err := image.ConfigName()
	if err != nil {
		w.t.Fatal(err)
	}
	w.image.Index, w.image.Platform = digest.String(), "linux/arm64"
	return d.Descriptor, name.String()
}

func (w *world) bundleOn(subject v1.Descriptor, statement []byte) {
	w.t.Helper()
	w.attachTo(subject, attachedtest.BundleType, attachedtest.BundleType, w.signer.SignedBundle(w.t, statement))
}

// about is a record about the image in a platform and with the digests of its
// manifest and configuration, as far as they are given.
func about(record map[string]any, platform, manifest, config string) map[string]any {
	os, arch, _ := strings.Cut(platform, "/")
	result := record["scanner"].(map[string]any)["result"].(map[string]any)
	result["source"] = map[string]any{"type": "image", "target": map[string]any{
		"manifestDigest": manifest, "imageID": config, "os": os, "architecture": arch,
	}}
	return record
}

func openVEX(id string) map[string]any {
	return map[string]any{"@context": "https://openvex.dev/ns/v0.2.0", "@id": id, "statements": []any{}}
}

func TestVEXDocumentsOfTheIndexCountForItsImages(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		index, _ := w.withIndex()
		w.bundleOn(index, attachedtest.Statement(t, "https://openvex.dev/ns", openVEX("of the index"), w.image.Index))
		w.bundleOn(index, attachedtest.Statement(t, "https://openvex.dev/ns", openVEX("of another"), w.pushImage().Digest.String()))
		w.bundle(attachedtest.Statement(t, "https://openvex.dev/ns", openVEX("of the image"), w.image.Digest))
		docs, err := w.finder().VEX(t.Context(), w.image)
		if err != nil || len(docs) != 2 {
			t.Fatalf("%d documents, %v, want 2\n%s", len(docs), err, w.log)
		}
		// The image by itself has no index.
		w.image.Index, w.options.Registerer = "", nil
		if docs, err := w.finder().VEX(t.Context(), w.image); err != nil || len(docs) != 1 {
			t.Errorf("of the image alone: %d documents, %v", len(docs), err)
		}
	})
}

func TestVEXDocumentsUnderTheIndexsCosignTag(t *testing.T) {
	w := newWorld(t, true)
	w.withIndex()
	img := artifact(t, string(types.OCIConfigJSON), attachedtest.EnvelopeType,
		w.signer.SignedEnvelope(t, attachedtest.Statement(t, "https://openvex.dev/ns", openVEX("1"), w.image.Index)))
	if err := remote.Write(w.repo.Tag(strings.Replace(w.image.Index, ":", "-", 1)+".att"), img); err != nil {
		t.Fatal(err)
	}
	if docs, err := w.finder().VEX(t.Context(), w.image); err != nil || len(docs) != 1 {
		t.Errorf("%d documents, %v\n%s", len(docs), err, w.log)
	}
}

// cosign's --recursive attaches the one document to the index and to each image.
func TestTheSameVEXDocumentTwiceIsOne(t *testing.T) {
	w := newWorld(t, true)
	index, _ := w.withIndex()
	w.bundleOn(index, attachedtest.Statement(t, "https://openvex.dev/ns", openVEX("1"), w.image.Index))
	w.bundle(attachedtest.Statement(t, "https://openvex.dev/ns", openVEX("1"), w.image.Digest))
	if docs, err := w.finder().VEX(t.Context(), w.image); err != nil || len(docs) != 1 {
		t.Errorf("%d documents, %v", len(docs), err)
	}
}

func TestCycloneDXAnalysesOfTheIndexAreAboutTheIndex(t *testing.T) {
	w := newWorld(t, true)
	index, _ := w.withIndex()
	w.bundleOn(index, attachedtest.Statement(t, "https://cyclonedx.org/bom", map[string]any{
		"bomFormat": "CycloneDX", "metadata": map[string]any{"timestamp": now()},
		"vulnerabilities": []any{map[string]any{
			"id": "CVE-1", "analysis": map[string]any{"state": "not_affected"}, "affects": []any{map[string]any{"ref": "pkg:npm/a@1"}},
		}},
	}, w.image.Index))
	docs, err := w.finder().VEX(t.Context(), w.image)
	if err != nil || len(docs) != 1 || !strings.Contains(string(docs[0].Raw), strings.TrimPrefix(w.image.Index, "sha256:")) {
		t.Errorf("%+v, %v", docs, err)
	}
}

// A report about an index is one about the manifest that it says it looked at.
func TestAReportAboutTheIndex(t *testing.T) {
	for name, c := range map[string]struct {
		record func(w *world, config string) map[string]any
		found  string
		counts map[string]int
	}{
		"does not say of which": {
			func(*world, string) map[string]any { return grype(now(), "CVE-1") },
			"", map[string]int{"other_manifest": 1, "none": 1},
		},
		"of the platform alone": {
			func(*world, string) map[string]any { return about(grype(now(), "CVE-1"), "linux/arm64", "", "") },
			"", map[string]int{"other_manifest": 1, "none": 1},
		},
		"of this manifest": {
			func(w *world, _ string) map[string]any {
				return about(grype(now(), "CVE-1"), "linux/arm64", w.image.Digest, "")
			},
			"CVE-1", map[string]int{"used": 1, "found": 1},
		},
		"of this manifest, by its configuration": {
			func(_ *world, config string) map[string]any { return about(grype(now(), "CVE-1"), "", "", config) },
			"CVE-1", map[string]int{"used": 1, "found": 1},
		},
		"of another manifest": {
			func(w *world, _ string) map[string]any {
				return about(grype(now()), "", w.pushImage().Digest.String(), "")
			},
			"", map[string]int{"other_manifest": 1, "none": 1},
		},
		"of another configuration": {
			func(w *world, _ string) map[string]any { return about(grype(now()), "linux/arm64", "", w.image.Digest) },
			"", map[string]int{"other_manifest": 1, "none": 1},
		},
		"of another platform": {
			func(w *world, _ string) map[string]any { return about(grype(now()), "linux/amd64", w.image.Digest, "") },
			"", map[string]int{"other_manifest": 1, "none": 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, true)
			index, config := w.withIndex()
			w.bundleOn(index, attachedtest.Statement(t, predicate.CosignVuln, c.record(w, config), w.image.Index))
			w.expect(w.find(), c.found, c.counts)
		})
	}
}

// cosign's --recursive signs the report of one platform for the others too.
func TestAReportOfAnotherPlatformIsNotThatOfTheImage(t *testing.T) {
	for platform, found := range map[string]string{"linux/amd64": "", "linux/arm64": "clean", "windows/arm64": ""} {
		w := newWorld(t, true)
		w.withIndex()
		w.bundle(attachedtest.Statement(t, predicate.CosignVuln, about(grype(now()), platform, "", ""), w.image.Digest))
		counts := map[string]int{"other_manifest": 1, "none": 1}
		if found != "" {
			counts = map[string]int{"used": 1, "found": 1}
		}
		w.expect(w.find(), found, counts)
	}
}

func TestAnUnreadableManifestFailsTheLookUp(t *testing.T) {
	w := newWorld(t, true)
	index, config := w.withIndex()
	w.bundle(w.report(time.Hour, "CVE-old"))
	w.bundleOn(index, attachedtest.Statement(t, predicate.CosignVuln, about(grype(now(), "CVE-new"), "", "", config), w.image.Index))
	w.handler = http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.URL.Path, "/manifests/"+w.image.Digest) {
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.proxy(rw, req)
	})
	if found, err := w.finder().Find(t.Context(), w.image); err == nil {
		t.Errorf("found %+v", found.Scan)
	}
}

func TestTheLimitIsForImageAndIndexTogether(t *testing.T) {
	w := newWorld(t, true)
	index, _ := w.withIndex()
	w.options.MaxReferrers = 1
	w.bundle(w.report(time.Hour, "CVE-1"))
	w.bundleOn(index, attachedtest.Statement(t, "https://openvex.dev/ns", openVEX("1"), w.image.Index))
	if _, err := w.finder().Find(t.Context(), w.image); err == nil || !strings.Contains(err.Error(), "2 attachments or more") {
		t.Errorf("error %v", err)
	}
	w.options.MaxReferrers, w.options.Registerer = 2, prometheus.NewRegistry()
	if found := w.find(); found.Scan == nil || len(found.VEX) != 1 {
		t.Errorf("within the limit: %+v", found)
	}
}
