package bus_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/bus"
)

// smallDisk mounts one.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("SKIPPED: a full disk is not tried, for none can be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	return dir
}

// TestDiskFull: nothing more is written, with a sentence that says why, and what
// is there is read; room made, writes go on.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "48m")
	b, _ := open(t, bus.Options{DataDir: dir, MinFree: 8 << 20})
	k := bucketOf(t, b, "reports", bus.BucketOptions{})
	put(t, k, "a", "1")
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 42<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "writes are refused", func() bool {
		_, err := k.Put(within(t), "b", []byte("2"), nil)
		if err != nil && (!errors.Is(err, bucket.ErrFull) || !strings.Contains(err.Error(), "nothing is written below 8 MiB")) {
			t.Fatalf("Put: %v", err)
		}
		return err != nil
	})
	wantValue(t, k, "a", "1")
	ready(t, b)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, "writes go on", func() bool {
		_, err := k.Put(within(t), "b", []byte("3"), nil)
		return err == nil
	})
	wantValue(t, k, "b", "3")
	wantValue(t, k, "a", "1")
}

// TestDiskFullAllTheSame: somebody else fills the disk faster than it is looked
// at. The server may give up; what was acknowledged is there once there is room.
func TestDiskFullAllTheSame(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "32m")
	b, _ := open(t, bus.Options{DataDir: dir, MinFree: 1})
	k := bucketOf(t, b, "reports", bus.BucketOptions{})
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	value := strings.Repeat("x", 256<<10)
	acknowledged := 0
	for ; acknowledged < 1000; acknowledged++ {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		_, err := k.Put(ctx, fmt.Sprintf("k.%d", acknowledged), []byte(value), nil)
		cancel()
		if err != nil {
			t.Logf("%d writes, then: %v", acknowledged, err)
			break
		}
	}
	if acknowledged == 0 || acknowledged == 1000 {
		t.Fatalf("%d writes fit on the disk", acknowledged)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	ready(t, b)
	for i := range acknowledged {
		wantValue(t, k, fmt.Sprintf("k.%d", i), value)
	}
	eventually(t, "writes go on", func() bool {
		_, err := k.Put(within(t), "more", []byte("1"), nil)
		return err == nil
	})
}
