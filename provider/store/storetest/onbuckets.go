package storetest

import (
	"context"
	"testing"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/store"
)

// RunOn is Run and RunTags for what is kept in buckets. Each call of open begins
// with empty ones and returns a function that has another replica join, which
// gets at the bucket of a name.
func RunOn(t *testing.T, open func(t *testing.T) (join func() func(name string) bucket.Bucket)) {
	t.Run("Reports", func(t *testing.T) {
		Run(t, func(t *testing.T) func() Store {
			join := open(t)
			return func() Store {
				named := join()
				r, err := store.NewReports(store.ReportsOptions{
					Bucket: named("reports"), Reads: named("reads"), Bytes: 1 << 30, CacheBytes: 64 << 20,
					Timeout: patience, // what is tested is not how fast the machine is
				})
				if err != nil {
					t.Fatal(err)
				}
				background(t, r.Run)
				return r
			}
		})
	})
	t.Run("Tags", func(t *testing.T) {
		RunTags(t, func(t *testing.T) func() Tags {
			join := open(t)
			return func() Tags {
				tags, err := store.NewSharedTags(store.SharedTagsOptions{Bucket: join()("tags"), Bytes: 16 << 20})
				if err != nil {
					t.Fatal(err)
				}
				background(t, tags.Run)
				return tags
			}
		})
	})
}

// background runs until the test ends.
func background(t *testing.T, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
