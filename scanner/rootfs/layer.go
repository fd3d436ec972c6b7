package rootfs

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"strings"
)

// Layer is what the archive of a layer says, without the files' contents.
type Layer struct{ entries []entry }

// entry is one header. What it makes is made once, whatever tree it goes into.
type entry struct {
	name string // clean
	kind byte   // of package tar
	link string
	made *node // nil for links and for what makes nothing
}

// Linux' limits: nothing longer can be unpacked.
const (
	maxPath = 4095
	maxName = 255
)

// MaxEntries is how many entries a layer may have. The largest real ones have
// some hundred thousand; each takes half a KiB of memory.
const MaxEntries = 1_000_000

// ErrTooManyEntries is in the chain of Read's error for a layer with more.
var ErrTooManyEntries = errors.New("the layer has too many entries")

// What a layer may not set: overlayfs reads its marks from there.
var overlayMarks = []string{"SCHILY.xattr.trusted.overlay.", "SCHILY.xattr.user.overlay."}

// sparse begins the records of files whose holes are left out of the archive.
const sparse = "GNU.sparse."

// Read reads the archive of layer number index. Contents stay in the file, which
// must stay open, but for those of sparse files: spill is asked for a file to
// write so many bytes of content to, and may refuse. It is an *Error when no
// runtime unpacks such an archive; errors of the archive itself are package
// tar's.
func Read(ctx context.Context, from *os.File, index int, spill func(size int64) (*os.File, error)) (*Layer, error) {
	l := &Layer{}
	r := tar.NewReader(from)
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return l, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read layer %d: %w", index, err)
		}
		if len(l.entries) >= MaxEntries {
			return nil, fmt.Errorf("read layer %d: %w", index, ErrTooManyEntries)
		}
		e, reason := newEntry(h, index)
		if reason != "" {
			return nil, &Error{Layer: index, Entry: h.Name, Reason: reason}
		}
		if h.Typeflag == tar.TypeReg {
			content, err := contentOf(from, r, h, spill)
			if err != nil {
				return nil, fmt.Errorf("read layer %d: %w", index, err)
			}
			e.made.file.Content = content
		}
		l.entries = append(l.entries, e)
	}
}

// contentOf says where the bytes of a file are. The reader stands behind its
// header.
func contentOf(from *os.File, r *tar.Reader, h *tar.Header, spill func(int64) (*os.File, error)) (Content, error) {
	for key := range h.PAXRecords {
		if !strings.HasPrefix(key, sparse) {
			continue
		}
		to, err := spill(h.Size)
		if err != nil {
			return Content{}, err
		}
		at, err := to.Seek(0, io.SeekEnd)
		if err != nil {
			return Content{}, err
		}
		n, err := io.Copy(to, r)
		return Content{From: to, Offset: at, Size: n}, err
	}
	at, err := from.Seek(0, io.SeekCurrent)
	return Content{From: from, Offset: at, Size: h.Size}, err
}

// newEntry keeps of a header what matters, or says why nothing can be made of
// it.
func newEntry(h *tar.Header, layer int) (e entry, reason string) {
	if reason := unfit(h); reason != "" {
		return entry{}, reason
	}
	e = entry{name: path.Clean(h.Name), kind: h.Typeflag, link: h.Linkname}
	f := &File{Mode: h.FileInfo().Mode(), UID: h.Uid, GID: h.Gid, ModTime: h.ModTime, Layer: layer}
	switch h.Typeflag {
	case tar.TypeReg:
		f.Kind = Regular
	case tar.TypeDir:
		f.Kind = Directory
	case tar.TypeSymlink:
		f.Kind, f.Link = Symlink, h.Linkname
	case tar.TypeChar:
		f.Kind, f.major, f.minor = Character, h.Devmajor, h.Devminor
	case tar.TypeBlock:
		f.Kind, f.major, f.minor = Block, h.Devmajor, h.Devminor
	case tar.TypeFifo:
		f.Kind = Pipe
	case tar.TypeLink, tar.TypeXGlobalHeader:
		return e, ""
	default:
		return entry{}, fmt.Sprintf("is of a type that runtimes do not know (%d)", h.Typeflag)
	}
	e.made = &node{file: f}
	return e, ""
}

func unfit(h *tar.Header) string {
	if len(h.Name) > maxPath || len(h.Linkname) > maxPath {
		return "has a path that is too long"
	}
	for part := range strings.SplitSeq(h.Name, "/") {
		if len(part) > maxName {
			return "has a name that is too long"
		}
	}
	switch h.Typeflag {
	case tar.TypeSymlink:
		if h.Linkname == "" {
			return "is a symbolic link to nothing"
		}
	case tar.TypeChar, tar.TypeBlock:
		if h.Devmajor < 0 || h.Devmajor > math.MaxUint32 || h.Devminor < 0 || h.Devminor > math.MaxUint32 {
			return "is a device whose number is out of range"
		}
	}
	for key := range h.PAXRecords {
		for _, mark := range overlayMarks {
			if strings.HasPrefix(key, mark) {
				return "sets attributes that only overlayfs itself may set"
			}
		}
	}
	return ""
}
