// Command build builds what the end-to-end tests and the demo need and is not
// there yet, with progress on the standard output: imagegate's own programs, the
// cluster's, or both.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/imagegate/imagegate/e2e/build"
)

func main() {
	own := flag.Bool("own", false, "build imagegate's own programs")
	cluster := flag.Bool("cluster", false, "build the cluster's programs")
	flag.Parse()
	if !*own && !*cluster {
		*own, *cluster = true, true
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *own, *cluster); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to clean up
	}
}

func run(ctx context.Context, own, cluster bool) error {
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
		_, err = build.Cluster(ctx, root, os.Stdout)
	}
	return err
}
