package bus_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/bus"
)

// childEnv has this program be a process with a bus instead of tests.
const childEnv = "IMAGEGATE_TEST_BUS"

// order is what a child does.
type order struct {
	Options bus.Options
	// Write has it write keys until it is killed, and print each that was
	// acknowledged.
	Write bool
	Sync  bus.Sync
}

// child runs until its input ends.
func child() error {
	var o order
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &o); err != nil {
		return err
	}
	o.Options.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	ctx := context.Background()
	b, err := bus.Open(ctx, o.Options)
	if err != nil {
		return err
	}
	fmt.Println("open")
	if o.Write {
		k, err := b.Bucket("reports", bus.BucketOptions{})
		if err != nil {
			return err
		}
		for i := 0; ; i++ {
			if _, err := k.Put(ctx, fmt.Sprintf("k.%d", i), []byte(strings.Repeat(fmt.Sprint(i, " "), 500)), nil); err != nil {
				return err
			}
			fmt.Println("wrote", i)
		}
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return b.Close(ctx)
}

// process is a child.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  *bufio.Scanner
	log    *logged
	waited bool
}

func run(t *testing.T, o order) *process {
	t.Helper()
	o.Options.Log = nil
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(os.Args[0]), log: &logged{}}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(b))
	p.cmd.Stderr = p.log
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the log of process %d:\n%s", p.cmd.Process.Pid, p.log)
		}
	})
	return p
}

// line returns the next line that it printed, empty at its end.
func (p *process) line() string {
	if p.lines.Scan() {
		return p.lines.Text()
	}
	return ""
}

// wait returns what it said at its end.
func (p *process) wait() string {
	p.t.Helper()
	for p.line() != "" {
	}
	p.waited = true
	_ = p.cmd.Wait()
	return p.log.String()
}

// kill ends it as a crash would.
func (p *process) kill() {
	if p.waited {
		return
	}
	_ = p.cmd.Process.Kill()
	p.wait()
}

// end has it end in order.
func (p *process) end() {
	_ = p.stdin.Close()
	done := time.AfterFunc(patience, p.kill)
	defer done.Stop()
	p.wait()
}
