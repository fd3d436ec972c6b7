package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/imagegate/imagegate/e2e/build"
)

const (
	// Required is the environment variable that makes a machine that can have no
	// node a failure: CI sets it.
	Required = "IMAGEGATE_NODE_REQUIRED"
	// handed is the environment variable by which one execution tells the next what
	// it is to do.
	handed = "IMAGEGATE_NODE_STAGE"
)

// stage is what an execution is told.
type stage struct {
	// Name is first, or inside.
	Name    string
	Root    string // of the repository
	Dir     string // for all that is written
	Cgroup  string
	Cluster build.ControlPlane
	Node    build.NodePrograms
}

// Main runs inside on a node and returns the exit code of the program. Where there
// can be no node it says why, loudly, and returns 0, or 1 where one is required.
func Main(inside func(context.Context, *Node) int) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := enter(ctx, inside)
	if err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		return 1
	}
	return code
}

func enter(ctx context.Context, inside func(context.Context, *Node) int) (int, error) {
	told, ok := os.LookupEnv(handed)
	if !ok {
		return outside(ctx, os.Stderr)
	}
	var s stage
	if err := json.Unmarshal([]byte(told), &s); err != nil {
		return 1, fmt.Errorf("read %s: %w", handed, err)
	}
	if s.Name == "first" {
		return first(s)
	}
	n, err := start(ctx, s, os.Stderr)
	if err != nil {
		return 1, err
	}
	defer n.stop()
	return inside(ctx, n), nil
}

// outside is the execution on the machine itself: it builds what is missing, as long
// as there is a network, and makes what namespaces do not hold.
func outside(ctx context.Context, progress io.Writer) (int, error) {
	root, err := build.Root()
	if err != nil {
		return 1, err
	}
	s := stage{Name: "first", Root: root, Cgroup: fmt.Sprintf("imagegate-node-%d", os.Getpid())}
	base := filepath.Join(root, ".cache", "node")
	if err := os.MkdirAll(base, 0o750); err != nil {
		return 1, err
	}
	if s.Dir, err = os.MkdirTemp(base, "run-"); err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(s.Dir) }()
	if err := preflight(ctx, s.Dir); err != nil {
		return leftOut(progress, err)
	}
	if s.Cluster, err = build.Cluster(ctx, root, progress); err != nil {
		return 1, err
	}
	s.Node, err = build.Node(ctx, root, progress)
	if errors.Is(err, build.ErrUnavailable) {
		return leftOut(progress, err)
	}
	if err != nil {
		return 1, err
	}
	// Images of it are made inside, where no module can be fetched.
	if _, err = build.Imagegate(ctx, root, progress); err != nil {
		return 1, err
	}
	groups, err := makeCgroups(s.Cgroup)
	if err != nil {
		return 1, err
	}
	code, err := again(ctx, s, syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	})
	return code, errors.Join(err, groups.remove())
}

// leftOut says why there can be no node here, and what that means.
func leftOut(progress io.Writer, why error) (int, error) {
	if os.Getenv(Required) != "" {
		return 1, fmt.Errorf("%s is set, and there can be no node here: %w", Required, why)
	}
	_, _ = fmt.Fprintf(progress, "LEFT OUT: all that needs a real node, which there cannot be here: %v\n", why)
	return 0, nil
}

// again executes this program anew, to do what s says, and returns its exit code.
// When ctx ends it is asked to end too.
func again(ctx context.Context, s stage, how syscall.SysProcAttr) (int, error) {
	told, err := json.Marshal(s)
	if err != nil {
		return 1, err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...) //nolint:gosec // ourselves
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Env = append(without(os.Environ(), handed), handed+"="+string(told))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &how
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, fmt.Errorf("execute the stage after %s: %w", s.Name, err)
	}
	return 0, nil
}

// without leaves variables out of an environment, and proxies, which nobody inside
// can reach.
func without(environment []string, names ...string) []string {
	var kept []string
	for _, e := range environment {
		name, _, _ := strings.Cut(e, "=")
		if strings.HasSuffix(strings.ToLower(name), "_proxy") {
			continue
		}
		keep := true
		for _, n := range names {
			keep = keep && n != name
		}
		if keep {
			kept = append(kept, e)
		}
	}
	return kept
}

// first is the first process of the namespaces. It starts the one that does the work
// and reaps what is orphaned to it: containerd's shims, for one, are their own
// masters. When the work ends it ends, and the kernel ends all the rest.
func first(s stage) (int, error) {
	// As the first process it is not ended by a signal that it does not await.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if err := mountOwn(); err != nil {
		return 1, err
	}
	s.Name = "inside"
	told, err := json.Marshal(s)
	if err != nil {
		return 1, err
	}
	// Not by os/exec: it waits for its child alone, and so would take turns with the
	// loop below.
	child, err := syscall.ForkExec("/proc/self/exe", os.Args, &syscall.ProcAttr{ //nolint:gosec // ourselves, as we were called
		Env:   append(without(os.Environ(), handed), handed+"="+string(told)),
		Files: []uintptr{0, 1, 2},
	})
	if err != nil {
		return 1, fmt.Errorf("execute the stage inside: %w", err)
	}
	go func() {
		for s := range signals {
			_ = syscall.Kill(child, s.(syscall.Signal)) // it may have ended
		}
	}()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 1, fmt.Errorf("wait for the stage inside: %w", err)
		case pid == child && status.Exited():
			return status.ExitStatus(), nil
		case pid == child && status.Signaled():
			return 1, fmt.Errorf("the stage inside was ended by %s", status.Signal())
		}
	}
}
