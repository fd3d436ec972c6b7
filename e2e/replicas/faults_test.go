package replicas_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/imagegate/imagegate/e2e/replicas"
)

// rows is what faults came to, printed when all tests have ended.
type rows struct {
	mu   sync.Mutex
	list []*replicas.Row
}

// broke has something break on a fleet, as a test of its own.
func broke(t *testing.T, f *replicas.Fleet, fault replicas.Fault) {
	t.Helper()
	t.Run(fault.Name, func(t *testing.T) {
		row, err := f.Break(t.Context(), fault)
		if err != nil {
			t.Fatal(err)
		}
		programs.rows.mu.Lock()
		programs.rows.list = append(programs.rows.list, row)
		programs.rows.mu.Unlock()
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
	t.Parallel() // it mostly waits
	f := fleet(t, replicas.Options{Change: smallReserve})
	n, err := f.Add("provider", replicas.All, nil)
	if err != nil {
		t.Fatal(err)
	}
	small := disk(t, n)
	start(t, f, n)
	broke(t, f, quick("nothing, alone", nil))

	kill := quick("kill -9 of the only provider", func(ctx context.Context, _ []replicas.Image) error {
		n.Kill()
		return f.Start(ctx, n)
	})
	kill.Repeats = scans
	broke(t, f, kill)

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
	broke(t, f, damage)

	if small == "" {
		return
	}
	full := quick("disk full under the embedded store", func(ctx context.Context, _ []replicas.Image) error {
		filler := filepath.Join(small, "filler")
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
	// What could not be kept is scanned again, each time its failure is forgotten.
	full.Repeats, full.Times, full.Within = full.Images, 4, 2*time.Minute
	broke(t, f, full)
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
func disk(t *testing.T, n *replicas.Node) string {
	t.Helper()
	unmount, err := replicas.SmallDisk(n.Data, diskSize)
	if errors.Is(err, replicas.ErrNoDisk) {
		_, _ = fmt.Fprintf(os.Stdout, "\nLEFT OUT: disk full under the embedded store: %v\n\n", err)
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unmount(); err != nil {
			t.Error(err)
		}
	})
	return n.Data
}

// TestCluster breaks three api providers, whose embedded servers are one cluster,
// and two workers.
func TestCluster(t *testing.T) {
	t.Parallel()
	f := fleet(t, replicas.Options{})
	m, err := f.Cluster(2)
	if err != nil {
		t.Fatal(err)
	}
	start(t, f, m.Nodes()...)
	broke(t, f, quick("nothing, a cluster", nil))

	worker := quick("kill -9 of a worker in mid-scan", func(context.Context, []replicas.Image) error {
		m.Workers[0].Kill()
		return nil
	})
	worker.Repeats = scans
	broke(t, f, worker)
	start(t, f, m.Workers[0])

	broke(t, f, quick("kill -9 of an api and NATS node", func(ctx context.Context, _ []replicas.Image) error {
		leader, err := m.Leader(ctx, "_queue")
		if err != nil {
			return err
		}
		return away(ctx, f, other(m.APIs, leader), 3*time.Second)
	}))
	broke(t, f, quick("kill -9 of the queue stream's leader", func(ctx context.Context, _ []replicas.Image) error {
		leader, err := m.Leader(ctx, "_queue")
		if err != nil {
			return err
		}
		return away(ctx, f, leader, 3*time.Second)
	}))
	broke(t, f, quick("partition of a NATS node", func(ctx context.Context, _ []replicas.Image) error {
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
	t.Parallel()
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
	broke(t, f, replica)

	broke(t, f, quick("NATS away for 10 s", func(ctx context.Context, _ []replicas.Image) error {
		server.Kill()
		if err := wait(ctx, 10*time.Second); err != nil {
			return err
		}
		return server.Start(ctx)
	}))

	cut := quick("partition of a replica from NATS for 30 s", func(ctx context.Context, _ []replicas.Image) error {
		links[0].Cut()
		defer links[0].Mend()
		return wait(ctx, 30*time.Second)
	})
	cut.Repeats, cut.Within = scans, 2*time.Minute // those under way are taken over
	broke(t, f, cut)
}

// TestStopWhileNATSIsAway stops a provider in the middle of scans whose NATS is
// silent, or gone: Kubernetes kills what has not ended in half a minute, and then
// nothing is put in order.
func TestStopWhileNATSIsAway(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"silent", "gone"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			f := fleet(t, replicas.Options{Dir: filepath.Join(programs.dir, "stop-"+how)})
			server, err := f.StartNATS(t.Context(), programs.nats)
			if err != nil {
				t.Fatal(err)
			}
			nodes, links, err := f.External(server, 1)
			if err != nil {
				t.Fatal(err)
			}
			start(t, f, nodes...)
			f.Scanner.Usually(replicas.Behaviour{Takes: 3 * time.Second}) // ends while it stops
			images, err := f.Push(t.Context(), "stop", 2*scans, 1)
			if err != nil {
				t.Fatal(err)
			}
			asking, leave := context.WithCancel(t.Context())
			var asked sync.WaitGroup
			defer asked.Wait()
			defer leave()
			for _, image := range images {
				asked.Go(func() { f.Client.Mutator(asking, nodes[0].URL, "team", image.Pinned, time.Minute) })
			}
			for total(f) < scans {
				if err := wait(t.Context(), 20*time.Millisecond); err != nil {
					t.Fatal(err)
				}
			}
			if how == "silent" {
				links[0].Cut()
			} else {
				server.Kill()
			}
			if !nodes[0].Stop() {
				t.Error("the provider had to be killed")
			}
		})
	}
}
