package replicas_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/imagegate/imagegate/e2e/build"
	"github.com/imagegate/imagegate/e2e/replicas"
)

// long is a fault under a load of some minutes.
func long(name string, hurt func(context.Context, []replicas.Image) error) replicas.Fault {
	return replicas.Fault{
		Name: name, Images: 120, Pods: 5, Namespaces: 10, Takes: 2 * time.Second, Hurt: hurt, Within: 4 * time.Minute,
	}
}

// TestSoakCluster restarts every Pod, and one after another takes part of the
// cluster away.
func TestSoakCluster(t *testing.T) {
	soak(t)
	f := fleet(t, replicas.Options{})
	m, err := f.Cluster(3)
	if err != nil {
		t.Fatal(err)
	}
	start(t, f, m.Nodes()...)

	// As a Deployment's rollout does: the next goes when the last is ready.
	broke(t, f, long("every Pod restarted, one after another", func(ctx context.Context, _ []replicas.Image) error {
		for _, n := range m.Nodes() {
			n.Stop()
			if err := f.Start(ctx, n); err != nil {
				return err
			}
		}
		return nil
	}))
	killed := long("every Pod killed, one after another", func(ctx context.Context, _ []replicas.Image) error {
		for _, n := range m.Nodes() {
			n.Kill()
			if err := f.Start(ctx, n); err != nil {
				return err
			}
		}
		return nil
	})
	killed.Repeats = 3 * scans // those of three workers
	broke(t, f, killed)

	both := long("two of three NATS nodes away for 20 s", func(ctx context.Context, _ []replicas.Image) error {
		gone := m.APIs[:2]
		for _, n := range gone {
			n.Kill()
		}
		if err := wait(ctx, 20*time.Second); err != nil {
			return err
		}
		return f.Start(ctx, gone...)
	})
	broke(t, f, both)
}

// TestSoakExternal keeps NATS away for long.
func TestSoakExternal(t *testing.T) {
	soak(t)
	f := fleet(t, replicas.Options{})
	server, err := f.StartNATS(t.Context(), programs.nats)
	if err != nil {
		t.Fatal(err)
	}
	nodes, links, err := f.External(server, 3)
	if err != nil {
		t.Fatal(err)
	}
	start(t, f, nodes...)
	gone := long("NATS away for a minute", func(ctx context.Context, _ []replicas.Image) error {
		server.Kill()
		if err := wait(ctx, time.Minute); err != nil {
			return err
		}
		return server.Start(ctx)
	})
	// A report that cannot be kept for half a minute is given up, one in each slot.
	gone.Repeats = 3 * scans
	broke(t, f, gone)
	slow := long("a lag of 100 ms to NATS", func(ctx context.Context, _ []replicas.Image) error {
		for _, l := range links {
			l.Lag(50 * time.Millisecond) // each way
			defer l.Lag(0)
		}
		return wait(ctx, 30*time.Second)
	})
	broke(t, f, slow)
	silent := long("NATS silent for a minute", func(ctx context.Context, _ []replicas.Image) error {
		for _, l := range links {
			l.Cut()
			defer l.Mend()
		}
		return wait(ctx, time.Minute)
	})
	silent.Repeats = gone.Repeats
	broke(t, f, silent)
}

// TestSoakClock has the clock of one of three providers jump forward and back. The
// jump is real for all that the process does, its TLS and its NATS client
// included: it is a provider whose time.Now adds what a file says. What a jump of
// the whole machine would do beside that (to the kernel's timers) is nothing.
func TestSoakClock(t *testing.T) {
	soak(t)
	clock := filepath.Join(programs.dir, "seconds")
	if err := os.WriteFile(clock, []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	program := clocked(t, clock)
	f := fleet(t, replicas.Options{})
	server, err := f.StartNATS(t.Context(), programs.nats)
	if err != nil {
		t.Fatal(err)
	}
	nodes, _, err := f.External(server, 3)
	if err != nil {
		t.Fatal(err)
	}
	nodes[0].Become(program)
	start(t, f, nodes...)
	const wrongFor = 12 * time.Second
	jump := long("the clock of one replica jumps 20 h forward, then back", func(ctx context.Context, _ []replicas.Image) error {
		for _, hours := range []int{20, -20, 0} {
			seconds := fmt.Sprint(hours * 3600)
			if err := os.WriteFile(clock, []byte(seconds), 0o600); err != nil {
				return err
			}
			if err := wait(ctx, wrongFor); err != nil {
				return err
			}
		}
		return nil
	})
	// To a clock that is behind, what others have scanned comes from the future, and
	// does not count there; nor does to the others what one that is ahead has scanned.
	// In either time the replica makes no more scans than it has slots for, and of one
	// image there may be one of each.
	jump.Repeats, jump.Times, jump.LostWith = 2*scans*(1+int(wrongFor/jump.Takes)), 2, true
	broke(t, f, jump)
}

// clocked builds a provider whose clock is as wrong as a file says, in seconds.
func clocked(t *testing.T, file string) string {
	t.Helper()
	goroot, err := build.GoRoot(t.Context(), programs.root)
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(goroot, "src", "time", "time.go")
	program, err := build.Variant(t.Context(), programs.root, programs.dir, "clock", []build.Change{
		{File: source, Old: "import (\n", New: "import (\n\t\"sync/atomic\"\n"},
		{File: source, Old: "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n", New: "// Wrong is by how many seconds Now is wrong.\nvar Wrong atomic.Int64\n\n" +
			"func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n\tsec += Wrong.Load()\n"},
		{File: "provider/main.go", Old: "import (\n\t\"os\"\n", New: "import (\n\t\"os\"\n\t\"strconv\"\n\t\"time\"\n"},
		{File: "provider/main.go", Old: "func main() {", New: "func init() {\n\tgo func() {\n\t\tfor ; ; time.Sleep(50 * time.Millisecond) {\n" +
			"\t\t\ttext, _ := os.ReadFile(" + fmt.Sprintf("%q", file) + ")\n\t\t\tn, _ := strconv.ParseInt(string(text), 10, 64)\n\t\t\ttime.Wrong.Store(n)\n\t\t}\n\t}()\n}\n\nfunc main() {"},
	}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// TestSoakVersions has providers of two versions run beside each other, as they do
// while one is rolled out over the other. The newer one is this one but for the
// numbers that it writes into reports and into the records of the queue: of the
// first kind an older one may read them, of the others it must not.
func TestSoakVersions(t *testing.T) {
	soak(t)
	const file = "provider/store/encode.go"
	format := build.Change{File: file, Old: "	format = 1\n", New: "	format = 2\n"}
	for i, v := range []struct {
		name    string
		changes []build.Change
		unread  bool
	}{
		{"beside a newer version that the older reads", []build.Change{format}, false},
		{"beside a newer version whose reports the older cannot read", []build.Change{format, {File: file, Old: "	oldest = 1\n", New: "	oldest = 2\n"}}, true},
		{"beside a newer version whose queue the older cannot read", []build.Change{{File: "provider/queue/records.go", Old: "	version = 1\n", New: "	version = 2\n"}}, true},
	} {
		program, err := build.Variant(t.Context(), programs.root, programs.dir, fmt.Sprintf("newer-%d", i), v.changes, os.Stderr)
		if err != nil {
			t.Fatal(err)
		}
		f := fleet(t, replicas.Options{Dir: filepath.Join(programs.dir, fmt.Sprintf("versions-%d", i))})
		server, err := f.StartNATS(t.Context(), programs.nats)
		if err != nil {
			t.Fatal(err)
		}
		nodes, _, err := f.External(server, 2)
		if err != nil {
			t.Fatal(err)
		}
		start(t, f, nodes...)
		upgrade := long(v.name, func(ctx context.Context, _ []replicas.Image) error {
			nodes[1].Stop()
			nodes[1].Become(program)
			return f.Start(ctx, nodes[1])
		})
		if v.unread {
			// The older one makes again what it cannot read, which both read then.
			upgrade.Repeats, upgrade.LostWith = upgrade.Images, true
		}
		broke(t, f, upgrade)
		f.Stop()
	}
}
