package documents

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func markdown(t *testing.T) map[string]string {
	t.Helper()
	files, err := Markdown(Root)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("%d documents found", len(files))
	}
	return files
}

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func exists(name string) bool {
	_, err := os.Stat(filepath.Join(Root, filepath.FromSlash(name)))
	return err == nil
}

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	files := markdown(t)
	for name, text := range files {
		folder := path.Dir(name)
		if name == "charts/doc/readme.md" { // becomes the chart's README
			folder = "charts/imagegate"
		}
		for _, to := range Links(text) {
			if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(to, "#")
			target := name
			if file != "" {
				target = path.Join(folder, file)
			}
			if !exists(target) {
				t.Errorf("%s: %s leads to no file", name, to)
				continue
			}
			if anchor != "" && !Anchors(files[target])[anchor] {
				t.Errorf("%s: %s leads to no heading", name, to)
			}
		}
	}
}

// What a document calls by its name exists: files, targets of make, tests.
func TestNamesInDocumentsExist(t *testing.T) {
	t.Parallel()
	sources, err := Sources(Root, true, ".")
	if err != nil {
		t.Fatal(err)
	}
	var tests []string
	for _, text := range sources {
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`).FindAllStringSubmatch(text, -1) {
			tests = append(tests, m[1])
		}
	}
	makefile := document(t, "Makefile")
	file := regexp.MustCompile(`^(provider|mutator|scanner|templates|constraints|charts|e2e)(/[\w.*-]+)+$`)
	target := regexp.MustCompile(`^make ([a-z][a-z0-9-]*)`)
	test := regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`)
	for name, text := range markdown(t) {
		for _, span := range CodeSpans(text) {
			if m := target.FindStringSubmatch(span); m != nil && !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s: there is no `make %s`", name, m[1])
			}
			if slices.Contains([]string{"ARCHITECTURE.md", "CONTRIBUTING.md"}, name) && file.MatchString(span) && !exists(span) {
				t.Errorf("%s: there is no %s", name, span)
			}
		}
		for _, m := range test.FindAllString(text, -1) {
			if !slices.ContainsFunc(tests, func(s string) bool { return strings.HasPrefix(s, m) }) {
				t.Errorf("%s: there is no test %s", name, m)
			}
		}
	}
}

func TestAnchorsAreThoseOfGitHub(t *testing.T) {
	t.Parallel()
	got := Anchors("# imagegate's chart\n## What `wait.max` means: ten\n```\n# not one\n```\n## Twice\n## Twice\n")
	for _, want := range []string{"imagegates-chart", "what-waitmax-means-ten", "twice", "twice-1"} {
		if !got[want] {
			t.Errorf("there is no %s in %v", want, got)
		}
	}
	if len(got) != 4 {
		t.Errorf("got %v", got)
	}
}

// A template is in every list that has to know it.
func TestEveryTemplateIsEverywhere(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join(Root, "templates", "*", "template.yaml"))
	if err != nil || len(paths) < 4 {
		t.Fatalf("%d templates found, %v", len(paths), err)
	}
	for _, p := range paths {
		name := filepath.Base(filepath.Dir(p))
		for _, list := range []string{"templates/kustomization.yaml", "charts/doc/generate.go", "charts/imagegate/templates/rbac.yaml", "provider/install/rbac.yaml"} {
			if !regexp.MustCompile(`\b` + name + `\b`).MatchString(document(t, list)) {
				t.Errorf("%s does not name %s", list, name)
			}
		}
		for _, file := range []string{"src.rego", "src_test.rego", "crd.tmpl", "suite.yaml", "kustomization.yaml"} {
			if !exists("templates/" + name + "/" + file) {
				t.Errorf("templates/%s has no %s", name, file)
			}
		}
	}
}

func TestEachRightHasItsReason(t *testing.T) {
	t.Parallel()
	_, section, ok := strings.Cut(document(t, "charts/imagegate/SECURITY.md"), "\n## Rights\n")
	if !ok {
		t.Fatal("SECURITY.md has no section Rights")
	}
	told := CodeSpans(section)
	var granted []string
	for _, m := range regexp.MustCompile(`(?m)resources: \[([^\]]+)\]|"resources" \(list ([^)]+)\)`).FindAllStringSubmatch(document(t, "charts/imagegate/templates/rbac.yaml"), -1) {
		granted = append(granted, strings.FieldsFunc(m[1]+m[2], func(r rune) bool { return strings.ContainsRune(`, "`, r) })...)
	}
	for _, resource := range granted {
		if !slices.Contains(told, resource) {
			t.Errorf("SECURITY.md does not say why there is a right to %s", resource)
		}
	}
	if len(granted) < 25 {
		t.Errorf("%d rights found", len(granted))
	}
}

// A folder of provider/backend that runs the conformance suite is a backend.
func TestEveryBackendIsWiredAndTested(t *testing.T) {
	t.Parallel()
	sources, err := Sources(Root, true, "provider/backend")
	if err != nil {
		t.Fatal(err)
	}
	backends := map[string]bool{}
	for name, text := range sources {
		if strings.HasSuffix(name, "_test.go") && strings.Contains(text, `"github.com/imagegate/imagegate/provider/backend/backendtest"`) {
			backends[path.Base(path.Dir(name))] = true
		}
	}
	wiring, err := Sources(Root, false, "provider/cli")
	if err != nil {
		t.Fatal(err)
	}
	settings, err := Sources(Root, false, "provider/config")
	if err != nil {
		t.Fatal(err)
	}
	delete(backends, "attached") // stands before backends, and is configured beside them
	for name := range backends {
		if row := "\t\t{\"" + name + "\", "; !strings.Contains(settings["provider/config/backend.go"], row) || !strings.Contains(wiring["provider/cli/backends.go"], row) {
			t.Errorf("provider/backend/%s has no row in the tables of provider/config/backend.go and provider/cli/backends.go", name)
		}
	}
	for _, want := range []string{"harbor", "anchore"} {
		if !backends[want] {
			t.Errorf("provider/backend/%s does not run the conformance suite", want)
		}
	}
}

// Who reads of "the article" finds in the same file which one.
func TestTheArticleIsCitedByItsAddress(t *testing.T) {
	t.Parallel()
	const address = "https://sysdig.com/blog/image-scanning-admission-controller/"
	files, err := read(Root, func(p string) bool {
		generated := path.Base(p) == "template.yaml" || strings.HasPrefix(p, "charts/imagegate/files/")
		return !generated && !strings.HasPrefix(p, "charts/documents/") && slices.Contains([]string{".go", ".rego", ".yaml", ".md", ".tmpl", ".tpl"}, path.Ext(p))
	})
	if err != nil {
		t.Fatal(err)
	}
	mentioned := regexp.MustCompile(`(?i:\bthe article\b|\bSysdig's article\b)|func Test\w*TheArticle|const theArticle`)
	unnamed := regexp.MustCompile(`(?i)\bthe ancestor`)
	for name, text := range files {
		if mentioned.MatchString(text) && !strings.Contains(text, address) {
			t.Errorf("%s: cite the article by its title and address, %s", name, address)
		}
		if unnamed.MatchString(text) {
			t.Errorf("%s: say which program the ancestor is", name)
		}
	}
}
