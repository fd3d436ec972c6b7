package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/imagegate/imagegate/provider/report"
)

// written is a manifest as its author wrote it.
type written struct {
	body      []byte
	mediaType types.MediaType
}

func (w written) RawManifest() ([]byte, error)        { return w.body, nil }
func (w written) MediaType() (types.MediaType, error) { return w.mediaType, nil }

// child is an entry of an index. The zero value is an honest linux/amd64 image.
type child struct {
	name         string
	platform     string // "none" for none
	osVersion    string
	osFeatures   []string
	mediaType    string
	artifactType string
	zstd         bool
	artifact     bool    // what it points to is none of an image
	index        []child // what it points to is an index
}

// pushChildren pushes an index of what children describe and returns their
// digests by name.
func (r *testRegistry) pushChildren(ref string, children ...child) map[string]string {
	r.t.Helper()
	digests := map[string]string{}
	r.pushInto(ref, digests, children)
	return digests
}

func (r *testRegistry) pushInto(ref string, digests map[string]string, children []child) v1.Descriptor {
	r.t.Helper()
	idx := map[string]any{"schemaVersion": 2, "mediaType": types.OCIImageIndex}
	var list []v1.Descriptor
	for _, c := range children {
		d := r.pushChild(ref, digests, c)
		digests[c.name] = d.Digest.String()
		list = append(list, d)
	}
	idx["manifests"] = list
	body, err := json.Marshal(idx)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := remote.Put(r.ref(ref), written{body, types.OCIImageIndex}, r.writeOptions()...); err != nil {
		r.t.Fatal(err)
	}
	return v1.Descriptor{MediaType: types.OCIImageIndex, Digest: r.hash(body), Size: int64(len(body))}
}

func (r *testRegistry) hash(body []byte) v1.Hash {
	h, _, err := v1.SHA256(bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	return h
}

func (r *testRegistry) pushChild(ref string, digests map[string]string, c child) v1.Descriptor {
	r.t.Helper()
	d := v1.Descriptor{MediaType: types.DockerManifestSchema2}
	if c.index != nil {
		d = r.pushInto(ref, digests, c.index)
	} else {
		img, err := random.Image(64, 1)
		if err != nil {
			r.t.Fatal(err)
		}
		if c.artifact {
			img = mutate.ConfigMediaType(mutate.MediaType(img, types.OCIManifestSchema1), types.OCIEmptyJSON)
			d.MediaType = types.OCIManifestSchema1
		}
		r.pushImage(ref, img)
		if d.Digest, err = img.Digest(); err != nil {
			r.t.Fatal(err)
		}
		d.Size, err = img.Size()
		if err != nil {
			r.t.Fatal(err)
		}
	}
	if c.mediaType != "" {
		d.MediaType = types.MediaType(c.mediaType)
	}
	d.ArtifactType = c.artifactType
	if c.zstd {
		d.Annotations = map[string]string{zstdAnnotation: "true"}
	}
	if c.platform != "none" {
		if c.platform == "" {
			c.platform = "linux/amd64"
		}
		p, err := v1.ParsePlatform(c.platform)
		if err != nil {
			r.t.Fatal(err)
		}
		p.OSVersion, p.OSFeatures = c.osVersion, c.osFeatures
		d.Platform = p
	}
	return d
}

// What a runtime may take out of an index is judged, whichever runtime it is.
func TestAllThatARuntimeMayTakeIsJudged(t *testing.T) {
	const odd = "application/vnd.example.odd+json"
	for name, tc := range map[string]struct {
		children []child
		platform string
		want     []string
	}{
		"artifact type first":        {children: []child{{name: "evil", artifactType: "application/x"}, {name: "clean"}}, want: []string{"evil", "clean"}},
		"artifact type second":       {children: []child{{name: "clean"}, {name: "evil", artifactType: "application/x"}}, want: []string{"clean", "evil"}},
		"bare with artifact type":    {children: []child{{name: "evil", platform: "none", artifactType: "application/x"}, {name: "clean", platform: "linux/arm64"}}, want: []string{"evil", "clean"}},
		"odd media type":             {children: []child{{name: "evil", mediaType: odd}, {name: "clean"}}, want: []string{"evil", "clean"}},
		"bare of odd media type":     {children: []child{{name: "clean"}, {name: "evil", platform: "none", mediaType: odd}}, want: []string{"clean", "evil"}},
		"zstd twin":                  {children: []child{{name: "clean"}, {name: "evil", zstd: true}}, want: []string{"clean", "evil"}},
		"twin in other words":        {children: []child{{name: "clean", platform: "linux/arm64"}, {name: "evil", platform: "linux/arm64/v8"}}, want: []string{"clean", "evil"}},
		"twin with features":         {children: []child{{name: "clean"}, {name: "evil", osFeatures: []string{"x"}}}, want: []string{"clean", "evil"}},
		"windows builds":             {children: []child{{name: "2019", platform: "windows/amd64", osVersion: "10.0.17763.1"}, {name: "2022", platform: "windows/amd64", osVersion: "10.0.20348.1"}}, platform: "windows/amd64", want: []string{"2019", "2022"}},
		"windows builds, one asked":  {children: []child{{name: "2019", platform: "windows/amd64", osVersion: "10.0.17763.1"}, {name: "2022", platform: "windows/amd64", osVersion: "10.0.20348.1"}}, platform: "windows(10.0.20348)/amd64", want: []string{"2019", "2022"}},
		"a lesser platform":          {children: []child{{name: "old", platform: "linux/386"}, {name: "clean"}}, want: []string{"clean"}},
		"a lesser one in an index":   {children: []child{{name: "index", index: []child{{name: "old", platform: "linux/386"}}}, {name: "clean"}}, want: []string{"old", "clean"}},
		"an index of other platform": {children: []child{{name: "index", platform: "linux/s390x", index: []child{{name: "other"}}}, {name: "old", platform: "linux/386"}}, want: []string{"old"}},
		"artifact for others":        {children: []child{{name: "x", platform: "linux/s390x", artifact: true}, {name: "clean"}}, want: []string{"clean"}},
		"the other system alone":     {children: []child{{name: "linux"}, {name: "evil", platform: "windows/amd64"}}, platform: "windows/*", want: []string{"evil"}},
		"the other arch alone":       {children: []child{{name: "clean"}, {name: "evil", platform: "linux/s390x"}}, platform: "*/s390x", want: []string{"evil"}},
		"the system in use alone":    {children: []child{{name: "clean"}, {name: "other", platform: "linux/s390x"}}, platform: "linux/*", want: []string{"clean"}},
		"several":                    {children: []child{{name: "clean"}, {name: "evil", platform: "linux/s390x"}, {name: "other", platform: "linux/riscv64"}}, platform: "linux/amd64,linux/s390x", want: []string{"clean", "evil"}},
		"several, one is there":      {children: []child{{name: "clean"}}, platform: "*/amd64,*/arm64", want: []string{"clean"}},
		"any, or the other system":   {children: []child{{name: "clean"}, {name: "evil", platform: "windows/amd64"}, {name: "other", platform: "linux/s390x"}}, platform: "*/*,windows/*", want: []string{"clean", "evil"}},
		"all but one":                {children: []child{{name: "clean"}, {name: "evil", platform: "windows/amd64"}}, platform: "!linux/*", want: []string{"evil"}},
		"arm of any variant":         {children: []child{{name: "v6", platform: "linux/arm/v6"}, {name: "v7", platform: "linux/arm/v7"}, {name: "other"}}, platform: "linux/arm", want: []string{"v6", "v7"}},
		"arm of one variant":         {children: []child{{name: "v6", platform: "linux/arm/v6"}, {name: "v7", platform: "linux/arm/v7"}}, platform: "linux/arm/v6", want: []string{"v6"}},
		"amd64 of any variant":       {children: []child{{name: "v1"}, {name: "v3", platform: "linux/amd64/v3"}}, want: []string{"v1", "v3"}},
		"half a platform in nested":  {children: []child{{name: "index", platform: "none", index: []child{{name: "evil", platform: "windows/amd64"}, {name: "inner"}}}, {name: "clean"}}, platform: "windows/*", want: []string{"evil"}},
		"attestation":                {children: []child{{name: "x", platform: "unknown/unknown", artifact: true}, {name: "clean"}}, want: []string{"clean"}},
		"artifact behind its image":  {children: []child{{name: "clean"}, {name: "soci", artifact: true, artifactType: "application/vnd.amazon.soci.index.v2+json"}}, want: []string{"clean"}},
	} {
		t.Run(name, func(t *testing.T) {
			reg := newRegistry(t, false)
			digests := reg.pushChildren("app:1", tc.children...)
			r := resolver(t, Options{Insecure: []string{reg.host()}})
			for range 2 { // from the registry, then from memory
				res, err := r.Resolve(t.Context(), reg.host()+"/app:1", tc.platform, Access{})
				if err != nil {
					t.Fatal(err)
				}
				var got, want []string
				for _, m := range res.Manifests {
					got = append(got, m.Digest)
				}
				for _, n := range tc.want {
					want = append(want, digests[n])
				}
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("judged are %v, want %v (%v)", got, want, tc.want)
				}
				reg.breakWith(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
			}
			if got := reg.requests(""); len(got) > 0 {
				t.Errorf("what was remembered is asked again: %v", got)
			}
		})
	}
}

// An index is refused when a runtime may take what cannot be judged.
func TestIndexesThatCannotBeJudged(t *testing.T) {
	var many []child
	for i := range maxChosen + 1 {
		many = append(many, child{name: fmt.Sprint(i)})
	}
	for name, tc := range map[string]struct {
		children []child
		culprit  string
		words    []string
	}{
		"artifact before the image":    {[]child{{name: "x", artifact: true}, {name: "clean"}}, "x", []string{"for linux/amd64", "artifact of type"}},
		"artifact alone":               {[]child{{name: "x", artifact: true, platform: "linux/arm64"}, {name: "clean"}}, "x", []string{"for linux/arm64"}},
		"bare artifact":                {[]child{{name: "clean"}, {name: "x", artifact: true, platform: "none"}}, "x", []string{"no particular platform"}},
		"artifact that is preferred":   {[]child{{name: "clean"}, {name: "x", artifact: true, zstd: true}}, "x", []string{"artifact of type"}},
		"artifact with other features": {[]child{{name: "clean"}, {name: "x", artifact: true, osFeatures: []string{"x"}}}, "x", []string{"artifact of type"}},
		"index in disguise":            {[]child{{name: "x", mediaType: string(types.OCIManifestSchema1), index: []child{{name: "evil"}}}, {name: "clean"}}, "x", []string{"it is an index"}},
		"image in disguise":            {[]child{{name: "x", mediaType: string(types.OCIImageIndex)}, {name: "clean"}}, "x", []string{"it is an image"}},
		"too many equals":              {many, "", []string{"more than 16 of its manifests"}},
	} {
		t.Run(name, func(t *testing.T) {
			reg := newRegistry(t, false)
			digests := reg.pushChildren("app:1", tc.children...)
			r := resolver(t, Options{Insecure: []string{reg.host()}})
			for range 2 {
				_, err := r.Resolve(t.Context(), reg.host()+"/app:1", "", Access{})
				wantFailure(t, err, report.ReasonUnsupported, append(tc.words, digests[tc.culprit], "cannot be scanned")...)
			}
		})
	}
}

func TestInvalidDigestInAnIndex(t *testing.T) {
	reg := newRegistry(t, false)
	clean := reg.push("app:clean")
	body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[
		{"mediaType":%[2]q,"digest":"sha256:EVIL","size":1,"platform":{"os":"linux","architecture":"amd64"}},
		{"mediaType":%[2]q,"digest":%[3]q,"size":1,"platform":{"os":"linux","architecture":"amd64"}}]}`,
		types.OCIImageIndex, types.DockerManifestSchema2, clean)
	reg.breakWith(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", string(types.OCIImageIndex))
		w.Header().Set("Docker-Content-Digest", reg.hash([]byte(body)).String())
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		if req.Method != http.MethodHead {
			_, _ = fmt.Fprint(w, body)
		}
	})
	_, err := resolver(t, Options{Insecure: []string{reg.host()}}).Resolve(t.Context(), reg.host()+"/app:1", "", Access{})
	wantFailure(t, err, report.ReasonUnsupported, "invalid digest", "sha256:EVIL")
}

func TestMissingChildIsNamed(t *testing.T) {
	reg := newRegistry(t, false)
	digests := reg.pushChildren("app:1", child{name: "gone"})
	reg.breakWith(nil)
	inner := reg.Config.Handler
	reg.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.URL.Path, digests["gone"]) {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		inner.ServeHTTP(w, req)
	})
	_, err := resolver(t, Options{Insecure: []string{reg.host()}}).Resolve(t.Context(), reg.host()+"/app:1", "", Access{})
	wantFailure(t, err, report.ReasonNotFound, digests["gone"]+" for linux/amd64", "app:1")
}
