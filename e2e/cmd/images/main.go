// Command images makes imagegate's container images, puts them into an OCI image
// layout and pushes them to a registry when told. With a chart it packs that too,
// with the digests of the images in it.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/imagegate/imagegate/e2e/build"
	"github.com/imagegate/imagegate/e2e/images"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to clean up
	}
}

// order is what the command line asks for.
type order struct {
	out, push, chart, repository string
	programs, platforms          string
	release                      images.Release
}

func parse(args []string) (order, error) {
	var o order
	f := flag.NewFlagSet("images", flag.ContinueOnError)
	f.StringVar(&o.out, "out", "bin/images", "folder of the layout, below the repository unless absolute")
	f.StringVar(&o.push, "push", "", "push everything below this repository: registry.example.com/imagegate")
	f.StringVar(&o.chart, "chart", "", "folder of a chart to pack with the images")
	f.StringVar(&o.repository, "repository", "ghcr.io/imagegate", "what the images' names begin with, where nothing is pushed")
	f.StringVar(&o.programs, "programs", strings.Join(images.Programs(), ","), "what to make images of")
	f.StringVar(&o.platforms, "platforms", "linux/amd64,linux/arm64", "what to build for")
	f.StringVar(&o.release.Version, "version", "0.0.0-dev", "version of the images and the chart, and their tag")
	f.StringVar(&o.release.Revision, "revision", "", "commit, for the labels")
	epoch := f.String("created", os.Getenv("SOURCE_DATE_EPOCH"), "time of all files, in seconds since 1970 (default: SOURCE_DATE_EPOCH, or 0)")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if *epoch != "" {
		seconds, err := strconv.ParseInt(*epoch, 10, 64)
		if err != nil {
			return o, fmt.Errorf("-created: %w", err)
		}
		o.release.Created = time.Unix(seconds, 0)
	}
	if o.push != "" {
		o.repository = o.push
	}
	return o, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	root, err := build.Root()
	if err != nil {
		return err
	}
	below := func(path string) string {
		if filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(root, path)
	}
	items, err := o.release.Build(ctx, root, filepath.Join(root, ".cache", "images"), strings.Split(o.programs, ","), strings.Split(o.platforms, ","), out)
	if err != nil {
		return err
	}
	if o.chart != "" {
		chart, err := o.release.Chart(below(o.chart), o.repository, items)
		if err != nil {
			return err
		}
		items = append(items, chart)
	}
	if err := o.release.Write(below(o.out), o.repository, items); err != nil {
		return err
	}
	if err := images.Print(out, items); err != nil {
		return err
	}
	if o.push != "" {
		if err := o.release.Push(ctx, o.push, items, remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "pushed to %s, version %s\n", o.push, o.release.Version)
	}
	return err
}
