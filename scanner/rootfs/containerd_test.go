package rootfs

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/archive"
	"golang.org/x/sys/unix"
)

// system is a file system as a scanner sees it: what is at each path.
type system []string

func (s system) String() string { return strings.Join(s, "\n") }

func described(at, kind, rest string) string { return strings.TrimSpace(at + " " + kind + " " + rest) }

// ofTree describes what was made here.
func ofTree(t *testing.T, tree *Tree) system {
	t.Helper()
	var out system
	err := tree.Walk(func(at string, f *File) error {
		switch f.Kind {
		case Regular:
			h := sha256.New()
			if _, err := io.Copy(h, io.NewSectionReader(f.Content.From, f.Content.Offset, f.Content.Size)); err != nil {
				return err
			}
			out = append(out, described(at, "file", fmt.Sprintf("%d bytes %.4x", f.Content.Size, h.Sum(nil))))
		case Directory:
			out = append(out, described(at, "directory", ""))
		case Symlink:
			out = append(out, described(at, "link", f.Link))
		case Character:
			out = append(out, described(at, "character", ""))
		case Block:
			out = append(out, described(at, "block", ""))
		case Pipe:
			out = append(out, described(at, "pipe", ""))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// ofDisk describes a directory.
func ofDisk(t *testing.T, root string) system {
	t.Helper()
	var out system
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		at := strings.TrimPrefix(p, root)
		// Where a directory has nothing below it, overlayfs lists the whiteouts in
		// it but does not have them.
		if _, err := os.Lstat(p); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		switch mode := d.Type(); {
		case mode.IsRegular():
			content, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			sum := sha256.Sum256(content)
			out = append(out, described(at, "file", fmt.Sprintf("%d bytes %.4x", len(content), sum[:])))
		case mode.IsDir():
			out = append(out, described(at, "directory", ""))
		case mode&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			out = append(out, described(at, "link", target))
		case mode&fs.ModeCharDevice != 0:
			out = append(out, described(at, "character", ""))
		case mode&fs.ModeDevice != 0:
			out = append(out, described(at, "block", ""))
		case mode&fs.ModeNamedPipe != 0:
			out = append(out, described(at, "pipe", ""))
		default:
			return fmt.Errorf("%s is of mode %s", at, mode)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// containerdOnTop has containerd unpack the layers one after the other into one
// directory, as for snapshots without overlayfs.
func containerdOnTop(t *testing.T, layers [][]byte) (system, error) {
	t.Helper()
	root := t.TempDir()
	for _, l := range layers {
		if _, err := archive.Apply(t.Context(), root, bytes.NewReader(l)); err != nil {
			return nil, err
		}
	}
	return ofDisk(t, root), nil
}

// containerdOverlay has containerd unpack each layer into a directory of its own,
// as for snapshots with overlayfs, and the kernel lay them over each other.
func containerdOverlay(t *testing.T, layers [][]byte) (system, error) {
	t.Helper()
	dirs := []string{plainDir(t)} // a mount wants two directories at least
	for i, l := range layers {
		dir := plainDir(t)
		var opts []archive.ApplyOpt
		if i > 0 {
			opts = append(opts, archive.WithConvertWhiteout(archive.OverlayConvertWhiteout), archive.WithParents(dirs[:len(dirs)-1]))
		}
		if _, err := archive.Apply(t.Context(), dir, bytes.NewReader(l), opts...); err != nil {
			return nil, err
		}
		dirs = append([]string{dir}, dirs...) // the uppermost first
	}
	if len(layers) == 0 {
		return nil, nil
	}
	root := plainDir(t)
	if err := unix.Mount("overlay", root, "overlay", unix.MS_RDONLY, "lowerdir="+strings.Join(dirs, ":")); err != nil {
		t.Fatalf("mount an overlay: %v", err)
	}
	defer func() {
		if err := unix.Unmount(root, 0); err != nil {
			t.Error(err)
		}
	}()
	return ofDisk(t, root), nil
}

// plainDir is a directory whose path may stand among a mount's options: that of
// T.TempDir has the test's name in it.
func plainDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rootfs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// needPrivileges skips, and says so, where containerd itself could not unpack.
func needPrivileges(t *testing.T) {
	t.Helper()
	if err := unix.Mknod(filepath.Join(t.TempDir(), "device"), unix.S_IFCHR, 0); err != nil {
		t.Skipf("SKIPPED: containerd's own code can only be compared with where devices can be made, as root: %v", err)
	}
	top := plainDir(t)
	if err := unix.Mount("overlay", top, "overlay", unix.MS_RDONLY, "lowerdir="+plainDir(t)+":"+plainDir(t)); err != nil {
		t.Skipf("SKIPPED: containerd's own code can only be compared with where overlays can be mounted: %v", err)
	}
	if err := unix.Unmount(top, 0); err != nil {
		t.Fatal(err)
	}
}

// made is what Make makes of archives.
func made(t *testing.T, archives [][]byte) ([]system, error) {
	t.Helper()
	var layers []*Layer
	for i, a := range archives {
		l, err := Read(t.Context(), onDisk(t, a), i, func(int64) (*os.File, error) { return onDisk(t, nil), nil })
		if err != nil {
			return nil, err
		}
		layers = append(layers, l)
	}
	trees, err := Make(t.Context(), layers)
	if err != nil {
		return nil, err
	}
	var out []system
	for _, tree := range trees {
		out = append(out, ofTree(t, tree))
	}
	return out, nil
}

func onDisk(t *testing.T, content []byte) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "layer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return f
}

// What the scanner sees is what containerd's own code makes of the same layers,
// row by row: with overlayfs, and without it. Rows of which the two differ give
// both; rows that neither can unpack give an error.
func TestSameFilesAsContainerd(t *testing.T) {
	needPrivileges(t)
	for _, row := range rows(t) {
		t.Run(row.name, func(t *testing.T) {
			over, overErr := containerdOverlay(t, row.layers)
			direct, directErr := containerdOnTop(t, row.layers)
			var want []system
			if overErr == nil {
				want = append(want, over)
			}
			if directErr == nil && (overErr != nil || over.String() != direct.String()) {
				want = append(want, direct)
			}
			got, err := made(t, row.layers)
			var refused *Error
			switch {
			case len(want) == 0:
				if !errors.As(err, &refused) && !errors.Is(err, tar.ErrHeader) {
					t.Errorf("containerd says %v and %v; here it is %v %v", overErr, directErr, got, err)
				}
				return
			case err != nil:
				t.Fatalf("%v; containerd makes\n%v\n(%v, %v)", err, want, overErr, directErr)
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("the scanner sees\n%v\n\ncontainerd makes\n%v\n(%v, %v)", got, want, overErr, directErr)
			}
			if len(got) != row.systems && row.systems != 0 {
				t.Errorf("%d systems, want %d", len(got), row.systems)
			}
			for _, s := range got {
				for _, sign := range row.has {
					if !strings.Contains("\n"+s.String()+"\n", "\n"+sign) {
						t.Errorf("there is no %q in\n%s", sign, s)
					}
				}
			}
		})
	}
}

func TestMakingEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(ctx, onDisk(t, pack(t, file("a", "1"))), 0, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	l, err := Read(t.Context(), onDisk(t, pack(t, file("a", "1"))), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Make(ctx, []*Layer{l}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
