package worker_test

import (
	"archive/tar"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// writeTar writes a tar file with one file of random bytes, and returns its path.
func writeTar(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "layer.tar")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	w := tar.NewWriter(f)
	if err := w.WriteHeader(&tar.Header{Name: "noise", Mode: 0o644, Size: size, Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(w, rand.NewChaCha8([32]byte{1}), size); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func firstLayer(t *testing.T, img v1.Image) v1.Layer {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	return layers[0]
}

func readLayer(t *testing.T, img v1.Image) []byte {
	t.Helper()
	rc, err := firstLayer(t, img).Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rc.Close() }()
	raw, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func layerDigest(t *testing.T, img v1.Image) string {
	t.Helper()
	d, err := firstLayer(t, img).Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// watchDisk looks at a directory until the returned function is called, which
// gives the most bytes it ever held.
func watchDisk(t *testing.T, dir string) func() int64 {
	t.Helper()
	stop := make(chan struct{})
	result := make(chan int64, 1)
	go func() {
		var most int64
		for {
			var now int64
			_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					if info, err := d.Info(); err == nil {
						now += info.Size()
					}
				}
				return nil // files come and go while we look
			})
			most = max(most, now)
			select {
			case <-stop:
				result <- most
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return func() int64 { close(stop); return <-result }
}
