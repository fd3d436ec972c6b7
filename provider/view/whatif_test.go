package view_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/inventory"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/view"
)

// What would be is what is once the rules are those, for each namespace as it is judged.
func TestWhatIfTheRulesWereOthers(t *testing.T) {
	const exceptions = "- {cve: CVE-2026-1, images: ['*'], namespaces: [shop], expires: 2026-11-30, reason: soon}\n"
	places := []*inventory.Place{
		place("shop", "Deployment/web", "r.example/high:1", digestOf("high"), 3),
		place("pay", "Deployment/api", "r.example/high:1", digestOf("high"), 1),
		place("pay", "Deployment/mid", "r.example/mid:1", digestOf("mid"), 2),
		place("pay", "Deployment/none", "r.example/never:1", digestOf("never"), 1),
	}
	w := newWorld(t, exceptions, func(o *view.Options) {
		o.Inventory = runningNow{inventory.Of(inventory.State{Phase: inventory.Complete, At: now()}, places...)}
	})
	exploited := findings()[0] // High, fixed, known to be exploited
	unfixed := findings()[1]   // Medium, no fix
	high, mid := w.add("high", newScan([]report.Vulnerability{exploited})), w.add("mid", newScan([]report.Vulnerability{unfixed}))
	w.ask(high, "shop")
	w.ask(high, "pay")
	w.ask(mid, "pay")
	w.listed("/images", 2)

	if d := w.get("/what-if"); len(d.table("list")) != 0 || !strings.Contains(d.text("main"), "Choose what would be otherwise") {
		t.Errorf("nothing is asked for: %s", d.text("main"))
	}
	for query, want := range map[string][]string{
		"threshold=Medium":                  {"pay Deployment/mid ✓ accepted ✗ rejected CVE-2026-2"},
		"threshold=Medium&onlyFixed=yes":    nil,
		"threshold=Critical":                {"pay Deployment/api ✗ rejected ✓ accepted "},
		"threshold=Critical&kev=deny":       nil,
		"kev=deny":                          nil,
		"minFixAge=90d":                     {"pay Deployment/api ✗ rejected ✓ accepted "},
		"day=2026-11-30":                    nil,
		"day=2026-12-01":                    {"shop Deployment/web ✓ accepted ✗ rejected CVE-2026-1"},
		"threshold=Medium&outcome=accepted": nil,
	} {
		d := w.get("/what-if?" + query)
		var got []string
		for _, r := range d.table("list") {
			got = append(got, strings.Join([]string{r[1], r[0], r[3], r[4], r[6]}, " "))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
		if text := d.text("main"); !strings.Contains(text, "Of 1 images in workloads there is no report that counts") {
			t.Errorf("%s: %s", query, text)
		}
	}
	for _, query := range []string{"threshold=bad", "kev=maybe", "minFixAge=soon", "minCVEAge=-1d", "day=yesterday", "day=2026-11-27", "onlyFixed=perhaps"} {
		if rec := w.do(http.MethodGet, "/what-if?"+query); rec.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", query, rec.Code)
		}
	}
	// Nothing is otherwise for that.
	if r := w.ask(mid, "pay"); r.Status != report.Accepted {
		t.Errorf("%+v", r)
	}
	// A report that cannot be read is not known to be fine.
	w.damage(digestOf("mid"))
	w.eventually(func() bool {
		return strings.Contains(w.get("/what-if?threshold=Medium").text("main"), "Of 2 images in workloads there is no report that counts")
	})
}
