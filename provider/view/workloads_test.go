package view_test

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/denials"
	"github.com/imagegate/imagegate/provider/inventory"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/view"
)

// runningNow is an inventory that does not change.
type runningNow struct{ s *inventory.Snapshot }

func (r runningNow) Snapshot() *inventory.Snapshot { return r.s }

func place(namespace, workload, image, digest string, pods int) *inventory.Place {
	kind, name, _ := strings.Cut(workload, "/")
	return &inventory.Place{Workload: inventory.Workload{Namespace: namespace, Kind: kind, Name: name}, Image: image + "@" + digest, Pinned: digest, Pods: pods, Since: now().Add(-time.Hour)}
}

// counted compares what is told of what runs.
func counted(t *testing.T, metrics *prometheus.Registry, want map[string]float64) {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	is := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			is[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
		}
	}
	if !maps.Equal(is, want) {
		t.Errorf("counted %v, want %v", is, want)
	}
}

// What is not known is not 0, and what was counted is told again for a while.
func TestWhatRunsIsCountedWhenItIsKnown(t *testing.T) {
	metrics, runs := prometheus.NewRegistry(), &changing{s: inventory.Empty("not read yet")}
	w := newWorld(t, "", func(o *view.Options) { o.Inventory, o.Metrics = runs, metrics })
	counted(t, metrics, map[string]float64{})
	runs.s = inventory.Of(inventory.State{Phase: inventory.Incomplete, At: now()}, place("shop", "Pod/p", "r.example/a:1", digestOf("a"), 1))
	counted(t, metrics, map[string]float64{})
	w.clock.Add(5)
	counted(t, metrics, map[string]float64{"accepted": 0, "rejected": 0, "scan_failed": 0, "report_not_available": 0, "unknown": 1})
}

// changing is an inventory that a test changes.
type changing struct{ s *inventory.Snapshot }

func (c *changing) Snapshot() *inventory.Snapshot { return c.s }

const onlyInShop = "- {cve: CVE-2026-1, images: [r.example/bad], namespaces: [shop], expires: 2026-11-27T13:00:00Z, reason: an hour}\n"

// What runs has the verdict of its own namespace: an exception of another does not
// count, and what nobody knows is neither accepted nor 0.
func TestRunningHasTheVerdictOfItsNamespace(t *testing.T) {
	bad, good := digestOf("bad"), digestOf("good")
	places := []*inventory.Place{
		place("shop", "Deployment/web", "r.example/bad:1", bad, 3),
		place("pay", "Deployment/api", "r.example/bad:1", bad, 2),
		place("pay", "CronJob/<b>night", "r.example/good:1", good, 1),
		place("lab", "Pod/try", "r.example/never:1", digestOf("never"), 1),
		{Workload: inventory.Workload{Namespace: "lab", Kind: "Pod", Name: "begins"}, Image: "r.example/<i>begins:1", Pods: 1, Since: now()},
	}
	places[0].Original = "<u>r.example/claimed"
	metrics := prometheus.NewRegistry()
	w := newWorld(t, onlyInShop, func(o *view.Options) {
		o.Inventory = runningNow{inventory.Of(inventory.State{Phase: inventory.Complete, At: now()}, places...)}
		o.Metrics = metrics
	})
	ref := w.add("bad", newScan(findings()[:1]))
	w.ask(ref, "shop")
	w.ask(w.add("good", newScan(findings()[1:2])), "pay")
	w.listed("/images", 2)
	all := w.listed("/running", 5).table("list")
	want := map[string][2]string{
		"Deployment/web": {"shop", "✓ accepted"}, "Deployment/api": {"pay", "✗ rejected"}, "CronJob/<b>night": {"pay", "✓ accepted"},
		"Pod/try": {"lab", "not known"}, "Pod/begins": {"lab", "not known"},
	}
	for _, r := range all {
		if is := want[r[0]]; r[1] != is[0] || r[3] != is[1] {
			t.Errorf("%q, want %q", r, is)
		}
	}
	// Worst first, and what is not known before what is accepted.
	if verdicts := []string{all[0][3], all[1][3], all[2][3], all[3][3]}; !slices.Equal(verdicts, []string{"✗ rejected", "not known", "not known", "✓ accepted"}) {
		t.Errorf("%q", verdicts)
	}
	row := func(q string) []string { t.Helper(); return w.listed("/running?"+q, 1).table("list")[0] }
	if r := row("namespace=shop"); r[2] != "r.example/bad:1" || r[7] != "<u>r.example/claimed" || r[5] != "3" {
		t.Errorf("%q", r)
	}
	if r := row("status=rejected"); r[0] != "Deployment/api" || !strings.HasPrefix(r[4], "CVE-2026-1") {
		t.Errorf("%q", r)
	}
	row("q=" + good)
	row("q=" + url.QueryEscape("<B>night"))
	w.listed("/running?status=unknown", 2)
	checkTame(t, w.get("/running"), "what runs")
	counted(t, metrics, map[string]float64{"accepted": 2, "rejected": 1, "scan_failed": 0, "report_not_available": 0, "unknown": 2})

	// Who runs a vulnerability or a package, and of what nobody can tell.
	for _, target := range []string{"/running?vulnerability=ghsa-aaaa-bbbb-cccc", "/running?package=openssl"} {
		page := w.listed(target, 2)
		for _, r := range page.table("list") {
			if r[9] != "CVE-2026-1 in openssl 3.0.1, fixed in 3.0.2" && r[9] != "CVE-2026-1 in openssl 3.0.1, fixed in 3.0.2 (suppressed)" || r[2] != "r.example/bad:1" {
				t.Errorf("%s: %q", target, r)
			}
		}
		if text := page.text("main"); !strings.Contains(text, "Of 2 images in workloads it is not known what is in them") {
			t.Errorf("%s: %s", target, text)
		}
		w.listed(target+"&namespace=pay", 1)
	}
	if d := w.get("/running?namespace=shop&package=none"); len(d.table("list")) != 0 || strings.Contains(d.text("main"), "not known what is in them") {
		t.Errorf("%s", d.text("main"))
	}
	if rec := w.do(http.MethodGet, "/running?package=a&vulnerability=b"); rec.Code != http.StatusBadRequest {
		t.Errorf("both are asked for: %d", rec.Code)
	}
	for _, target := range []string{"/vulnerabilities/CVE-2026-1", "/packages?name=openssl"} {
		if rows := w.get(target).table("workloads"); len(rows) != 2 || rows[0][0] != "Deployment/api" || rows[0][1] != "pay" || rows[0][4] != "2" {
			t.Errorf("%s: %q", target, rows)
		}
	}
	// An hour later the exception has ended.
	w.clock.Add(3601)
	w.ask(ref, "pay")
	w.eventually(func() bool { return len(w.get("/running?status=rejected").table("list")) == 2 })

	spaces := map[string][]string{}
	for _, r := range w.listed("/namespaces", 3).table("list") {
		spaces[r[0]] = r[1:]
	}
	// Pods, workloads, images, rejected, failed, no report, not known, accepted, blocked.
	for name, want := range map[string]string{"lab": "2 2 2 0 0 0 2 0", "shop": "3 1 1"} {
		if got := strings.Join(spaces[name], " "); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, " not known") {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if links := w.get("/namespaces").attributes("a", "href"); !slices.Contains(links, "/running?namespace=pay") {
		t.Errorf("no link to what runs: %q", links)
	}
}

// Numbers are the least while more may run, and what was not let in is counted.
func TestNamespacesSayWhatIsNotKnown(t *testing.T) {
	d, err := denials.New(denials.Options{Bucket: bucket.NewMemory(), Bytes: 1 << 20, KeepFor: 24 * time.Hour, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = d.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	w := newWorld(t, "", func(o *view.Options) {
		o.Denials = d
		o.Inventory = runningNow{inventory.Of(inventory.State{Phase: inventory.Incomplete, Reason: "there are <b>more"}, place("shop", "Deployment/web", "r.example/a:1", digestOf("a"), 3))}
	})
	d.Saw(denials.Attempt{Namespace: "new", Pod: "p", User: "eve", Image: "r.example/b:1", Status: report.Rejected, Message: "no"})
	page := w.listed("/namespaces", 2)
	if text := page.text("main"); !strings.Contains(text, "More may run than is listed: there are <b>more") {
		t.Errorf("%s", text)
	}
	rows := page.table("list")
	if r := rows[0]; r[0] != "new" || r[1] != "not known" || r[9] != "1" {
		t.Errorf("%q", r)
	}
	if r := rows[1]; r[0] != "shop" || r[1] != "at least 3" || r[4] != "not known" || r[7] != "at least 1" || r[9] != "0" {
		t.Errorf("%q", r)
	}
	for what, i := range map[string]view.Inventory{"the provider does not follow it (inventory.enabled)": nil, "nobody has read <b>any": emptyInventory{}} {
		o := w.options
		o.Inventory = i
		if w.view, err = view.New(o); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/running", "/namespaces"} {
			if text := w.get(path).text("main"); !strings.Contains(text, "What runs is not known: "+what) {
				t.Errorf("%s: %s", path, text)
			}
		}
	}
}
