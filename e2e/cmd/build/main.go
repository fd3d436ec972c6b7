// Command build builds what the end-to-end tests and the demo need and is not
// there yet, with progress on the standard output.
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
	own := flag.Bool("own", false, "build only imagegate's own programs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *own); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to clean up
	}
}

func run(ctx context.Context, own bool) error {
	root, err := build.Root()
	if err != nil {
		return err
	}
	if _, err := build.Imagegate(ctx, root, os.Stdout); err != nil {
		return err
	}
	if own {
		return nil
	}
	_, err = build.Cluster(ctx, root, os.Stdout)
	return err
}
