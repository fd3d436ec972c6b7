package replicas_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/imagegate/imagegate/e2e/build"
	"github.com/imagegate/imagegate/e2e/replicas"
)

// programs is what all tests here run, built once, and what they came to.
var programs struct {
	root, dir      string
	provider, nats string
	rows           rows
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "replicas:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (_ int, err error) {
	ctx := context.Background()
	p := &programs
	if p.dir, err = os.MkdirTemp("", "imagegate-replicas-"); err != nil {
		return 1, err
	}
	fmt.Fprintf(os.Stderr, "logs are in %s\n", p.dir)
	if p.root, err = build.Root(); err != nil {
		return 1, err
	}
	if p.provider, err = build.Provider(ctx, p.root, os.Stderr); err != nil {
		return 1, err
	}
	if p.nats, err = build.NATS(ctx, p.root, os.Stderr); err != nil {
		return 1, err
	}
	code := m.Run()
	replicas.Table(os.Stdout, p.rows.list)
	if code != 0 {
		return code, nil
	}
	return 0, os.RemoveAll(p.dir)
}

// fleet returns an empty one, which ends with the test. If the test fails the ends
// of its logs are printed.
func fleet(t *testing.T, o replicas.Options) *replicas.Fleet {
	t.Helper()
	if o.Program == "" {
		o.Program = programs.provider
	}
	if o.Dir == "" {
		o.Dir = filepath.Join(programs.dir, t.Name())
	}
	f, err := replicas.NewFleet(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Stop()
		if !t.Failed() {
			return
		}
		for _, n := range f.Nodes {
			t.Logf("the end of the log of %s:\n%s", n.Name, n.Log(4<<10))
		}
	})
	return f
}

// start starts providers and waits for them.
func start(t *testing.T, f *replicas.Fleet, nodes ...*replicas.Node) {
	t.Helper()
	if err := f.Start(t.Context(), nodes...); err != nil {
		t.Fatal(err)
	}
}

// soak leaves the test to `make soak`, loudly.
func soak(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("left out here (-short): `make soak` runs it")
	}
}
