// Command demo starts a real cluster with imagegate on this machine, shows with
// kubectl what imagegate does, and ends. With -keep the cluster runs on until Ctrl-C;
// meanwhile `demo push` stores images in the cluster's registry. With -node the demo
// installs imagegate by its chart on a real node.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/imagegate/imagegate/e2e/build"
	"github.com/imagegate/imagegate/e2e/stack"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "push" {
		os.Exit(pushed(os.Args[2:]))
	}
	keep := flag.Bool("keep", false, "leave everything running until Ctrl-C")
	story := flag.Bool("story", true, "tell the story")
	onRealNode := flag.Bool("node", false, "install it by its chart on a real node (Linux, root)")
	flag.Parse()
	if *onRealNode && !*story {
		_, _ = fmt.Fprintln(os.Stderr, "demo: -story=false is for the demo without -node")
		os.Exit(2)
	}
	if *onRealNode {
		os.Exit(onNode(*keep))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *story, *keep)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, story, keep bool) error {
	root, err := build.Root()
	if err != nil {
		return err
	}
	parent := filepath.Join(root, ".demo")
	if err := os.MkdirAll(parent, 0o750); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(parent, "run-")
	if err != nil {
		return err
	}
	o := stack.Options{Dir: dir, Progress: os.Stdout, Inventory: true}
	if story {
		o.Meanwhile = alone
	}
	s, err := stack.Start(ctx, o)
	if err != nil {
		return fmt.Errorf("%w\nlogs are in %s", err, dir)
	}
	defer s.Stop()
	t := &teller{voice: voice{run: s.Cluster.KubectlInput, out: os.Stdout}, stack: s}
	if err := t.policy(ctx); err != nil {
		return fmt.Errorf("%w\nlogs are in %s", err, dir)
	}
	if story {
		if err := t.tell(ctx); err != nil {
			return fmt.Errorf("%w\nlogs are in %s", err, dir)
		}
	}
	if keep {
		if err := t.remain(ctx); err != nil {
			return fmt.Errorf("%w\nlogs are in %s", err, dir)
		}
	}
	s.Stop()
	return os.RemoveAll(dir)
}
