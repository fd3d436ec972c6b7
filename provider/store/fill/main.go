// Command fill writes many reports into an external NATS, as providers that had
// made that many scans would have. It exists for measurements: to have each of
// 50,000 reports scanned takes most of an hour, and measures the scanner's player.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/bus"
	"github.com/imagegate/imagegate/provider/reference"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/store"
)

const (
	// bucketName is the providers'. It has no bound here; they give it theirs again
	// when they start.
	bucketName = "reports"
	writers    = 4
	timeout    = 30 * time.Second
)

func main() {
	var (
		url   = flag.String("url", "", "the NATS, nats://host:port")
		like  = flag.String("like", "", "https://registry/repository@sha256:..., an image of which there is a report: those written are like it, about other images of the repository")
		name  = flag.String("name", "filled", "begins the names that the digests are made of, so that two runs write different ones")
		count = flag.Int("count", 0, "how many reports")
	)
	flag.Parse()
	if err := run(context.Background(), *url, *like, *name, *count); err != nil {
		fmt.Fprintln(os.Stderr, "fill:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url, like, name string, count int) (err error) {
	scheme, image, _ := strings.Cut(like, "://")
	of, err := reference.ParseDigest(image)
	if err != nil {
		return fmt.Errorf("-like: %w", err)
	}
	key := func(digest string) string {
		return backend.ByRepository.Key(backend.Image{
			Registry: scheme + "://" + reference.Address(scheme, of.Context().RegistryStr()), Repository: of.Context().RepositoryStr(), Digest: digest,
		})
	}
	b, err := bus.Open(ctx, bus.Options{External: &bus.External{URLs: []string{url}}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close(ctx)) }()
	kept, err := b.Bucket(bucketName, bus.BucketOptions{})
	if err != nil {
		return err
	}
	reports, err := store.NewReports(store.ReportsOptions{Bucket: kept, Bytes: 1 << 40, CacheBytes: 1 << 20, Timeout: timeout})
	if err != nil {
		return err
	}
	reading, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	model, err := reports.Get(reading, key(of.DigestStr()))
	if err != nil {
		return fmt.Errorf("reading the report of %s: %w", like, err)
	}
	if model == nil {
		return fmt.Errorf("there is no report of %s", like)
	}
	return write(ctx, reports, key, model, name, count)
}

// write writes count reports like the model, several at a time.
func write(ctx context.Context, reports *store.Reports, key func(digest string) string, model *report.Scan, name string, count int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan string)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for digest := range next {
				if err := put(ctx, reports, key(digest), about(model, digest)); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	for i := range count {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", name, i))
		select {
		case next <- "sha256:" + hex.EncodeToString(sum[:]):
		case <-ctx.Done():
		}
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}

func put(ctx context.Context, reports *store.Reports, key string, scan *report.Scan) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := reports.Put(ctx, "team", key, scan)
	return err
}

// about is the model's scan as of another image. What differs from image to image
// in the model differs here too, so that compression finds no more alike.
func about(model *report.Scan, digest string) *report.Scan {
	scan := *model
	scan.Subject = digest
	scan.ReceivedAt = time.Now()
	was, is := strings.TrimPrefix(model.Subject, "sha256:"), strings.TrimPrefix(digest, "sha256:")
	// Findings hold pieces of eight letters of their image's digest.
	const piece = 8
	pairs := make([]string, 0, 2*len(was))
	for i := range len(was) - piece {
		pairs = append(pairs, was[i:i+piece], is[i:i+piece])
	}
	r := strings.NewReplacer(pairs...)
	scan.Vulnerabilities = slices.Clone(model.Vulnerabilities)
	for i := range scan.Vulnerabilities {
		v := &scan.Vulnerabilities[i]
		v.Package, v.Description = r.Replace(v.Package), r.Replace(v.Description)
		v.Links = slices.Clone(v.Links)
		for j, link := range v.Links {
			v.Links[j] = r.Replace(link)
		}
	}
	scan.Inner = []byte(r.Replace(string(model.Inner)))
	return &scan
}
