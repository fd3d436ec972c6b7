package review

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadTree(t *testing.T) {
	dir := t.TempDir()
	const pod = "{apiVersion: v1, kind: Pod, metadata: {name: a}}"
	for name, content := range map[string]string{
		"a.yaml": pod, "b.yml": pod, "c.json": `{"apiVersion":"v1","kind":"Pod"}`,
		"notes.txt": "hello", "values.yaml": "a: b", "list.yaml": "- 1", "empty.yaml": "",
		"below/d.yaml": pod, ".hidden/e.yaml": pod,
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	// A mounted ConfigMap has its files as links into a hidden directory.
	if err := os.Symlink(filepath.Join(dir, ".hidden", "e.yaml"), filepath.Join(dir, "e.yaml")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, dir + "/", link} {
		docs, err := readTree(path)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range docs {
			rel, err := filepath.Rel(path, d.source)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, rel)
		}
		if s := strings.Join(got, " "); s != "a.yaml b.yml below/d.yaml c.json e.yaml" {
			t.Errorf("%s: got %s", path, s)
		}
	}
	if _, err := readTree(filepath.Join(dir, "values.yaml")); err == nil || !strings.Contains(err.Error(), "field apiVersion is missing") {
		t.Errorf("a file that is named must hold objects: got %v", err)
	}
}

func TestReadFileIsBounded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, maxFile+1); err != nil {
		t.Fatal(err)
	}
	if _, err := readFile(file, nil); err == nil || !strings.Contains(err.Error(), "over the limit") {
		t.Errorf("got %v", err)
	}
	if _, err := readFile(stdinName, nil); err == nil || !strings.Contains(err.Error(), "standard input") {
		t.Errorf("got %v", err)
	}
}

// Whatever is read, the answer is objects or an error.
func FuzzParseObjects(f *testing.F) {
	for _, seed := range []string{
		"", "a: b", "- 1", "{apiVersion: v1, kind: Pod, metadata: {name: a}}", "{apiVersion: v1, kind: List, items: [1]}",
		"{operation: CREATE, object: {}}", "{kind: {}, operation: 1}", "apiVersion: admission.k8s.io/v1\nkind: AdmissionReview\nrequest: {object: 1}",
		"---\n---\n", "{\"a\":", "apiVersion: v1\nkind: Pod\nmetadata: 1", "{apiVersion: v1, kind: Pod, metadata: {name: a, labels: 1}, spec: {template: {spec: {containers: 1}}}}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		objects, err := ParseObjects("fuzz", b, Defaults{})
		if err != nil {
			return
		}
		for _, o := range objects {
			if o.kind() == "" && o.name() == "" {
				t.Errorf("an object without identity from %q", b)
			}
			isWorkload(o)
		}
	})
}
