package bus_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/bus"
)

// TestKilled: what was acknowledged is there after kill -9.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	acknowledged := 0
	for range 3 {
		p := run(t, order{Options: bus.Options{DataDir: dir}, Write: true})
		if got := p.line(); got != "open" {
			t.Fatalf("the process says %q: %s", got, p.wait())
		}
		for i := range acknowledged + 500 {
			if got := p.line(); got != fmt.Sprint("wrote ", i) {
				t.Fatalf("the process says %q: %s", got, p.wait())
			}
			acknowledged = max(acknowledged, i+1)
		}
		p.kill()
	}
	b, _ := open(t, bus.Options{DataDir: dir})
	k := bucketOf(t, b, "reports", bus.BucketOptions{})
	for i := range acknowledged {
		wantValue(t, k, fmt.Sprintf("k.%d", i), strings.Repeat(fmt.Sprint(i, " "), 500))
	}
}

// TestOneProcessForAFolder: the second is told at once, and harms nothing.
func TestOneProcessForAFolder(t *testing.T) {
	dir := t.TempDir()
	b, _ := open(t, bus.Options{DataDir: dir})
	k := bucketOf(t, b, "reports", bus.BucketOptions{})
	put(t, k, "a", "1")
	begun := time.Now()
	said := run(t, order{Options: bus.Options{DataDir: dir}}).wait()
	for _, want := range []string{"dataDir", dir, "in use by another process"} {
		if !strings.Contains(said, want) {
			t.Errorf("the second process says %q, which lacks %q", said, want)
		}
	}
	t.Logf("refused within %s", time.Since(begun))
	put(t, k, "b", "2")
	closeBus(t, b)
	again, _ := open(t, bus.Options{DataDir: dir})
	k = bucketOf(t, again, "reports", bus.BucketOptions{})
	wantValue(t, k, "a", "1")
	wantValue(t, k, "b", "2")
}

// TestDamagedFiles: a store is opened with what can be read of it, nothing is read
// as other than it was written, and a loss is said in the log.
func TestDamagedFiles(t *testing.T) {
	const n = 1500
	value := func(i int) string { return strings.Repeat(fmt.Sprint(i, " "), 2000) }
	original := t.TempDir()
	b, _ := open(t, bus.Options{DataDir: original})
	k := bucketOf(t, b, "reports", bus.BucketOptions{})
	for i := range n {
		put(t, k, fmt.Sprintf("k.%d", i), value(i))
	}
	closeBus(t, b)

	files := func(dir, pattern string) (found []string) {
		_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, _ error) error {
			if ok, _ := filepath.Match(pattern, filepath.Base(path)); ok {
				found = append(found, path)
			}
			return nil
		})
		if len(found) == 0 {
			t.Fatalf("no %s in %s", pattern, dir)
		}
		return found
	}
	remove := func(pattern string) func(string) error {
		return func(dir string) error { return os.RemoveAll(files(dir, pattern)[0]) }
	}
	garbage := func(pattern string) func(string) error {
		return func(dir string) error { return os.WriteFile(files(dir, pattern)[0], []byte("garbage"), 0o600) }
	}
	flip := func(dir string) error {
		for _, file := range files(dir, "*.blk") {
			content, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			for i := 5000; i < len(content); i += 300000 {
				content[i] ^= 0x55
			}
			if err := os.WriteFile(file, content, 0o600); err != nil {
				return err
			}
		}
		return nil
	}
	halve := func(last bool) func(string) error {
		return func(dir string) error {
			blocks := files(dir, "*.blk")
			file := blocks[0]
			if last {
				file = blocks[len(blocks)-1]
			}
			info, err := os.Stat(file)
			if err != nil {
				return err
			}
			return os.Truncate(file, info.Size()/2)
		}
	}
	for _, tc := range []struct {
		name   string
		damage func(dir string) error
		least  int    // entries that survive
		said   string // in the log, or why it is not opened
		fatal  bool
	}{
		{"none", func(string) error { return nil }, n, "", false},
		{"no index", remove("index.db"), n, "", false},
		{"index of garbage", garbage("index.db"), n, "corrupt state file", false},
		{"flipped bits", flip, n * 9 / 10, "", false},
		{"flipped bits and no index", func(dir string) error { return errors.Join(flip(dir), remove("index.db")(dir)) }, 0, "holds less than when it was last seen", false},
		{"first block halved", halve(false), 1, "corrupt record state", false},
		{"last block halved", halve(true), 1, "will rebuild", false},
		{"no first block", remove("*.blk"), 1, "holds less than when it was last seen", false},
		{"no stream's file", remove("meta.inf"), 0, "is lost and begins empty", false},
		{"stream's file of garbage", garbage("meta.inf"), 0, "is lost and begins empty", false},
		{"checksum of garbage", garbage("meta.sum"), 0, "is lost and begins empty", false},
		{"no stream", remove("imagegate_*"), 0, "is lost and begins empty", false},
		{"no store", remove("jetstream"), 0, "is lost and begins empty", false},
		{"no store and no ledger", func(dir string) error { return errors.Join(remove("jetstream")(dir), remove("buckets.json")(dir)) }, 0, "", false},
		{"ledger of garbage", garbage("buckets.json"), n, "", false},
		{"store that is a file", func(dir string) error {
			return errors.Join(remove("jetstream")(dir), os.WriteFile(filepath.Join(dir, "nats", "jetstream"), nil, 0o600))
		}, 0, "remove this folder: reports and queued scans in it are lost and made again", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := errors.Join(os.CopyFS(dir, os.DirFS(original)), tc.damage(dir)); err != nil {
				t.Fatal(err)
			}
			if tc.fatal {
				_, err := bus.Open(t.Context(), bus.Options{DataDir: dir})
				if err == nil || !strings.Contains(err.Error(), tc.said) || !strings.Contains(err.Error(), filepath.Join(dir, "nats", "jetstream")) {
					t.Fatalf("error %v, want %q", err, tc.said)
				}
				return
			}
			b, log := open(t, bus.Options{DataDir: dir})
			k := bucketOf(t, b, "reports", bus.BucketOptions{})
			there := 0
			for i := range n {
				e, err := k.Get(within(t), fmt.Sprintf("k.%d", i))
				if err != nil {
					t.Fatalf("key %d: %v", i, err)
				}
				if e == nil {
					continue
				}
				if there++; string(e.Value) != value(i) {
					t.Fatalf("key %d is read as another value", i)
				}
			}
			t.Logf("%d of %d are left", there, n)
			if there < tc.least {
				t.Errorf("%d of %d are left, want %d", there, n, tc.least)
			}
			if tc.said != "" {
				log.has(t, tc.said)
			} else if strings.Contains(log.String(), "lost") || strings.Contains(log.String(), "holds less") {
				t.Errorf("the log tells of a loss:\n%s", log)
			}
			// What a watch sees is what is read, and writes go on.
			put(t, k, "k.0", "new")
			put(t, k, "last", "new")
			seen := 0
			ctx, cancel := context.WithCancel(within(t))
			_ = k.Watch(ctx, bucket.WatchOptions{}, func(e bucket.Event) {
				if e.Kind == bucket.Wrote {
					seen++
				}
				if e.Kind == bucket.Synced {
					cancel()
				}
			})
			if seen < there || seen > there+2 {
				t.Errorf("a watch sees %d entries, %d are read", seen, there)
			}
		})
	}
}

// TestClosed: calls under way and later ones end with an error.
func TestClosed(t *testing.T) {
	b, _ := open(t, bus.Options{DataDir: t.TempDir()})
	k := bucketOf(t, b, "reports", bus.BucketOptions{})
	put(t, k, "a", "1")
	ended, told := make(chan error, 1), make(chan struct{}, 16)
	go func() {
		ended <- k.Watch(within(t), bucket.WatchOptions{}, func(bucket.Event) { told <- struct{}{} })
	}()
	<-told
	closeBus(t, b)
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the watch ended without an error")
		}
	case <-time.After(patience):
		t.Fatal("the watch goes on")
	}
	begun := time.Now()
	if _, err := k.Get(within(t), "a"); err == nil {
		t.Error("a closed bucket is read")
	}
	if _, err := k.Put(within(t), "a", nil, nil); err == nil {
		t.Error("a closed bucket is written")
	}
	if time.Since(begun) > patience/2 {
		t.Error("they waited for what does not come")
	}
	if _, err := b.Bucket("other", bus.BucketOptions{}); err == nil {
		t.Error("a closed bus has buckets")
	}
	if err := b.Ready(within(t)); err == nil {
		t.Error("a closed bus is ready")
	}
	if s := b.State(); s.Connected || s.Err == nil {
		t.Errorf("state %+v", s)
	}
	closeBus(t, b) // again
}
