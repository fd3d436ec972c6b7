package replicas_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
		Name: name, Images: 30, Pods: 3, Namespaces: 5, Takes: 600 * time.Millisecond, Hurt: hurt, Within: 90 * time.Second,
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

// TestAlone breaks a provider with the default store: everything in files of its
// own.
func TestAlone(t *testing.T) {
	r := newRows(t)
	f := fleet(t, replicas.Options{Change: smallReserve})
	n, err := f.Add("provider", replicas.All, nil)
	if err != nil {
		t.Fatal(err)
	}
	disk := r.disk(n)
	start(t, f, n)
	r.run(f, quick("nothing, alone", nil))

	kill := quick("kill -9 of the only provider", func(ctx context.Context, _ []replicas.Image) error {
		n.Kill()
		return f.Start(ctx, n)
	})
	kill.Repeats = scans
	r.run(f, kill)

	damage := quick("corrupted files under the embedded store", func(ctx context.Context, _ []replicas.Image) error {
		n.Kill()
		files, err := replicas.Damage(filepath.Join(n.Data, "nats"))
		if err != nil {
			return err
		}
		t.Logf("%d files were damaged", files)
		return f.Start(ctx, n)
	})
	damage.Repeats, damage.LostWith = damage.Images, true // what was damaged is made again
	r.run(f, damage)

	if disk == "" {
		return
	}
	full := quick("disk full under the embedded store", func(ctx context.Context, _ []replicas.Image) error {
		filler := filepath.Join(disk, "filler")
		for _, leave := range []int64{reserve / 2, 0} {
			if err := replicas.Fill(filler, leave); err != nil {
				return err
			}
			if err := wait(ctx, 8*time.Second); err != nil {
				return err
			}
		}
		return os.Remove(filler)
	})
	// What could not be kept is scanned again.
	full.Repeats, full.Within = full.Images, 2*time.Minute
	r.run(f, full)
}

// scans is how many each provider makes at once.
const scans = 4

// reserve is how much of its disk a provider leaves to others here, and diskSize
// how large that is.
const (
	reserve  = 8 << 20
	diskSize = 96 << 20
)

func smallReserve(_ *replicas.Node, c replicas.Config) {
	c.Section("store", "nats")["minFree"] = reserve
}

// disk puts what the provider keeps on a small disk of its own, which is returned;
// where there can be none it says so and returns nothing.
func (r *rows) disk(n *replicas.Node) string {
	unmount, err := replicas.SmallDisk(n.Data, diskSize)
	if errors.Is(err, replicas.ErrNoDisk) {
		_, _ = fmt.Fprintf(os.Stdout, "\nLEFT OUT: disk full under the embedded store: %v\n\n", err)
		return ""
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := unmount(); err != nil {
			r.t.Error(err)
		}
	})
	return n.Data
}

// TestCluster breaks three api providers, whose embedded servers are one cluster,
// and two workers.
func TestCluster(t *testing.T) {
	r := newRows(t)
	f := fleet(t, replicas.Options{})
	m, err := f.Cluster(2)
	if err != nil {
		t.Fatal(err)
	}
	start(t, f, m.Nodes()...)
	r.run(f, quick("nothing, a cluster", nil))

	worker := quick("kill -9 of a worker in mid-scan", func(context.Context, []replicas.Image) error {
		m.Workers[0].Kill()
		return nil
	})
	worker.Repeats = scans
	r.run(f, worker)
	start(t, f, m.Workers[0])

	r.run(f, quick("kill -9 of an api and NATS node", func(ctx context.Context, _ []replicas.Image) error {
		leader, err := m.Leader(ctx, "_queue")
		if err != nil {
			return err
		}
		return away(ctx, f, other(m.APIs, leader), 3*time.Second)
	}))
	r.run(f, quick("kill -9 of the queue stream's leader", func(ctx context.Context, _ []replicas.Image) error {
		leader, err := m.Leader(ctx, "_queue")
		if err != nil {
			return err
		}
		return away(ctx, f, leader, 3*time.Second)
	}))
	r.run(f, quick("partition of a NATS node", func(ctx context.Context, _ []replicas.Image) error {
		leader, err := m.Leader(ctx, "_queue")
		if err != nil {
			return err
		}
		m.Isolate(leader.Name)
		defer m.Rejoin(leader.Name)
		return wait(ctx, 15*time.Second)
	}))
}

// away kills a provider and starts it again after a while.
func away(ctx context.Context, f *replicas.Fleet, n *replicas.Node, pause time.Duration) error {
	n.Kill()
	if err := wait(ctx, pause); err != nil {
		return err
	}
	return f.Start(ctx, n)
}

// other is the first of the nodes that is not this one.
func other(nodes []*replicas.Node, not *replicas.Node) *replicas.Node {
	for _, n := range nodes {
		if n != not {
			return n
		}
	}
	return nil
}

// TestExternal breaks two providers that share a NATS elsewhere, and the way
// there.
func TestExternal(t *testing.T) {
	r := newRows(t)
	f := fleet(t, replicas.Options{})
	server, err := f.StartNATS(t.Context(), programs.nats)
	if err != nil {
		t.Fatal(err)
	}
	nodes, links, err := f.External(server, 2)
	if err != nil {
		t.Fatal(err)
	}
	start(t, f, nodes...)

	replica := quick("kill -9 of a replica", func(ctx context.Context, _ []replicas.Image) error {
		return away(ctx, f, nodes[0], 2*time.Second)
	})
	replica.Repeats = scans
	r.run(f, replica)

	gone := quick("NATS away for 10 s", func(ctx context.Context, _ []replicas.Image) error {
		server.Kill()
		if err := wait(ctx, 10*time.Second); err != nil {
			return err
		}
		return server.Start(ctx)
	})
	r.run(f, gone)

	cut := quick("partition of a replica from NATS for 30 s", func(ctx context.Context, _ []replicas.Image) error {
		links[0].Cut()
		defer links[0].Mend()
		return wait(ctx, 30*time.Second)
	})
	cut.Repeats, cut.Within = scans, 2*time.Minute // those under way are taken over
	r.run(f, cut)
}
