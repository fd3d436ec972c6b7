package images

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// edit is a scalar of a YAML text that becomes another. Texts are edited in place
// rather than written anew: their comments are what people read.
type edit struct {
	node *yaml.Node
	to   string
}

// setAll sets top-level fields, which must be there.
func setAll(text []byte, fields map[string]string) ([]byte, error) {
	top, err := document(text)
	if err != nil {
		return nil, err
	}
	var edits []edit
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		node := field(top, name)
		if node == nil {
			return nil, fmt.Errorf("it has no %s", name)
		}
		edits = append(edits, edit{node, fields[name]})
	}
	return apply(text, edits)
}

// pinned sets digest of each image in a chart's values, and where it is read from.
func pinned(text []byte, repository string, digests map[string]string) ([]byte, error) {
	top, err := document(text)
	if err != nil {
		return nil, err
	}
	var edits []edit
	found := map[string]bool{}
	walk(top, func(mapping *yaml.Node) {
		at, digest := field(mapping, "repository"), field(mapping, "digest")
		if at == nil || digest == nil {
			return
		}
		program := path.Base(at.Value)
		if digests[program] == "" {
			return
		}
		found[program] = true
		edits = append(edits, edit{digest, digests[program]})
		if repository == "" {
			return
		}
		full := repository + "/" + program
		if registry := field(mapping, "registry"); registry != nil {
			host, rest, _ := strings.Cut(full, "/")
			edits = append(edits, edit{registry, host})
			full = rest
		}
		edits = append(edits, edit{at, full})
	})
	for _, program := range slices.Sorted(maps.Keys(digests)) {
		if !found[program] {
			return nil, fmt.Errorf("no image with repository and digest is of %s", program)
		}
	}
	return apply(text, edits)
}

func document(text []byte) (*yaml.Node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("it is not a mapping")
	}
	return doc.Content[0], nil
}

// field is the value of a mapping's field, or nil.
func field(mapping *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name && mapping.Content[i+1].Kind == yaml.ScalarNode {
			return mapping.Content[i+1]
		}
	}
	return nil
}

func walk(node *yaml.Node, visit func(mapping *yaml.Node)) {
	if node.Kind == yaml.MappingNode {
		visit(node)
	}
	for _, n := range node.Content {
		walk(n, visit)
	}
}

// apply puts the edits into the text. A scalar has to stand on one line, as it was
// written: quoted, or bare.
func apply(text []byte, edits []edit) ([]byte, error) {
	slices.SortFunc(edits, func(a, b edit) int { // from the end, so that positions stay
		if a.node.Line != b.node.Line {
			return b.node.Line - a.node.Line
		}
		return b.node.Column - a.node.Column
	})
	lines := bytes.SplitAfter(text, []byte("\n"))
	for _, e := range edits {
		line, at := lines[e.node.Line-1], e.node.Column-1
		written := e.node.Value
		switch e.node.Style {
		case yaml.DoubleQuotedStyle:
			written = quoted(written)
		case yaml.SingleQuotedStyle:
			written = "'" + written + "'"
		default: // bare, or what is refused below
		}
		if written == "" || !bytes.HasPrefix(line[min(at, len(line)):], []byte(written)) {
			return nil, fmt.Errorf("line %d: %q cannot be replaced: write it on one line, an empty one as \"\"", e.node.Line, e.node.Value)
		}
		lines[e.node.Line-1] = slices.Concat(line[:at], []byte(quoted(e.to)), line[at+len(written):])
	}
	return bytes.Join(lines, nil), nil
}
