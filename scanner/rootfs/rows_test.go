package rootfs

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// row is one way in which a scanner could see another system than runs.
type row struct {
	name   string
	layers [][]byte
	// systems is how many there must be; zero is not asked.
	systems int
	// has must be in each of them, so that a row proves what it is named for.
	has []string
}

type item struct {
	h       tar.Header
	content string
}

func file(name, content string) item {
	return item{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}, content}
}
func dir(name string) item {
	return item{h: tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}}
}
func symlink(name, to string) item {
	return item{h: tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeSymlink, Mode: 0o777}}
}
func hardlink(name, to string) item {
	return item{h: tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeLink, Mode: 0o644}}
}
func device(name string, kind byte, major, minor int64) item {
	return item{h: tar.Header{Name: name, Typeflag: kind, Mode: 0o600, Devmajor: major, Devminor: minor}}
}

func (i item) with(records map[string]string) item { i.h.PAXRecords = records; return i }
func (i item) in(f tar.Format) item                { i.h.Format = f; return i }

// pack writes an archive.
func pack(t *testing.T, items ...item) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, i := range items {
		h := i.h
		h.Size = int64(len(i.content))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatalf("%s: %v", h.Name, err)
		}
		if _, err := w.Write([]byte(i.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// ofType rewrites the type of an archive's first header.
func ofType(archive []byte, kind byte) []byte {
	out := bytes.Clone(archive)
	out[156] = kind
	copy(out[148:156], "        ")
	sum := 0
	for _, b := range out[:512] {
		sum += int(b)
	}
	copy(out[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return out
}

// sparseFile is GNU tar's format 1.0: a map of the data before the data itself.
func sparseFile(t *testing.T, name string) []byte {
	t.Helper()
	data := strings.Repeat("x", 512)
	table := "1\n2048\n512\n"
	i := file("GNUSparseFile.0/"+name, table+strings.Repeat("\x00", 512-len(table))+data).with(map[string]string{
		"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": name, "GNU.sparse.realsize": "4096",
	})
	var buf bytes.Buffer
	// The writer refuses such records, so they are written as an entry of their own.
	var records strings.Builder
	for _, k := range []string{"GNU.sparse.major", "GNU.sparse.minor", "GNU.sparse.name", "GNU.sparse.realsize"} {
		line := " " + k + "=" + i.h.PAXRecords[k] + "\n"
		n := len(line) + 2
		_, _ = fmt.Fprintf(&records, "%d%s", n, line)
	}
	extended := ofType(pack(t, file("PaxHeaders.0/"+name, records.String())), tar.TypeXHeader)
	buf.Write(extended[:1024])
	i.h.PAXRecords = nil
	buf.Write(pack(t, i))
	return buf.Bytes()
}

func rows(t *testing.T) []row {
	t.Helper()
	long := strings.Repeat("long/", 60) + strings.Repeat("n", 200)
	l := func(items ...item) []byte { return pack(t, items...) }
	of := func(layers ...[]byte) [][]byte { return layers }
	return []row{
		// Parents.
		{"a parent without an entry", of(l(file("var/lib/dpkg/status.d/openssh-server", "Package"))), 1, []string{"/var/lib/dpkg/status.d directory", "/var/lib/dpkg/status.d/openssh-server file 7 bytes"}},
		{"a parent with an entry", of(l(dir("var/"), dir("var/lib/"), file("var/lib/x", "1"))), 1, []string{"/var/lib/x file"}},
		{"a parent whose entry comes last", of(l(file("a/b", "1"), dir("a"))), 1, []string{"/a/b file"}},
		{"a parent that is a file", of(l(file("a", "1"), file("a/b", "2"))), 0, nil},
		{"a parent that is a file of a lower layer", of(l(file("a", "1")), l(file("a/b", "2"))), 1, []string{"/a/b file"}},
		{"a parent that is a pipe", of(l(device("a", tar.TypeFifo, 0, 0), file("a/b", "2"))), 0, nil},
		// Whiteouts.
		{"a whiteout of a file", of(l(file("a/x", "1"), file("a/y", "1")), l(file("a/.wh.x", ""))), 1, []string{"/a/y file"}},
		{"a whiteout of a directory", of(l(file("a/b/x", "1"), file("a/y", "1")), l(file("a/.wh.b", ""))), 1, []string{"/a/y file"}},
		{"a whiteout of what is not there", of(l(file("a/x", "1")), l(file("b/.wh.y", ""))), 1, []string{"/b directory"}},
		{"a whiteout in the lowest layer", of(l(file("a", "1"), file(".wh.b", ""))), 1, []string{"/a file"}},
		{"a whiteout of a file of its own lowest layer", of(l(file("a", "1"), file("b", "1"), file(".wh.b", ""))), 1, []string{"/a file"}},
		{"a whiteout, then the file", of(l(file("x", "1")), l(file(".wh.x", ""), file("x", "22"))), 1, []string{"/x file 2 bytes"}},
		{"the file, then its whiteout", of(l(file("x", "1")), l(file("x", "22"), file(".wh.x", ""))), 1, nil},
		{"a whiteout, then a directory", of(l(file("x/old", "1")), l(file(".wh.x", ""), dir("x"), file("x/new", "2"))), 2, []string{"/x/new file"}},
		{"a whiteout, then something below it", of(l(file("x/old", "1")), l(file(".wh.x", ""), file("x/new", "2"))), 1, []string{"/x/new file"}},
		{"a whiteout twice", of(l(file("x", "1")), l(file(".wh.x", ""), file(".wh.x", ""))), 1, nil},
		{"a whiteout that is a directory", of(l(file("x", "1")), l(dir(".wh.x/"))), 1, nil},
		{"a whiteout with content", of(l(file("x", "1")), l(file(".wh.x", "content"))), 1, nil},
		{"a whiteout with a file below it", of(l(file("x", "1")), l(file(".wh.x/y", "2"))), 1, []string{"/.wh.x/y file", "/x file"}},
		{"a whiteout of nothing", of(l(file("a/.wh.", ""))), 0, nil},
		{"a whiteout of its directory", of(l(file("a/.wh..", ""))), 0, nil},
		{"a whiteout of the directory above", of(l(file("a/.wh...", ""))), 0, nil},
		{"a whiteout of a link", of(l(symlink("x", "y"), file("y", "1")), l(file(".wh.x", ""))), 1, []string{"/y file"}},
		{"a whiteout in a linked directory", of(l(file("usr/lib/x", "1"), symlink("lib", "usr/lib")), l(file("lib/.wh.x", ""))), 2, nil},
		{"a whiteout of a whiteout", of(l(file("x", "1")), l(file(".wh.x", "")), l(file("x", "333")), l(file(".wh.x", ""))), 1, nil},
		{"a whiteout of another builder", of(l(file("x", "1")), l(file(".wh..wh.plnk", ""), file(".wh..wh.aufs", ""), file("y", "1"))), 1, []string{"/x file", "/y file"}},
		// Opaque directories.
		{"an opaque directory", of(l(file("a/old", "1")), l(dir("a"), file("a/.wh..wh..opq", ""), file("a/new", "2"))), 1, []string{"/a/new file"}},
		{"an opaque marker that comes last", of(l(file("a/old", "1")), l(dir("a"), file("a/new", "2"), file("a/.wh..wh..opq", ""))), 1, []string{"/a/new file"}},
		{"an opaque marker after a parent without an entry", of(l(file("a/old", "1")), l(file("a/b/new", "2"), file("a/.wh..wh..opq", ""))), 2, nil},
		{"an opaque marker without an entry for its directory", of(l(file("a/old", "1")), l(file("a/.wh..wh..opq", ""), file("a/new", "2"))), 1, []string{"/a/new file"}},
		{"an opaque marker twice", of(l(file("a/old", "1")), l(file("a/.wh..wh..opq", ""), file("a/b/c", "2"), file("a/.wh..wh..opq", ""))), 1, []string{"/a/b/c file"}},
		{"an opaque root", of(l(file("old", "1")), l(file(".wh..wh..opq", ""), file("new", "2"))), 2, []string{"/new file"}},
		{"an opaque directory in the lowest layer", of(l(file("a/x", "1"), file("a/b/c", "1"), file("a/.wh..wh..opq", ""))), 1, []string{"/a/x file"}},
		{"an opaque directory in a linked one", of(l(file("usr/lib/old", "1"), symlink("lib", "usr/lib")), l(file("lib/.wh..wh..opq", ""), file("lib/new", "2"))), 2, nil},
		{"an opaque directory in an opaque directory", of(l(file("a/b/old", "1")), l(dir("a"), dir("a/b"), file("a/b/.wh..wh..opq", ""), file("a/.wh..wh..opq", ""), file("a/b/new", "2"))), 1, []string{"/a/b/new file"}},
		{"what only begins like the opaque marker", of(l(file("a/.wh..opqx", "1"), file("a/old", "1")), l(file("a/.wh..wh..opqx", ""))), 1, []string{"/a/old file"}},
		// Links.
		{"a hard link", of(l(file("a", "1"), hardlink("d/b", "a"))), 1, []string{"/d/b file 1 bytes"}},
		{"a hard link with an absolute name", of(l(file("d/a", "1"), hardlink("b", "/d/a"))), 1, []string{"/b file"}},
		{"a hard link to a file that comes later", of(l(hardlink("b", "a"), file("a", "1"))), 0, nil},
		{"a hard link to a file of a lower layer", of(l(file("a", "1")), l(hardlink("b", "a"))), 1, []string{"/b file 1 bytes"}},
		{"a hard link to a file of a lower layer that is gone", of(l(file("a", "1")), l(file(".wh.a", ""), hardlink("b", "a"))), 1, nil},
		{"a hard link to a symbolic link", of(l(file("a", "1"), symlink("s", "a"), hardlink("b", "s"))), 1, []string{"/b link a"}},
		{"a hard link through a symbolic link", of(l(file("d/a", "1"), symlink("s", "d"), hardlink("b", "s/a"))), 1, []string{"/b file"}},
		{"a hard link to a directory", of(l(dir("d"), hardlink("b", "d"))), 0, nil},
		{"a hard link to itself", of(l(file("a", "1"), hardlink("a", "a"))), 0, nil},
		{"a hard link that leaves the root", of(l(file("etc/passwd", "1"), hardlink("b", "../../../etc/passwd"))), 1, []string{"/b file"}},
		{"a hard link with dots at its end", of(l(file("d/a", "1"), hardlink("b", "d/.."))), 0, nil},
		{"a hard link with dots in its middle", of(l(file("d/e/a", "1"), file("f/a", "22"), symlink("s", "d/e"), hardlink("b", "s/../a"), file("d/a", "333"))), 0, nil},
		{"a hard link with dots behind a symbolic link", of(l(file("d/e/x", "1"), file("d/a", "333"), file("a", "1"), symlink("s", "d/e"), hardlink("b", "s/../a"))), 1, []string{"/b file"}},
		{"a hard link to a device", of(l(device("n", tar.TypeChar, 1, 3), hardlink("b", "n"))), 1, []string{"/b character"}},
		{"a hard link with a size", of(l(file("a", "1"), item{tar.Header{Name: "b", Linkname: "a", Typeflag: tar.TypeLink}, ""}, file("c", "1"))), 1, []string{"/c file"}},
		{"a file replaced whose other name stays", of(l(file("a", "1"), hardlink("b", "a")), l(file("a", "22"))), 1, []string{"/a file 2 bytes", "/b file 1 bytes"}},
		{"a parent that is a link", of(l(dir("usr/lib"), symlink("lib", "usr/lib"), file("lib/x", "1"))), 1, []string{"/usr/lib/x file", "/lib link"}},
		{"a parent that is a link of a lower layer", of(l(file("usr/lib/old", "1"), symlink("lib", "usr/lib")), l(file("lib/x", "1"))), 2, nil},
		{"a parent that is a link, with an entry for it", of(l(file("usr/lib/old", "1"), symlink("lib", "usr/lib")), l(dir("lib"), file("lib/x", "1"))), 1, []string{"/lib/x file", "/lib directory", "/usr/lib/old file"}},
		{"a parent that is a dead link", of(l(symlink("lib", "usr/lib"), file("lib/x", "1"))), 1, []string{"/usr/lib/x file"}},
		{"a parent that is an absolute link", of(l(symlink("a", "/nowhere/here"), file("a/x", "1"))), 1, []string{"/nowhere/here/x file"}},
		{"a parent that is a link out of the root", of(l(symlink("a", "../../../../tmp"), file("a/x", "1"))), 1, []string{"/tmp/x file"}},
		{"a parent that is a link to itself", of(l(symlink("a", "a"), file("a/x", "1"))), 0, nil},
		{"parents that are links in a circle", of(l(symlink("a", "b"), symlink("b", "a"), file("a/x", "1"))), 0, nil},
		{"a link to a link", of(l(symlink("a", "b/c"), symlink("b", "d"), file("d/c/y", "1"), file("a/x", "1"))), 1, []string{"/d/c/x file"}},
		{"a link through an absolute link", of(l(symlink("a", "b/c"), symlink("b", "/imagegate-test-nowhere"), file("imagegate-test-nowhere/c/y", "1"), file("a/e/x", "1"))), 1, []string{"/imagegate-test-nowhere/c/e/x file"}},
		{"a link with dots", of(l(symlink("d/a", "../e/./f"), file("d/a/x", "1"))), 1, []string{"/e/f/x file"}},
		{"a link with dots behind a link", of(l(file("p/q/r", "1"), symlink("s", "p/q"), symlink("a", "s/../t"), file("a/x", "1"))), 1, nil},
		{"a nested link with dots behind a link", of(l(file("p/q/r", "1"), symlink("n/s", "/p/q"), symlink("n/a", "s/../t"), file("n/a/x", "1"))), 1, nil},
		{"a link to nothing", of(l(item{h: tar.Header{Name: "a", Typeflag: tar.TypeSymlink}})), 0, nil},
		{"a link to a file, with a file below it", of(l(file("f", "1"), symlink("a", "f"), file("a/x", "1"))), 0, nil},
		// Replacement.
		{"a file twice in one layer", of(l(file("a", "1"), file("a", "22"))), 1, []string{"/a file 2 bytes"}},
		{"a file, then a directory", of(l(file("a", "1"), dir("a"), file("a/b", "1"))), 1, []string{"/a/b file"}},
		{"a directory, then a file", of(l(file("a/b", "1"), file("a", "22"))), 1, []string{"/a file 2 bytes"}},
		{"a file, then a link", of(l(file("a", "1"), file("b", "22"), symlink("a", "b"))), 1, []string{"/a link b"}},
		{"a link, then a file", of(l(file("b", "22"), symlink("a", "b"), file("a", "1"))), 1, []string{"/a file 1 bytes", "/b file 2 bytes"}},
		{"a link to a directory, then a directory", of(l(file("b/x", "1"), symlink("a", "b"), dir("a"), file("a/y", "1"))), 1, []string{"/a/y file", "/b/x file"}},
		{"a directory twice", of(l(dir("a"), file("a/b", "1"), dir("a/"))), 1, []string{"/a/b file"}},
		{"a directory of a lower layer", of(l(file("a/b", "1")), l(dir("a"), file("a/c", "1"))), 1, []string{"/a/b file", "/a/c file"}},
		{"a file in place of a lower directory", of(l(file("a/b", "1")), l(file("a", "22"))), 1, []string{"/a file"}},
		{"a directory in place of a lower file", of(l(file("a", "1")), l(dir("a"), file("a/b", "1"))), 1, []string{"/a/b file"}},
		{"a link in place of a lower directory", of(l(file("a/b", "1"), file("c/d", "1")), l(symlink("a", "c"))), 1, []string{"/a link c", "/c/d file"}},
		{"a file, a directory and a file", of(l(file("a", "1")), l(file("a/b", "1"), dir("a")), l(file("a", "333"))), 0, nil},
		{"a directory, a file and a directory", of(l(file("a/old", "1")), l(file("a", "1")), l(dir("a"), file("a/new", "1"))), 1, []string{"/a/new file"}},
		// Names.
		{"names that differ in case", of(l(file("A/x", "1"), file("a/X", "22")), l(file("a/x", "333"), file("A/.wh.x", ""))), 1, []string{"/A directory", "/a/X file", "/a/x file"}},
		{"a directory with trailing slashes", of(l(dir("a///"), file("a//b", "1"))), 1, []string{"/a/b file"}},
		{"a file with a trailing slash", of(ofType(l(dir("a/")), tar.TypeReg)), 1, []string{"/a file 0 bytes"}},
		{"a name that begins with a dot", of(l(dir("./"), file("./a/./b", "1"))), 1, []string{"/a/b file"}},
		{"an absolute name", of(l(file("/a/b", "1"), file("//c", "1"))), 1, []string{"/a/b file", "/c file"}},
		{"a name that leaves the root", of(l(file("../../a", "1"), file("b/../../../c", "1"), file("d/../e", "1"))), 1, []string{"/a file", "/c file", "/e file"}},
		{"a name with dots behind a link", of(l(file("p/q/r", "1"), symlink("s", "p/q"), file("s/../x", "1"))), 1, []string{"/x file"}},
		{"the root as an entry", of(l(dir("./"), dir("/"), file("..", "1"), file(".", "1"), file("a", "1"))), 1, []string{"/a file"}},
		{"odd characters", of(l(file(" a ", "1"), file("b\\c", "1"), file("d\ne", "1"), file("*?[", "1"), file("\u00fc", "1"), file("u\u0308", "1"))), 1, nil},
		{"PAX names", of(l(file(long, "1").in(tar.FormatPAX), symlink("s", long).in(tar.FormatPAX), hardlink("h", long).in(tar.FormatPAX))), 1, []string{"/h file", "/" + long + " file"}},
		{"GNU long names", of(l(file(long, "1").in(tar.FormatGNU), symlink("s", long).in(tar.FormatGNU), hardlink("h", long).in(tar.FormatGNU))), 1, []string{"/h file", "/" + long + " file"}},
		{"PAX attributes", of(l(file("a", "1").with(map[string]string{"SCHILY.xattr.user.test": "x", "comment": "y"}))), 1, []string{"/a file"}},
		{"a global header", of(l(file("pax_global_header", "1"), file("a", "1")), ofType(l(file("pax_global_header", "13 comment=x\n"), file("b", "1")), tar.TypeXGlobalHeader)), 0, nil},
		{"a name that is too long", of(l(file(strings.Repeat("n", 256), "1"))), 0, nil},
		{"a path that is too long", of(l(file(strings.Repeat("n/", 2100)+"n", "1"))), 0, nil},
		// Kinds.
		{"devices and pipes", of(l(device("c", tar.TypeChar, 1, 3), device("b", tar.TypeBlock, 8, 0), device("p", tar.TypeFifo, 0, 0))), 1, []string{"/c character", "/b block", "/p pipe"}},
		{"a device in place of a file", of(l(file("a", "1")), l(device("a", tar.TypeChar, 1, 3))), 1, []string{"/a character"}},
		{"a device that overlayfs takes for a whiteout", of(l(file("a", "1"), file("b", "1")), l(device("a", tar.TypeChar, 0, 0))), 2, []string{"/b file"}},
		{"such a device in the lowest layer", of(l(device("a", tar.TypeChar, 0, 0), file("b", "1")), l(file("c", "1"))), 2, []string{"/b file"}},
		{"a sparse file", of(sparseFile(t, "sparse")), 1, []string{"/sparse file 4096 bytes"}},
		{"a sparse file of the old kind", of(ofType(l(file("a", "")), tar.TypeGNUSparse)), 0, nil},
		{"a type nobody knows", of(ofType(l(file("a", "1")), '7')), 0, nil},
		{"the type of before POSIX", of(ofType(l(file("a", "1")), 0)), 1, []string{"/a file 1 bytes"}},
		{"data behind the end", of(append(l(file("a", "1")), l(file("b", "1"))...)), 1, []string{"/a file"}},
		{"nothing at all", of(nil, l(file("a", "1")), nil), 1, []string{"/a file"}},
		{"no layer", of(), 1, nil},
		{"three layers", of(
			l(dir("etc"), file("etc/a", "1"), file("usr/b", "1"), file("opt/c/d", "1")),
			l(file("etc/.wh.a", ""), dir("opt"), file("opt/.wh..wh..opq", ""), file("opt/e", "1")),
			l(file("etc/a", "22"), file("opt/c/f", "1"))), 1, []string{"/etc/a file 2 bytes", "/opt/c/f file", "/opt/e file", "/usr/b file"}},
	}
}
