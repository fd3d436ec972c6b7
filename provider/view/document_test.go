package view_test

import (
	"iter"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// document is a page as a browser reads it.
type document struct {
	t    testing.TB
	root *html.Node
}

func parse(t testing.TB, text string) *document {
	t.Helper()
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return &document{t, root}
}

func (d *document) nodes() iter.Seq[*html.Node] { return d.root.Descendants() }

// all returns the elements of a tag.
func (d *document) all(tag string) []*html.Node { return elements(d.root, tag) }

func elements(n *html.Node, tags ...string) (out []*html.Node) {
	for c := range n.Descendants() {
		if c.Type == html.ElementNode && slices.Contains(tags, c.Data) {
			out = append(out, c)
		}
	}
	return out
}

// text is what is read in the first element of a tag.
func (d *document) text(tag string) string {
	d.t.Helper()
	found := d.all(tag)
	if len(found) == 0 {
		d.t.Fatalf("the page has no <%s>", tag)
	}
	return textOf(found[0])
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
		if c.Type == html.ElementNode && slices.Contains([]string{"br", "td", "th", "dd", "dt", "p", "li"}, c.Data) {
			b.WriteByte(' ')
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// node is an element or text.
type node = html.Node

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func (d *document) attributes(tag, key string) (out []string) {
	for _, n := range d.all(tag) {
		out = append(out, attribute(n, key))
	}
	return out
}

// table returns the cells of the body of the table under a heading.
func (d *document) table(heading string) (rows [][]string) {
	for _, region := range d.all("div") {
		if attribute(region, "aria-labelledby") != heading {
			continue
		}
		for _, body := range elements(region, "tbody") {
			for _, tr := range elements(body, "tr") {
				var cells []string
				for _, c := range elements(tr, "td", "th") {
					cells = append(cells, textOf(c))
				}
				rows = append(rows, cells)
			}
		}
	}
	return rows
}

func equal(a, b [][]string) bool { return slices.EqualFunc(a, b, slices.Equal) }
