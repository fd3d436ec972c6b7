package documents

import (
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/imagegate/imagegate/"

// layers are the rows of one table of ARCHITECTURE.md, from the top.
type layers [][]string

// of is the row that a package is in, by the longest name that it is or is below, and
// that name; -1 where it is in none.
func (l layers) of(pkg string) (row int, name string) {
	row = -1
	for i, names := range l {
		for _, n := range names {
			if (pkg == n || strings.HasPrefix(pkg, n+"/")) && len(n) > len(name) {
				row, name = i, n
			}
		}
	}
	return row, name
}

// drawn are the tables of imports by the folder that each is about.
func drawn(t *testing.T) map[string]layers {
	t.Helper()
	_, text, ok := strings.Cut(document(t, "ARCHITECTURE.md"), "\n## Imports\n")
	if !ok {
		t.Fatal("ARCHITECTURE.md has no section Imports")
	}
	all := map[string]layers{}
	for _, table := range Tables(text) {
		var l layers
		for _, row := range table[1:] {
			l = append(l, CodeSpans(row[0]))
		}
		all[l[0][0]] = l
	}
	return all
}

// imports are those of imagegate's own packages among themselves.
func imports(t *testing.T, folder string) map[string][]string {
	t.Helper()
	files, err := Sources(Root, false, folder)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for name, text := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		pkg := path.Dir(name)
		all[pkg] = append(all[pkg], []string{}...)
		for _, spec := range f.Imports {
			to, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if own, ok := strings.CutPrefix(to, module); ok && !slices.Contains(all[pkg], own) {
				all[pkg] = append(all[pkg], own)
			}
		}
	}
	return all
}

func TestImportsGoOneWay(t *testing.T) {
	t.Parallel()
	all := drawn(t)
	for _, folder := range []string{"provider", "mutator", "scanner"} {
		l, ok := all[folder]
		if !ok {
			t.Errorf("ARCHITECTURE.md has no table that begins with %s", folder)
			continue
		}
		code := imports(t, folder)
		if len(code) < 4 {
			t.Errorf("%d packages found in %s", len(code), folder)
		}
		used := map[string]bool{}
		for pkg, others := range code {
			from, name := l.of(pkg)
			used[name] = true
			if from < 0 || name == folder && pkg != folder {
				t.Errorf("%s is in no row of ARCHITECTURE.md", pkg)
				continue
			}
			for _, other := range others {
				to, otherName := l.of(other)
				used[otherName] = true
				switch {
				case to < 0 || otherName == folder:
					t.Errorf("%s imports %s, which the table of %s does not have", pkg, other, folder)
				case to <= from && otherName != name:
					t.Errorf("%s imports %s, which is not below it", pkg, other)
				}
			}
		}
		for _, row := range l {
			for _, name := range row {
				if !used[name] {
					t.Errorf("ARCHITECTURE.md: nothing of %s uses %s", folder, name)
				}
			}
		}
	}
}
