// Package rootfs makes the file system that a container runtime would make of an
// image's layers, without writing it: a tree of names whose files still lie in
// the layers' archives.
//
// A scanner that reads the archives in its own way sees another image than the
// one that runs. containerd's way (pkg/archive, and overlayfs below it) is
// followed here to its oddities: what a layer's entries mean depends on what is
// there when they are applied. There are two such file systems, because there
// are two kinds of snapshots. With overlayfs a layer is unpacked by itself and
// laid over those below it; otherwise it is unpacked on top of them. They differ
// where a layer's paths go through links of a lower one, and in a few orders of
// markers. Make gives both when they differ.
package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"time"
)

// Kind is what a name stands for.
type Kind uint8

// Kinds of files. Hard links are not among them: each name is the file.
const (
	Regular Kind = iota
	Directory
	Symlink
	Character
	Block
	Pipe
)

// File is one file of the system.
type File struct {
	Kind     Kind
	Mode     fs.FileMode // with the bits of the kind
	UID, GID int
	ModTime  time.Time
	// Link is where a symbolic link points, as written.
	Link string
	// Layer is the index of the layer that the file is from.
	Layer int
	// Content is set for regular files.
	Content Content

	major, minor int64
}

// Content is a part of a file on disk.
type Content struct {
	From         *os.File
	Offset, Size int64
}

// Error says that a runtime cannot unpack the layers.
type Error struct {
	Layer int
	// Entry is the name in the archive; it is a stranger's.
	Entry  string
	Reason string
}

// Error is one sentence.
func (e *Error) Error() string {
	return fmt.Sprintf("layer %d cannot be unpacked: %.200q %s", e.Layer, e.Entry, e.Reason)
}

// Tree is a file system.
type Tree struct{ root *node }

// node is one name. What is no directory may have several names in several
// trees, and is never changed.
type node struct {
	file     *File
	children map[string]*node // of a directory
	// opaque directories hide what lower layers have in them.
	opaque bool
}

func newDirectory(f *File) *node { return &node{file: f, children: map[string]*node{}} }

func (n *node) isDir() bool { return n.file.Kind == Directory }

// isWhiteout is how overlayfs marks a name that is gone. An archive may hold
// such a device too, and has the same effect.
func (n *node) isWhiteout() bool {
	return n.file.Kind == Character && n.file.major == 0 && n.file.minor == 0
}

func emptyRoot() *node { return newDirectory(implied(0)) }

// implied is a directory that no entry describes.
func implied(layer int) *File {
	return &File{Kind: Directory, Mode: fs.ModeDir | 0o755, Layer: layer}
}

// Walk visits all files but the root, a directory before what is in it, in the
// order of their names. Paths begin with a slash.
func (t *Tree) Walk(visit func(at string, f *File) error) error {
	return walk("/", t.root, visit)
}

func walk(dir string, n *node, visit func(string, *File) error) error {
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		child := n.children[name]
		at := path.Join(dir, name)
		if err := visit(at, child.file); err != nil {
			return err
		}
		if child.isDir() {
			if err := walk(at, child, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

// Make applies layers, the lowest first, and returns the file systems that they
// become with one runtime or another: one, or two when those differ. It is an
// *Error when there is none.
func Make(ctx context.Context, layers []*Layer) ([]*Tree, error) {
	stacked, overErr := overlay(ctx, layers)
	direct, directErr := onTop(ctx, layers)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case overErr != nil && directErr != nil:
		return nil, overErr
	case overErr != nil:
		return []*Tree{{direct}}, nil //nolint:nilerr // one runtime unpacks it, the other does not
	case directErr != nil || same(stacked, direct):
		return []*Tree{{stacked}}, nil //nolint:nilerr // one runtime unpacks it, and the other alike or not at all
	default:
		return []*Tree{{stacked}, {direct}}, nil
	}
}

// onTop unpacks each layer where the others have been unpacked.
func onTop(ctx context.Context, layers []*Layer) (*node, error) {
	root := emptyRoot()
	for i, l := range layers {
		if err := newView(root, i, false).apply(ctx, l); err != nil {
			return nil, err
		}
	}
	return root, nil
}

// overlay unpacks each layer by itself and lays it over the others. The lowest
// one has nothing below it, so it is unpacked in the ordinary way.
func overlay(ctx context.Context, layers []*Layer) (*node, error) {
	root := emptyRoot()
	for i, l := range layers {
		upper := emptyRoot()
		if err := newView(upper, i, i > 0).apply(ctx, l); err != nil {
			return nil, err
		}
		lay(root, upper)
	}
	return root, nil
}

// lay merges a layer into what is below it, as overlayfs shows them. The mark of
// opacity means nothing on the root itself.
func lay(lower, upper *node) {
	for name, above := range upper.children {
		switch below := lower.children[name]; {
		case above.isWhiteout():
			delete(lower.children, name)
		case !above.isDir():
			lower.children[name] = above
		case below != nil && below.isDir() && !above.opaque:
			below.file = above.file
			lay(below, above)
		default:
			clean := newDirectory(above.file)
			lay(clean, above)
			lower.children[name] = clean
		}
	}
}

// same compares two trees by what a scanner sees of them.
func same(a, b *node) bool {
	if a == b {
		return true
	}
	if a.file.Kind != b.file.Kind || a.file.Link != b.file.Link || a.file.Content != b.file.Content || len(a.children) != len(b.children) {
		return false
	}
	for name, child := range a.children {
		other, ok := b.children[name]
		if !ok || !same(child, other) {
			return false
		}
	}
	return true
}

// Why an entry cannot be unpacked.
var (
	errNotDirectory = errors.New("goes through a file that is no directory")
	errTooManyLinks = errors.New("goes through too many symbolic links")
)
