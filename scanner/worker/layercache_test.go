package worker_test

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/imagegate/imagegate/scanner/worker"
)

// A new build of the same base fetches its own layers only, and finds what a
// worker without a cache finds.
func TestLayersAreFetchedOnce(t *testing.T) {
	reg := startRegistry(t)
	program := layerOf(t, build(t, "vulnerable"))
	first := push(t, reg, "team/app", image(t, program, layer(t, map[string][]byte{"build": []byte("1")})))
	second := push(t, reg, "team/app", image(t, program, layer(t, map[string][]byte{"build": []byte("2")})))
	cached := startWorker(t, nil)
	plain := startWorker(t, func(c *worker.Config) { c.LayerCacheBytes = 0 })

	cached.report(t, request(reg, "team/app", first))
	pulled := reg.blobs()
	got := cached.report(t, request(reg, "team/app", second))
	if n := reg.blobs() - pulled; n != 2 { // its configuration and its own layer
		t.Errorf("the second build fetched %d blobs, want 2", n)
	}
	want := plain.report(t, request(reg, "team/app", second))
	if len(got.Vulnerabilities) != 2 || !reflect.DeepEqual(got.Vulnerabilities, want.Vulnerabilities) {
		t.Errorf("findings with the cache %+v, without %+v", got.Vulnerabilities, want.Vulnerabilities)
	}
	if n := len(cachedLayers(t, plain)); n != 0 {
		t.Errorf("a worker without a cache keeps %d layers", n)
	}
	cached.scratchIsEmpty(t)

	// Whoever may not read the image gets nothing out of the cache.
	third := push(t, reg, "team/app", image(t, program, layer(t, map[string][]byte{"build": []byte("3")})))
	req := request(reg, "team/app", third)
	req.Registry.Authorization = basic(user, "wrong")
	if e := cached.failed(t, req); e.Code != "unauthorized" {
		t.Errorf("scan with wrong credentials: %+v", e)
	}
}

// A layer of another registry is not used, even of the same digest: only the
// registry that is asked can say who may read it.
func TestLayersOfAnotherRegistryAreFetched(t *testing.T) {
	program := layerOf(t, build(t, "clean"))
	w := startWorker(t, nil)
	for n := range 2 {
		reg := startRegistry(t)
		digest := push(t, reg, "team/app", image(t, program, layer(t, map[string][]byte{"build": {byte(n)}})))
		w.report(t, request(reg, "team/app", digest))
		if got := reg.blobs(); got != 3 {
			t.Errorf("registry %d gave %d blobs, want 3", n, got)
		}
	}
}

// What changed on disk is fetched again.
func TestDamagedLayersAreFetchedAgain(t *testing.T) {
	reg := startRegistry(t)
	program := layerOf(t, build(t, "vulnerable"))
	first := push(t, reg, "team/app", image(t, program))
	second := push(t, reg, "team/app", image(t, program, layer(t, map[string][]byte{"build": []byte("2")})))
	w := startWorker(t, nil)
	w.report(t, request(reg, "team/app", first))
	kept := cachedLayers(t, w)
	if len(kept) != 1 {
		t.Fatalf("the cache holds %v", kept)
	}
	f, err := os.OpenFile(kept[0], os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 4096), 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	pulled := reg.blobs()
	if r := w.report(t, request(reg, "team/app", second)); len(r.Vulnerabilities) != 2 {
		t.Errorf("findings: %+v", r.Vulnerabilities)
	}
	if n := reg.blobs() - pulled; n != 3 {
		t.Errorf("fetched %d blobs, want 3", n)
	}
}

func cachedLayers(t *testing.T, w *testWorker) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(w.cache, "layers", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}
