package rootfs

import (
	"path"
	"strings"
)

const (
	// maxLinks is how many links containerd follows in a path, maxKernelLinks how
	// many the kernel does.
	maxLinks       = 255
	maxKernelLinks = 40
)

// resolve follows the symbolic links in a directory's path without leaving the
// root, and returns a clean path that has none. What is not there is not a link.
func (v *view) resolve(dir string) (string, error) {
	if dir == "" {
		return "/", nil
	}
	if at, ok := v.plain(dir); ok {
		return at, nil
	}
	links := 0
	for {
		before := links
		next, err := v.follow(dir, &links)
		if err != nil {
			return "", err
		}
		if links == before {
			// What stays as it is is found; what only had to be cleaned may have
			// links once more.
			if clean := path.Join("/", next); clean != next {
				dir = clean
				continue
			}
			return next, nil
		}
		dir = next
	}
}

// plain resolves what has nothing to resolve, which is nearly every path.
func (v *view) plain(dir string) (string, bool) {
	at := path.Join("/", dir)
	if strings.Contains(dir, "..") {
		return "", false
	}
	n := v.root
	for part := range strings.SplitSeq(at, "/") {
		if part == "" {
			continue
		}
		if n = n.children[part]; n == nil {
			return at, true
		}
		if !n.isDir() {
			return "", false
		}
	}
	return at, true
}

// follow replaces the links in a path, from its beginning, each once: what they
// point to may hold more. The rules, also those for "..", are containerd's.
func (v *view) follow(p string, links *int) (string, error) {
	dir, base := path.Split(p)
	switch {
	case dir == "":
		next, _, err := v.link(base, links)
		return next, err
	case base == "" && dir == "/":
		return dir, nil
	case base == "":
		return v.follow(strings.TrimSuffix(dir, "/"), links)
	}
	dir, err := v.follow(dir, links)
	if err != nil {
		return "", err
	}
	next, isLink, err := v.link(path.Join(dir, base), links)
	if err != nil || !isLink || path.IsAbs(next) {
		return next, err
	}
	return path.Join(dir, next), nil
}

// link returns where a link points, or the path itself, clean, when it is none.
func (v *view) link(p string, links *int) (target string, isLink bool, err error) {
	if *links > maxLinks {
		return "", false, errTooManyLinks
	}
	p = path.Join("/", p)
	n, err := v.look(p)
	if err != nil || n == nil || n.file.Kind != Symlink {
		return p, false, err
	}
	*links++
	return n.file.Link, true, nil
}

// look finds what has a path, as lstat does: links before the last part are
// followed, the last is not. It is nil when nothing is there. A link that leads
// out of the root leads, for a runtime, into the node, where nothing of this
// path is.
func (v *view) look(p string) (*node, error) {
	at := []*node{v.root}
	rest := strings.Split(strings.Trim(p, "/"), "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if len(at) == 1 {
				return nil, nil
			}
			at = at[:len(at)-1]
			continue
		}
		here := at[len(at)-1]
		if !here.isDir() {
			return nil, errNotDirectory
		}
		next := here.children[part]
		switch {
		case next == nil:
			return nil, nil
		case next.file.Kind == Symlink && len(rest) > 0:
			if links++; links > maxKernelLinks {
				return nil, errTooManyLinks
			}
			if path.IsAbs(next.file.Link) {
				return nil, nil
			}
			rest = append(strings.Split(next.file.Link, "/"), rest...)
		default:
			at = append(at, next)
		}
	}
	return at[len(at)-1], nil
}

// linked finds what a hard link names. The name is not cleaned before its links
// are followed.
func (v *view) linked(name string) (*node, error) {
	dir, base := path.Split(name)
	dir, err := v.resolve(dir)
	if err != nil {
		return nil, err
	}
	return v.look(path.Join(dir, base))
}
