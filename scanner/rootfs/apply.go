package rootfs

import (
	"archive/tar"
	"context"
	"path"
	"strings"
)

// Markers of changes, from the image specification.
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// view is a tree while one layer is applied to it.
type view struct {
	root  *node
	layer int
	// marks has whiteouts stay in the tree, for what will be laid over others.
	// Otherwise they remove at once.
	marks bool
	// made are the paths that entries of this layer made, which its opaque
	// markers spare; opaque are the directories that have had theirs.
	made, opaque map[string]struct{}
}

func newView(root *node, layer int, marks bool) *view {
	return &view{root: root, layer: layer, marks: marks, made: map[string]struct{}{}, opaque: map[string]struct{}{}}
}

// often is after how many entries the context is looked at.
const often = 1024

func (v *view) apply(ctx context.Context, l *Layer) error {
	for i, e := range l.entries {
		if i%often == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if reason := v.add(e); reason != "" {
			return &Error{Layer: v.layer, Entry: e.name, Reason: reason}
		}
	}
	return nil
}

// add applies one entry, or says why that cannot be.
func (v *view) add(e entry) (reason string) {
	above, base := path.Split(e.name)
	above, err := v.resolve(above)
	if err != nil {
		return err.Error()
	}
	at := path.Join(above, path.Join("/", base))
	if at == "/" {
		return "" // the root is there
	}
	dir, err := v.directory(above)
	if err != nil {
		return err.Error()
	}
	base = path.Base(at)
	if rest, ok := strings.CutPrefix(base, whiteout); ok {
		return v.remove(dir, above, base, rest)
	}
	if old := dir.children[base]; old != nil && (!old.isDir() || e.kind != tar.TypeDir) {
		delete(dir.children, base)
	}
	if reason := v.create(dir, base, e); reason != "" {
		return reason
	}
	if !v.marks {
		v.made[at] = struct{}{}
	}
	return ""
}

func (v *view) create(dir *node, base string, e entry) (reason string) {
	switch e.kind {
	case tar.TypeXGlobalHeader:
	case tar.TypeLink:
		target, err := v.linked(e.link)
		switch {
		case err != nil:
			return err.Error()
		case target == nil:
			return "is a hard link to a file that is not there"
		case target.isDir():
			return "is a hard link to a directory"
		}
		dir.children[base] = target
	case tar.TypeDir:
		if old := dir.children[base]; old != nil {
			old.file = e.made.file
		} else {
			dir.children[base] = newDirectory(e.made.file)
		}
	default:
		dir.children[base] = e.made
	}
	return ""
}

// remove is what a marker does. Its path is that of dir.
func (v *view) remove(dir *node, at, base, rest string) (reason string) {
	switch {
	case base == opaque && v.marks:
		dir.opaque = true
	case base == opaque:
		if _, again := v.opaque[at]; !again {
			v.opaque[at] = struct{}{}
			v.clear(dir, at)
		}
	case rest == "" || rest == "." || rest == "..":
		return "is a marker of no file"
	case !v.marks:
		delete(dir.children, rest)
	case dir.children[rest] != nil:
		return "takes away a file of its own layer"
	default:
		dir.children[rest] = &node{file: &File{Kind: Character, Layer: v.layer}}
	}
	return ""
}

// clear removes what is in a directory, but for what this layer's entries made.
func (v *view) clear(dir *node, at string) {
	for name, child := range dir.children {
		below := path.Join(at, name)
		if _, ours := v.made[below]; !ours {
			delete(dir.children, name)
		} else if child.isDir() {
			v.clear(child, below)
		}
	}
}

// directory returns the directory of a path without links, and makes it with
// all above it.
func (v *view) directory(at string) (*node, error) {
	n := v.root
	for part := range strings.SplitSeq(at, "/") {
		if part == "" {
			continue
		}
		next := n.children[part]
		switch {
		case next == nil:
			next = newDirectory(implied(v.layer))
			n.children[part] = next
		case !next.isDir():
			return nil, errNotDirectory
		}
		n = next
	}
	return n, nil
}
