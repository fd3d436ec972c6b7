package replicas_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/imagegate/imagegate/e2e/build"
	"github.com/imagegate/imagegate/e2e/registry"
	"github.com/imagegate/imagegate/e2e/replicas"
)

// TestBundledWorker has no scanner but the one that comes with the worker process.
func TestBundledWorker(t *testing.T) {
	own, err := build.Imagegate(t.Context(), programs.root, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	f := fleet(t, replicas.Options{Change: func(_ *replicas.Node, c replicas.Config) {
		c["scanner"] = replicas.Config{"bundled": replicas.Config{"path": own.Scanner, "database": "sample"}}
	}})
	server, err := f.StartNATS(t.Context(), programs.nats)
	if err != nil {
		t.Fatal(err)
	}
	place := replicas.Config{"url": "nats://" + server.Addr}
	api, err := f.Add("api", replicas.API, place)
	if err != nil {
		t.Fatal(err)
	}
	worker, err := f.Add("worker", replicas.Worker, place)
	if err != nil {
		t.Fatal(err)
	}
	start(t, f, api, worker)
	images := registry.NewBuilder(programs.root, filepath.Join(programs.dir, "samples"))
	for program, want := range map[string]string{registry.Fixed: replicas.Accepted, registry.Vulnerable: replicas.Rejected} {
		img, err := images.Image(t.Context(), program, "amd64", "")
		if err != nil {
			t.Fatal(err)
		}
		pushed, err := f.Registry.Push(t.Context(), img, "team/"+program, "v1")
		if err != nil {
			t.Fatal(err)
		}
		if a := f.Client.Mutator(t.Context(), api.URL, "team", pushed.Pinned, 25*time.Second); a.Status != want {
			t.Errorf("%s: %s (%s), want %s", program, a.Status, a.Message, want)
		}
	}
	// What was scanned once is answered without the worker.
	worker.Kill()
	if got := f.Client.Gatekeeper(t.Context(), api.URL, "other", f.Registry.Host()+"/team/"+registry.Vulnerable+":v1"); got.Status != replicas.Rejected {
		t.Errorf("without the worker: %s (%s)", got.Status, got.Message)
	}
}
