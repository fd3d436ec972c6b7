package review

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8sjson "k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// stdinName stands for standard input in place of a file name.
const stdinName = "-"

// maxFile bounds one input file.
const maxFile = 64 << 20

// document is one object and the file that holds it.
type document struct {
	source string
	object *unstructured.Unstructured
}

// label names the object in messages.
func (d document) label() string {
	return fmt.Sprintf("%s %s", d.object.GetKind(), d.object.GetName())
}

// readFile reads every document of one file. A document that is no object is
// an error.
func readFile(path string, stdin io.Reader) ([]document, error) {
	b, err := readInput(path, stdin)
	if err != nil {
		return nil, err
	}
	if path == stdinName {
		path = "standard input"
	}
	return parseDocuments(path, b, false)
}

func readInput(path string, stdin io.Reader) ([]byte, error) {
	in := stdin
	if path != stdinName {
		f, err := os.Open(path) // #nosec G304 -- the file that the user named
		if err != nil {
			return nil, fmt.Errorf("reading a manifest: %w", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	if in == nil {
		return nil, errors.New("reading standard input: there is none")
	}
	b, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("reading %s: it is over the limit of %d bytes", path, maxFile)
	}
	return b, nil
}

// readTree reads the documents of a file, or of every YAML and JSON file below
// a directory. Below a directory, documents that are no Kubernetes objects are
// passed over: values and reports files lie beside manifests.
func readTree(path string) ([]document, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading policies: %w", err)
	}
	if !info.IsDir() {
		return readFile(path, nil)
	}
	files, err := manifestsBelow(path)
	if err != nil {
		return nil, fmt.Errorf("reading policies: %w", err)
	}
	var out []document
	for _, f := range files {
		b, err := readInput(f, nil)
		if err != nil {
			return nil, err
		}
		docs, err := parseDocuments(f, b, true)
		if err != nil {
			return nil, err
		}
		out = append(out, docs...)
	}
	return out, nil
}

// manifestsBelow lists the files with a manifest's extension. Hidden
// directories, such as those behind the links of a mounted ConfigMap, are left
// out; links to files are followed.
func manifestsBelow(dir string) ([]string, error) {
	var files []string
	// The separator makes WalkDir enter a link to a directory.
	root := strings.TrimRight(dir, "/") + "/"
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case d.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)):
			return nil
		}
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			return err
		}
		files = append(files, path)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", dir, err)
	}
	return files, nil
}

// parseDocuments reads YAML documents, or JSON objects one after the other.
// Items of a List count as documents of their own.
func parseDocuments(source string, b []byte, lenient bool) ([]document, error) {
	raws, err := split(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	var out []document
	for i, raw := range raws {
		docs, err := parseDocument(source, raw)
		if err != nil {
			if _, noObject := errors.AsType[notAnObject](err); noObject && lenient {
				continue
			}
			return nil, fmt.Errorf("%s: document %d: %w", source, i+1, err)
		}
		out = append(out, docs...)
	}
	return out, nil
}

// split returns each document as JSON.
func split(b []byte) ([][]byte, error) {
	if t := bytes.TrimSpace(b); len(t) > 0 && (t[0] == '{' || t[0] == '[') {
		if raws, err := splitJSON(t); err == nil {
			return raws, nil
		}
		// Flow style YAML starts alike.
	}
	var raws [][]byte
	r := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(b)))
	for {
		doc, err := r.Read()
		if errors.Is(err, io.EOF) {
			return raws, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", len(raws)+1, err)
		}
		raw, err := yaml.YAMLToJSONStrict(doc)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", len(raws)+1, err)
		}
		raws = append(raws, raw)
	}
}

func splitJSON(b []byte) ([][]byte, error) {
	var raws [][]byte
	dec := json.NewDecoder(bytes.NewReader(b))
	for {
		var raw json.RawMessage
		err := dec.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return raws, nil
		}
		if err != nil {
			return nil, fmt.Errorf("not JSON: %w", err)
		}
		raws = append(raws, raw)
	}
}

// notAnObject is the error of a document that is not a Kubernetes object.
type notAnObject string

func (e notAnObject) Error() string { return string(e) }

func parseDocument(source string, raw []byte) ([]document, error) {
	if bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
		return nil, nil
	}
	var content any
	if err := k8sjson.Unmarshal(raw, &content); err != nil {
		return nil, fmt.Errorf("not an object: %w", err)
	}
	object, ok := content.(map[string]any)
	if !ok {
		return nil, notAnObject("not an object but a list or a single value")
	}
	u := &unstructured.Unstructured{Object: object}
	if isAdmissionRequest(object) {
		return []document{{source: source, object: u}}, nil
	}
	for _, field := range []string{"apiVersion", "kind"} {
		if s, ok := object[field].(string); !ok || s == "" {
			return nil, notAnObject("not a Kubernetes object: field " + field + " is missing")
		}
	}
	if !u.IsList() {
		return []document{{source: source, object: u}}, nil
	}
	return listItems(source, u)
}

func listItems(source string, list *unstructured.Unstructured) ([]document, error) {
	items, _, err := unstructured.NestedSlice(list.Object, "items")
	if err != nil {
		return nil, fmt.Errorf("reading a %s: %w", list.GetKind(), err)
	}
	var out []document
	for i, item := range items {
		raw, err := json.Marshal(item)
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", i, err)
		}
		docs, err := parseDocument(source, raw)
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", i, err)
		}
		out = append(out, docs...)
	}
	return out, nil
}
