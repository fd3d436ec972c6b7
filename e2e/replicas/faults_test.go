package replicas_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/imagegate/imagegate/e2e/replicas"
)

// rows collects what a test's faults came to, and prints it at its end.
type rows struct {
	t    *testing.T
	list []*replicas.Row
}

func newRows(t *testing.T) *rows {
	r := &rows{t: t}
	t.Cleanup(func() { replicas.Table(os.Stdout, r.list) })
	return r
}

// run breaks something on a fleet.
func (r *rows) run(f *replicas.Fleet, fault replicas.Fault) {
	r.t.Run(fault.Name, func(t *testing.T) {
		row, err := f.Break(t.Context(), fault)
		if err != nil {
			t.Fatal(err)
		}
		r.list = append(r.list, row)
		for _, p := range row.Problems {
			t.Error(p)
		}
	})
}

// quick is a fault under a load that a test of a minute has room for.
func quick(name string, hurt func(context.Context, []replicas.Image) error) replicas.Fault {
	return replicas.Fault{
		Name: name, Images: 40, Pods: 3, Namespaces: 5, Takes: time.Second, Hurt: hurt, Within: 90 * time.Second,
	}
}

// wait waits unless ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting: %w", ctx.Err())
	}
}

// TestAlone breaks a provider with the default store: everything in its own files.
func TestAlone(t *testing.T) {
	r := newRows(t)
	f := fleet(t, replicas.Options{})
	n, err := f.Add("provider", replicas.All, nil)
	if err != nil {
		t.Fatal(err)
	}
	start(t, f, n)
	r.run(f, quick("nothing, alone", nil))
	kill := quick("kill -9 of the only provider", func(ctx context.Context, _ []replicas.Image) error {
		n.Kill()
		return f.Start(ctx, n)
	})
	kill.Repeats = 4
	r.run(f, kill)
}
