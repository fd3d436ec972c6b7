package view

import (
	"fmt"
	"testing"
	"time"

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
	if n.images.Bytes() > 100*perName || len(n.byDigest) > 100 || len(n.byKey) != len(n.byDigest) {
		t.Errorf("%d bytes, %d digests, %d keys", n.images.Bytes(), len(n.byDigest), len(n.byKey))
	}
	if counted(n.ofDigest("sha256:small0")) != 1 || counted(n.ofKey("sha256:large999")) != 1 || counted(n.ofKey("sha256:large0")) != 0 {
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

// counted is how many names there are, less than none where they are not all.
func counted(images []service.Image, all bool) int {
	if !all {
		return -1
	}
	return len(images)
}

// Of more names than are looked at always the same count, and the verdict is not milder
// than it is for one of the others: without a name no exception for named images holds.
func TestOfManyNamesTheVerdictIsTheWorst(t *testing.T) {
	n := NewNames(NamesBytes)
	for i := range 3 * maxNames {
		d := "sha256:one"
		written := fmt.Sprintf("r.example/app:%03d", i)
		n.Saw(service.Image{Reference: written, Written: written, Digest: d, Namespace: "shop", Manifests: []service.ImageManifest{{Digest: d, Key: d}}})
	}
	first, all := n.ofKey("sha256:one")
	if all || len(first) != maxNames || first[0].Written != "r.example/app:000" || first[maxNames-1].Written != "r.example/app:063" {
		t.Fatalf("all: %t, %d from %s to %s", all, len(first), first[0].Written, first[len(first)-1].Written)
	}
	x := &index{names: n, scans: byName{}, judge: never{}, now: time.Now}
	if r, _ := x.judged("sha256:one", &report.Scan{Subject: "sha256:one"}); r.status != report.Rejected {
		t.Errorf("it is %s", r.status)
	}
}

// byName accepts whatever has a name, as an exception for it does.
type byName struct{ Scans }

func (byName) KeptOne(i service.Image, _ service.ImageManifest, stored *report.Scan) (report.Status, string, *report.Scan) {
	if i.Written == "" {
		return report.Rejected, "", stored
	}
	return report.Accepted, "", stored
}

func (byName) Ends(*report.Scan) time.Time { return time.Time{} }

type never struct{ ListJudge }

func (never) Until(*report.Scan) time.Time { return time.Time{} }

// A spreadsheet takes none of these for a formula.
func TestATextIsNoFormula(t *testing.T) {
	for s, want := range map[string]string{
		"=cmd": "'=cmd", "x;=cmd": "'x,=cmd", "a; +1": "'a, +1", "＝cmd": "'＝cmd", " =cmd": "' =cmd", "\t@x": "'\t@x",
		"-": "-", "a; b": "a; b", "1-2": "1-2", "": "", ";": ";",
	} {
		if got := tame(s); got != want {
			t.Errorf("%q is written as %q, want %q", s, got, want)
		}
	}
}
