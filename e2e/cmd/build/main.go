// Command build builds what the end-to-end tests and the demo need and is not
// there yet, with progress on the standard output: imagegate's own programs, those of
// the cluster, those of a real node, where there can be one, or all.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"

	"github.com/imagegate/imagegate/e2e/build"
)

func main() {
	own := flag.Bool("own", false, "build imagegate's own programs")
	cluster := flag.Bool("cluster", false, "build the cluster's programs")
	node := flag.Bool("node", false, "build the programs of a real node, where there can be one")
	flag.Parse()
	if flag.NFlag() == 0 {
		*own, *cluster, *node = true, true, true
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *own, *cluster, *node); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to clean up
	}
}

func run(ctx context.Context, own, cluster, node bool) error {
	root, err := build.Root()
	if err != nil {
		return err
	}
	if own {
		if _, err := build.Imagegate(ctx, root, os.Stdout); err != nil {
			return err
		}
	}
	if cluster {
		if _, err := build.Cluster(ctx, root, os.Stdout); err != nil {
			return err
		}
	}
	if !node || runtime.GOOS != "linux" || os.Getuid() != 0 {
		return nil // no node there
	}
	if _, err = build.Node(ctx, root, os.Stdout); errors.Is(err, build.ErrUnavailable) {
		fmt.Println("LEFT OUT: the programs of a real node:", err)
		return nil
	}
	return err
}
