package view

import (
	"fmt"
	"testing"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
)

// What is remembered of names is bounded, and what one namespace brings goes before
// what another does that holds less.
func TestNamesAreBoundedByNamespace(t *testing.T) {
	n := NewNames(100 * perName)
	image := func(namespace string, i int) service.Image {
		d := fmt.Sprintf("sha256:%s%d", namespace, i)
		return service.Image{Reference: d, Written: d, Digest: d, Namespace: namespace, Manifests: []service.ImageManifest{{Digest: d, Key: d}}}
	}
	n.Saw(image("small", 0))
	for i := range 1000 {
		n.Saw(image("large", i))
		n.Saw(image("large", i)) // is nothing new
	}
	if n.bytes > n.most || len(n.byDigest) > 100 || len(n.byKey) != len(n.byDigest) {
		t.Errorf("%d bytes of %d, %d digests, %d keys", n.bytes, n.most, len(n.byDigest), len(n.byKey))
	}
	if len(n.ofDigest("sha256:small0")) != 1 || len(n.ofKey("sha256:large999")) != 1 || len(n.ofKey("sha256:large0")) != 0 {
		t.Error("the wrong ones were forgotten")
	}
	if fresh := n.take(); !fresh["sha256:large999"] || len(n.take()) != 0 {
		t.Error("what is new is not told once")
	}
}

// Of findings as many are kept as there is room for, and nothing of a row that is gone.
func TestTheIndexIsBoundedAndForgets(t *testing.T) {
	x := &index{most: 4000, rows: map[string]*row{}, ids: newTexts(), places: newTexts(), byAlias: map[string][]uint32{}, aliases: map[uint32][]string{}}
	scan := &report.Scan{}
	for i := range 10 {
		scan.Vulnerabilities = append(scan.Vulnerabilities, report.Vulnerability{ID: fmt.Sprintf("CVE-%d", i), Aliases: []string{fmt.Sprintf("GHSA-%d", i)}, Package: "p", Installed: "1"})
	}
	a, b := &row{}, &row{}
	x.keep(a, scan)
	x.keep(b, scan)
	if !a.whole || !b.whole || len(x.identifiers("ghsa-3")) != 1 || x.ids.all[a.finds[0].id].uses != 2 {
		t.Fatalf("%t, %t, %d texts", a.whole, b.whole, len(x.ids.at))
	}
	x.most = x.bytes()
	c := &row{}
	if x.keep(c, scan); c.whole || c.finds != nil {
		t.Error("there was room beyond the bound")
	}
	x.release(a)
	if len(x.identifiers("CVE-3")) != 1 {
		t.Error("what another row has is forgotten")
	}
	x.release(b)
	if x.bytes() != 0 || len(x.ids.at) != 0 || len(x.places.at) != 0 || len(x.byAlias) != 0 || len(x.aliases) != 0 {
		t.Errorf("%d bytes are left: %v %v %v", x.bytes(), x.ids.at, x.places.at, x.byAlias)
	}
	if id, added := x.ids.use("again"); !added || len(x.ids.free) != 9 || x.ids.get(id) != "again" {
		t.Errorf("a number is not used again: %d, %d free", id, len(x.ids.free))
	}
}
