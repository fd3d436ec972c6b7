package service_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
)

// Statements may be attached to the index: the scanner is told of it, and where
// the name counts, a scan made without that index is none of the image in it.
func TestAScannerIsToldTheIndexOfAManifest(t *testing.T) {
	byDigest := registryFunc(func(_ context.Context, ref string, _ registry.Access) (*registry.Resolved, error) {
		return &registry.Resolved{Digest: "sha256:" + ref, Repository: "app", Manifests: []registry.Manifest{{Digest: "sha256:child"}}}, nil
	})
	var mu sync.Mutex
	var told []string
	svc := newService(t, byDigest, sharing{func(_ context.Context, i backend.Image) (*report.Scan, error) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, i.Digest+" of "+i.Index)
		return clean(), nil
	}, backend.ByName})
	defer closeService(t, svc)
	for _, ref := range []string{"child", "index", "other", "index", "child"} {
		if r := ask(t, svc, ref, time.Minute); r.Status != report.Accepted {
			t.Fatalf("%s: %+v", ref, r)
		}
	}
	want := []string{"sha256:child of ", "sha256:child of sha256:index", "sha256:child of sha256:other"}
	if !slices.Equal(told, want) {
		t.Errorf("scanned %q, want %q", told, want)
	}
}
