package registry

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/imagegate/imagegate/provider/report"
)

func TestResolveTagAndDigest(t *testing.T) {
	reg := newRegistry(t, false)
	digest := reg.push("team/app:1")
	r := resolver(t, Options{Insecure: []string{reg.host()}})
	for _, ref := range []string{"team/app:1", "team/app@" + digest, "team/app:1@" + digest} {
		res, err := r.Resolve(t.Context(), reg.host()+"/"+ref, "", Access{})
		if err != nil {
			t.Fatal(err)
		}
		tag := "1"
		if strings.Contains(ref, "@") {
			tag = ""
		}
		if res.Digest != digest || res.Tag != tag || res.Registry != reg.URL || res.Repository != "team/app" {
			t.Errorf("%s resolved to %+v", ref, res)
		}
		if len(res.Manifests) != 1 || res.Manifests[0].Digest != digest || res.Manifests[0].Platform != "" ||
			res.Manifests[0].MediaType != string(types.DockerManifestSchema2) || res.Manifests[0].Size == 0 {
			t.Errorf("manifests are %+v", res.Manifests)
		}
	}
}

func TestTagIsAskedAgainAfterItsTTL(t *testing.T) {
	reg := newRegistry(t, false)
	first := reg.push("app:1")
	r := resolver(t, Options{Insecure: []string{reg.host()}, TagTTL: 50 * time.Millisecond})
	resolve := func() string {
		res, err := r.Resolve(t.Context(), reg.host()+"/app:1", "", Access{})
		if err != nil {
			t.Fatal(err)
		}
		return res.Digest
	}
	if got := resolve(); got != first {
		t.Fatalf("resolved to %s, want %s", got, first)
	}
	second := reg.push("app:1")
	deadline := time.Now().Add(10 * time.Second)
	for resolve() != second {
		if time.Now().After(deadline) {
			t.Fatal("the moved tag is never seen")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestPlainHTTPOnlyWhenListed(t *testing.T) {
	reg := newRegistry(t, false)
	reg.push("app:1")
	reg.breakWith(nil)
	_, err := resolver(t, Options{}).Resolve(t.Context(), reg.host()+"/app:1", "", Access{})
	wantFailure(t, err, report.ReasonUnavailable, reg.host(), "cannot be reached")
	if got := reg.requests("GET"); len(got) > 0 {
		t.Errorf("the registry was asked over plain HTTP: %v", got)
	}
}

func TestTLS(t *testing.T) {
	reg := newRegistry(t, true)
	digest := reg.push("app:1")
	res, err := resolver(t, Options{Hosts: reg.hosts()}).
		Resolve(t.Context(), reg.host()+"/app:1", "", Access{})
	if err != nil {
		t.Fatal(err)
	}
	if res.Digest != digest || res.Registry != "https://"+reg.host() {
		t.Errorf("resolved to %+v", res)
	}
	_, err = resolver(t, Options{}).Resolve(t.Context(), reg.host()+"/app:1", "", Access{})
	wantFailure(t, err, report.ReasonUnavailable, "cannot be reached; the provider's log says why")
}

func TestPlatforms(t *testing.T) {
	reg := newRegistry(t, false)
	digest, images := reg.pushIndex("app:1", "linux/amd64", "linux/arm64/v8", "linux/arm/v7", "windows/amd64", "unknown/unknown")
	r := resolver(t, Options{Insecure: []string{reg.host()}})
	for _, tc := range []struct {
		platform string
		want     []string
	}{
		{"", []string{"linux/amd64", "linux/arm64/v8"}},
		{"linux/amd64", []string{"linux/amd64"}},
		{"linux/arm64", []string{"linux/arm64/v8"}},
		{"linux/arm64/v8", []string{"linux/arm64/v8"}},
		{"linux/arm", []string{"linux/arm/v7"}},
		{"linux/arm/v8", []string{"linux/arm/v7"}},
	} {
		res, err := r.Resolve(t.Context(), reg.host()+"/app:1", tc.platform, Access{})
		if err != nil {
			t.Errorf("%s: %v", tc.platform, err)
			continue
		}
		if res.Digest != digest || len(res.Manifests) != len(tc.want) {
			t.Errorf("%s: %+v", tc.platform, res)
			continue
		}
		for i, p := range tc.want {
			if res.Manifests[i].Digest != images[p] {
				t.Errorf("%q: manifest %d is %+v, want that of %s", tc.platform, i, res.Manifests[i], p)
			}
		}
	}
	_, err := r.Resolve(t.Context(), reg.host()+"/app:1", "linux/s390x", Access{})
	f := theFailure(t, err, report.ReasonUnsupported, "no image for linux/s390x", "linux/amd64, linux/arm64/v8, linux/arm/v7")
	if strings.Contains(f.Message, "unknown") {
		t.Errorf("message %q offers an attestation", f.Message)
	}
	_, err = r.Resolve(t.Context(), reg.host()+"/app:1", "a/b/c/d/e", Access{})
	wantFailure(t, err, report.ReasonUnsupported, "a/b/c/d/e")
}

// An image without an index is for the platform of its configuration, and who asks for
// another one hears of it; a Pod's key gets what a container runtime would run.
func TestAnImageOfOnePlatformIsNotForAnother(t *testing.T) {
	reg := newRegistry(t, false)
	base, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	for tag, arch := range map[string]string{"app:amd64": "amd64", "app:unsaid": ""} {
		config, err := base.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config.OS, config.Architecture = "linux", arch
		image, err := mutate.ConfigFile(base, config)
		if err != nil {
			t.Fatal(err)
		}
		reg.pushImage(tag, image)
	}
	for _, reads := range []bool{false, true} {
		r := resolver(t, Options{Insecure: []string{reg.host()}, ReadPlatform: reads})
		for _, asked := range []string{"", "linux/amd64", "*/*", "linux/arm64,linux/amd64", "linux/arm64", "windows/*", "linux/arm64"} {
			res, err := r.Resolve(t.Context(), reg.host()+"/app:amd64", asked, Access{})
			if reads && (asked == "linux/arm64" || asked == "windows/*") {
				want := map[string]string{"linux/arm64": "linux/arm64", "windows/*": "any windows platform"}[asked]
				wantFailure(t, err, report.ReasonUnsupported, "it has no image for "+want+", only for linux/amd64")
			} else if err != nil || len(res.Manifests) != 1 {
				t.Errorf("%v %q: %+v, %v", reads, asked, res, err)
			}
		}
		if _, err := r.Resolve(t.Context(), reg.host()+"/app:unsaid", "linux/arm64", Access{}); err != nil {
			t.Error(err)
		}
	}
}

func TestIndexWithoutTheConfiguredPlatforms(t *testing.T) {
	reg := newRegistry(t, false)
	reg.pushIndex("app:s390x", "linux/s390x")
	reg.pushIndex("app:none", "unknown/unknown")
	_, images := reg.pushIndex("app:bare", "linux/amd64", "")
	r := resolver(t, Options{Insecure: []string{reg.host()}})
	_, err := r.Resolve(t.Context(), reg.host()+"/app:s390x", "", Access{})
	wantFailure(t, err, report.ReasonUnsupported, "linux/amd64 or linux/arm64", "only for linux/s390x")
	_, err = r.Resolve(t.Context(), reg.host()+"/app:none", "", Access{})
	wantFailure(t, err, report.ReasonUnsupported, "without any container image")
	res, err := r.Resolve(t.Context(), reg.host()+"/app:bare", "", Access{})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Manifests) != 2 || res.Manifests[1].Digest != images[""] {
		t.Errorf("manifests are %+v, want the one without platform too", res.Manifests)
	}
}

func TestNestedIndexes(t *testing.T) {
	reg := newRegistry(t, false)
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	want, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	idx := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{
		Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}},
	})
	nest := func(idx v1.ImageIndex) v1.ImageIndex {
		return mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: idx})
	}
	reg.writeIndex("app:two", nest(idx))
	reg.writeIndex("app:four", nest(nest(nest(idx))))
	r := resolver(t, Options{Insecure: []string{reg.host()}})
	for range 2 { // from the registry, then from memory
		res, err := r.Resolve(t.Context(), reg.host()+"/app:two", "", Access{})
		if err != nil {
			t.Fatal(err)
		}
		if len(res.Manifests) != 1 || res.Manifests[0].Digest != want.String() {
			t.Errorf("manifests are %+v", res.Manifests)
		}
	}
	_, err = r.Resolve(t.Context(), reg.host()+"/app:four", "", Access{})
	wantFailure(t, err, report.ReasonUnsupported, "nested")
}

func TestEqualResolutionsShareOneFlight(t *testing.T) {
	reg := newRegistry(t, false)
	digest := reg.push("app:1")
	release := make(chan struct{})
	arrived := make(chan struct{}, 100)
	inner := reg.Config.Handler
	reg.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodHead {
			arrived <- struct{}{}
			<-release
		}
		inner.ServeHTTP(w, req)
	})
	reg.breakWith(nil)
	r := resolver(t, Options{Insecure: []string{reg.host()}})

	first, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error, 1)
	go func() {
		_, err := r.Resolve(first, reg.host()+"/app:1", "", Access{})
		gaveUp <- err
	}()
	<-arrived
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			res, err := r.Resolve(t.Context(), reg.host()+"/app:1", "", Access{})
			if err != nil || res.Digest != digest {
				t.Errorf("resolved to %v, %v", res, err)
			}
		})
	}
	cancel()
	wantFailure(t, <-gaveUp, report.ReasonUnavailable, "in time")
	close(release)
	wg.Wait()
	if n := len(reg.requests("HEAD")); n != 1 {
		t.Errorf("the registry was asked %d times, want once", n)
	}
}

func TestTimeoutIsTransient(t *testing.T) {
	reg := newRegistry(t, false)
	reg.push("app:1")
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	reg.breakWith(func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-release:
		case <-req.Context().Done():
		}
	})
	r := resolver(t, Options{Insecure: []string{reg.host()}, Timeout: 50 * time.Millisecond})
	_, err := r.Resolve(t.Context(), reg.host()+"/app:1", "", Access{})
	if f := theFailure(t, err, report.ReasonUnavailable); !f.Transient() {
		t.Error("a timeout is not transient")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for field, o := range map[string]Options{
		"TagTTL":       {TagTTL: -1},
		"platforms":    {Platforms: []string{"a/b/c/d/e"}},
		"Insecure":     {Insecure: []string{"http://a"}},
		"DockerConfig": {DockerConfig: "/does/not/exist"},
		"PullSecrets":  {PullSecrets: PullSecrets{Enabled: true, Kubeconfig: "/does/not/exist"}},
		"Concurrency":  {Concurrency: -1},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error is %v", field, err)
		}
	}
}
