package bucket_test

import (
	"testing"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/bucket/buckettest"
)

func TestMemory(t *testing.T) {
	buckettest.Run(t, func(*testing.T) []bucket.Bucket { return []bucket.Bucket{bucket.NewMemory()} })
}
