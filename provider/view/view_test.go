package view_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html"
	"log/slog"
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
	"github.com/imagegate/imagegate/provider/owner"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/view"
)

// The page of an image says what a Pod was answered, for each who asked, and after the
// configuration has changed too.
func TestTheImagePageSaysWhatWasAnswered(t *testing.T) {
	w := newWorld(t, "- {cve: CVE-2026-1, images: [r.example/web], namespaces: [shop], expires: 2026-12-01, reason: until the release}\n")
	ref := w.add("web", newScan(findings()[:2]))
	for _, namespace := range []string{"shop", "pay"} {
		r := w.ask(ref, namespace)
		d := w.get("/images/" + r.Digest + "?" + url.Values{"image": {ref}, "asked": {ref}, "namespace": {namespace}}.Encode())
		if text := d.text("main"); !strings.Contains(text, r.Message) || !strings.Contains(text, string(r.Status)) {
			t.Errorf("%s: answered %s %q, and the page says %s", namespace, r.Status, r.Message, text)
		}
		if got := len(d.table("findings")) + len(d.table("suppressed")); got != len(r.Vulnerabilities) {
			t.Errorf("%s: %d findings, want %d", namespace, got, len(r.Vulnerabilities))
		}
	}
	d := w.get("/images/" + digestOf("web"))
	if got := d.table("asked"); !equal(got, [][]string{{ref, "pay", "✗ rejected"}, {ref, "shop", "✓ accepted"}}) {
		t.Errorf("asked for as %q", got)
	}
	if text := d.text("div"); !strings.Contains(text, "rejected") {
		t.Errorf("the worst verdict is not the page's: %s", text)
	}
	if rows := w.listed("/images", 1).table("list"); rows[0][2] != "✗ rejected" || rows[0][1] != "pay, shop" {
		t.Errorf("listed as %q", rows)
	}
	if rec := w.do(http.MethodGet, "/images/"+digestOf("none")); rec.Code != http.StatusNotFound {
		t.Errorf("of none: %d", rec.Code)
	}
}

// An index is judged by its worst platform, under its own digest.
func TestAnIndexHasAPageOfItsOwn(t *testing.T) {
	w := newWorld(t, "")
	for platform, scan := range map[string]*report.Scan{"linux/amd64": newScan(findings()[1:2]), "linux/arm64": newScan(findings()[:1])} {
		d := digestOf("many " + platform)
		scan.Subject = d
		w.scans[d] = scan
		w.images["many"] = append(w.images["many"], registry.Manifest{Digest: d, Platform: platform})
	}
	r := w.ask("r.example/many:1", "shop")
	d := w.get("/images/" + r.Digest)
	if text := d.text("main"); r.Status != report.Rejected || !strings.Contains(text, r.Message) || !strings.Contains(text, "linux/arm64") || !strings.Contains(text, "the worst of them counts") {
		t.Errorf("%s: %s", r.Message, text)
	}
	if rows := d.table("findings"); len(rows) != 2 || rows[0][9] != "linux/arm64" {
		t.Errorf("findings %q", rows)
	}
}

// What nobody has asked for since the start is shown with that said of it.
func TestAReportWithoutANameIsShown(t *testing.T) {
	w := newWorld(t, "")
	scan := newScan(findings())
	scan.Subject = digestOf("nameless")
	if _, err := w.reports.Put(t.Context(), "shop", strings.Replace(scan.Subject, ":", "-", 1), scan); err != nil {
		t.Fatal(err)
	}
	rows := w.listed("/images", 1).table("list")
	if rows[0][0] != "not asked for since the start" || rows[0][2] != "✗ rejected" {
		t.Errorf("listed as %q", rows)
	}
	if text := w.get("/images/" + scan.Subject).text("main"); !strings.Contains(text, "its name is not known") || !strings.Contains(text, "CVE-2026-1") {
		t.Errorf("the page says %s", text)
	}
}

func TestListsAreFilteredSortedAndPaged(t *testing.T) {
	w := newWorld(t, "")
	for n := range 7 {
		v := findings()[1:2]
		if n%2 == 0 {
			v = findings()[:min(n/2+1, 3)]
		}
		scan := newScan(v)
		scan.ScannedAt = now().Add(-time.Duration(n+1) * time.Hour)
		w.ask(w.add(fmt.Sprintf("app%d", n), scan), fmt.Sprintf("team%d", n%3))
	}
	w.ask(w.add("broken", nil), "team1")
	unlisted := newScan(nil)
	unlisted.Unlisted, unlisted.Judgement, unlisted.DatabaseBuiltAt = true, report.JudgementPass, time.Time{}
	w.ask(w.add("opaque", unlisted), "team1")
	w.listed("/images", 9)
	first := func(target string, want ...string) {
		t.Helper()
		var got []string
		for _, row := range w.get(target).table("list") {
			name := strings.TrimPrefix(row[0], "r.example/")
			got = append(got, name[:strings.IndexAny(name, ":@")])
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
	first("/images?status=rejected&sort=image", "app0", "app2", "app4", "app6")
	first("/images?status=rejected&sort=-image", "app6", "app4", "app2", "app0")
	first("/images?status=scan_failed", "broken")
	first("/images?q=APP6", "app6")
	first("/images?q=team2&sort=image", "app2", "app5")
	first("/images?severity=High&sort=image", "app0", "app2", "app4", "app6")
	first("/images?exploited=yes&size=2&page=2&sort=image", "app4", "app6")
	first("/images?sort=scanned&size=2&q=app", "app0", "app1")
	first("/images?q=nothing")
	rows := w.get("/images?q=opaque").table("list")
	if rows[0][4] != "not known" || rows[0][5] != "not known" || rows[0][7] != "not known" || rows[0][8] != "not known" || rows[0][10] != "not known" {
		t.Errorf("what is not known is shown as %q", rows[0])
	}
	d := w.get("/images?exploited=yes&size=2&page=2&sort=image")
	if text := d.text("output"); text != "3 to 4 of 4 images" {
		t.Errorf("it says %q", text)
	}
	if n := slices.IndexFunc(d.all("th"), func(n *node) bool { return attribute(n, "aria-sort") == "descending" }); n != 0 {
		t.Errorf("column %d is the sorted one", n)
	}
	// Every link of a list keeps what it is filtered by.
	for _, a := range d.all("a") {
		u, err := url.Parse(attribute(a, "href"))
		if err != nil {
			t.Fatal(err)
		}
		if (attribute(a, "rel") == "prev" || strings.HasSuffix(u.Path, ".csv")) && (u.Query().Get("exploited") != "yes" || u.Query().Get("size") != "2") {
			t.Errorf("%s forgets the filter", u)
		}
	}
}

// CSV and JSON have the rows that the page shows, in their order.
func TestFormatsAreTheSame(t *testing.T) {
	w := newWorld(t, "- {cve: CVE-2026-9, images: ['*'], expires: 2026-12-01, reason: =HYPERLINK(1)}\n")
	for n := range 5 {
		w.ask(w.add(fmt.Sprintf("app%d", n), newScan(findings())), "team")
	}
	w.listed("/images", 5)
	for _, target := range []string{"/images?size=2&page=2&sort=-image", "/images?q=app3", "/vulnerabilities?sort=id", "/vulnerabilities/CVE-2026-1?sort=image", "/packages?name=openssl", "/exceptions"} {
		path, query, _ := strings.Cut(target, "?")
		shown := w.get(target).table("list")
		read, err := csv.NewReader(bytes.NewReader(w.do(http.MethodGet, path+".csv?"+query).Body.Bytes())).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		var answer export
		if err := json.Unmarshal(w.do(http.MethodGet, path+".json?"+query).Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		objects := answer.Rows
		if n := len(read) - 1; answer.Total > len(objects) { // the last record says so
			if !strings.HasPrefix(read[n][0], fmt.Sprintf("# These are %d to %d of %d ", answer.From, answer.To, answer.Total)) {
				t.Errorf("%s: the last record is %q", target, read[n])
			}
			read = read[:n]
		}
		if len(shown) == 0 || len(read) != len(shown)+1 || len(objects) != len(shown) {
			t.Fatalf("%s: %d rows shown, %d in CSV, %d in JSON", target, len(shown), len(read)-1, len(objects))
		}
		for n, row := range shown {
			for i, text := range row {
				text = strings.ReplaceAll(strings.TrimLeft(text, "✓✗…! "), ";", "")
				if got := strings.TrimPrefix(strings.ReplaceAll(read[n+1][i], ";", ""), "'"); got != text {
					t.Errorf("%s: row %d, %s: %q in CSV, %q on the page", target, n, read[0][i], got, text)
				}
				switch v := objects[n][read[0][i]].(type) {
				case nil:
					if text != "not known" && text != "not that is known" {
						t.Errorf("%s: row %d: %s is not in JSON, and %q on the page", target, n, read[0][i], text)
					}
				case float64:
					if fmt.Sprint(v) != text {
						t.Errorf("%s: row %d: %s is %v in JSON, and %q on the page", target, n, read[0][i], v, text)
					}
				case string:
					if v != strings.ReplaceAll(read[n+1][i], "'=", "=") && !strings.Contains(v, "T") && v != "" {
						t.Errorf("%s: row %d: %s is %q in JSON, and %q in CSV", target, n, read[0][i], v, read[n+1][i])
					}
				}
			}
		}
	}
	// The next rows are where it says.
	var all []string
	for at := "/images.json?size=2&sort=image"; at != ""; {
		var answer export
		if err := json.Unmarshal(w.do(http.MethodGet, at).Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		for _, o := range answer.Rows {
			all = append(all, fmt.Sprint(o["image"])[:len("r.example/app0")])
		}
		if at = answer.Next; answer.Total != 5 || len(answer.Warnings) != 0 {
			t.Errorf("%+v", answer)
		}
	}
	if got := strings.Join(all, " "); got != "r.example/app0 r.example/app1 r.example/app2 r.example/app3 r.example/app4" {
		t.Errorf("one after another: %s", got)
	}
	if b := w.do(http.MethodGet, "/exceptions.csv").Body.String(); !strings.Contains(b, "'=HYPERLINK") {
		t.Errorf("a spreadsheet takes a reason for a formula: %s", b)
	}
}

// export is what a list is in JSON.
type export struct {
	Rows            []map[string]any
	From, To, Total int
	Next            string
	Warnings        []string
}

// A list that nobody asked for is not shown: a filter that was left out would show more
// than it should.
func TestWhatCannotBeAskedForIsRefused(t *testing.T) {
	w := newWorld(t, "")
	for _, tc := range []struct{ target, why string }{
		{"/images?status=reject", `The parameter status is &#34;reject&#34;: must be one of rejected, scan_failed, report_not_available, accepted.`},
		{"/images?severity=hihg", "must be one of Critical, High"},
		{"/images?exploited=true", "must be one of yes"},
		{"/images?sort=name", "must be one of status, image"},
		{"/images?page=0", "no number from 1 up"},
		{"/images?size=x", "no number from 1 up"},
		{"/images?size=1001", "it may be 1000"},
		{"/images?severty=high", "There is no parameter"},
		{"/images?q=a&q=b", "given 2 times"},
		{"/images?q=" + strings.Repeat("x", 257), "has 257 bytes; it may have 256"},
		{"/images?q=%zz", "cannot be read"},
		{"/vulnerabilities?fixable=no", "must be one of yes"},
		{"/vulnerabilities/CVE-2026-1?q=x", "There is no parameter"},
		{"/packages?name=a&sort=x", "must be one of status, image"},
		{"/exceptions?state=ended", "must be one of expired"},
		{"/blocked?since=week", "must be one of day, tried, all"},
		{"/blocked?status=accepted", "must be one of rejected"},
	} {
		path, query, _ := strings.Cut(tc.target, "?")
		for _, ending := range []string{"", ".csv", ".json"} {
			got := w.do(http.MethodGet, path+ending+"?"+query)
			why := tc.why
			if ending != "" {
				why = html.UnescapeString(why)
			}
			if got.Code != http.StatusBadRequest || !strings.Contains(got.Body.String(), why) {
				t.Errorf("%s%s: %d, and does not say %q: %s", path, ending, got.Code, why, got.Body)
			}
		}
	}
}

// What is missing is said wherever a list is read, and not only once all has been tried.
func TestWhatCannotBeReadIsSaid(t *testing.T) {
	w := newWorld(t, "")
	for _, image := range []string{"whole", "damaged"} {
		w.ask(w.add(image, newScan(findings())), "shop")
	}
	w.listed("/images", 2)
	w.damage(w.images["damaged"][0].Digest)
	const missing = "1 reports could not be read"
	for _, list := range []string{"/images", "/vulnerabilities", "/exceptions"} {
		w.eventually(func() bool { return strings.Contains(w.do(http.MethodGet, list).Body.String(), missing) })
		if got := w.do(http.MethodGet, list+".json").Body.String(); !strings.Contains(got, missing) {
			t.Errorf("%s in JSON says only %s", list, got)
		}
		if got := w.do(http.MethodGet, list+".csv").Body.String(); !strings.Contains(got, "# "+missing) {
			t.Errorf("%s in CSV says only %s", list, got)
		}
	}
}

func TestAVulnerabilityIsFoundByAllItsNames(t *testing.T) {
	w := newWorld(t, "")
	w.ask(w.add("one", newScan(findings()[:2])), "shop")
	w.ask(w.add("two", newScan(findings()[1:2])), "pay")
	w.listed("/images", 2)
	for _, name := range []string{"CVE-2026-1", "cve-2026-1", "GHSA-aaaa-bbbb-cccc", "ghsa-AAAA-bbbb-cccc"} {
		rows := w.listed("/vulnerabilities/"+name, 1).table("list")
		if !strings.HasPrefix(rows[0][0], "r.example/one:1") || rows[0][1] != "shop" || rows[0][5] != "openssl" || rows[0][7] != "3.0.2" || rows[0][8] != "yes" {
			t.Errorf("%s: %q", name, rows)
		}
	}
	if rows := w.get("/vulnerabilities/CVE-2026-2").table("list"); len(rows) != 2 {
		t.Errorf("%q", rows)
	}
	if rows := w.get("/packages?name=zlib").table("list"); len(rows) != 2 || rows[0][3] != "CVE-2026-2" {
		t.Errorf("%q", rows)
	}
	rows := w.get("/vulnerabilities").table("list")
	if len(rows) != 2 || rows[0][0] != "CVE-2026-2" || rows[0][4] != "2" || rows[1][0] != "CVE-2026-1" || rows[1][2] != "yes" || rows[0][2] != "not that is known" {
		t.Errorf("%q", rows)
	}
	rec := w.do(http.MethodGet, "/vulnerabilities/CVE-1999-1")
	if rec.Code != http.StatusNotFound || !strings.Contains(rec.Body.String(), "says nothing of images that were not scanned") {
		t.Errorf("of none: %d", rec.Code)
	}
}

func TestExceptionsAreListedWithTheirUse(t *testing.T) {
	w := newWorld(t, "- {cve: CVE-2026-1, images: ['*'], expires: 2027-12-01, reason: used}\n- {cve: CVE-2026-8, images: ['*'], expires: 2026-12-01, reason: not used}\n- {cve: CVE-2026-2, images: ['*'], expires: 2026-01-01, reason: over}\n")
	w.ask(w.add("one", newScan(findings()[:2])), "shop")
	w.listed("/images", 1)
	rows := w.get("/exceptions").table("list")
	if len(rows) != 3 || rows[0][1] != "expired" || rows[1][1] != "expiring" || rows[2][1] != "active" || rows[0][3] != "0" || rows[2][3] != "1" {
		t.Errorf("%q", rows)
	}
	if rows := w.get("/exceptions?state=unused").table("list"); len(rows) != 2 {
		t.Errorf("unused: %q", rows)
	}
}

func TestHealthSaysHowThePartsAre(t *testing.T) {
	w := newWorld(t, "")
	w.ask(w.add("one", newScan(findings())), "shop")
	w.ask(w.add("broken", nil), "shop")
	w.listed("/images", 2)
	d := w.get("/health")
	if rows := d.table("parts"); !equal(rows, [][]string{{"store", "ok", ""}, {"scanner", "not ready", "it is <i>away</i>"}, {"installation", "limited", "not yet"}}) {
		t.Errorf("parts %q", rows)
	}
	if rows := d.table("databases"); len(rows) != 1 || rows[0][1] != "1" || !strings.Contains(rows[0][3], "2 days ago") {
		t.Errorf("databases %q", rows)
	}
	if rows := d.table("failures"); len(rows) != 1 || rows[0][2] != "it is <b>no</b> image" {
		t.Errorf("failures %q", rows)
	}
	if text := d.text("footer"); !strings.Contains(text, "Scans are from") || !strings.Contains(text, "vulnerability data is from 2026-11-25") {
		t.Errorf("the footer says %s", text)
	}
}

// A verdict in a list follows what it depends on: an exception that ends.
func TestAVerdictInAListEndsWithItsException(t *testing.T) {
	w := newWorld(t, "- {cve: CVE-2026-1, images: ['*'], expires: 2026-11-27T13:00:00Z, reason: an hour}\n")
	w.ask(w.add("one", newScan(findings()[:1])), "shop")
	if rows := w.listed("/images", 1).table("list"); rows[0][2] != "✓ accepted" {
		t.Fatalf("%q", rows)
	}
	w.clock.Add(3601)
	w.ask(w.add("other", newScan(findings()[1:2])), "shop") // it looks again by itself in a minute too
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		rows := w.get("/images?q=one").table("list")
		if rows[0][2] == "✗ rejected" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%q", rows)
		}
	}
}

func TestHostileTextStaysTextOnEveryPage(t *testing.T) {
	w := newWorld(t, "")
	for n, h := range hostile() {
		scan := newScan([]report.Vulnerability{
			{ID: h, Aliases: []string{h + "x"}, Package: h, Installed: h, Fixed: h, Severity: report.SeverityCritical, Links: []string{h}},
			{ID: "CVE-2026-77", Package: h, Installed: h, Severity: report.SeverityLow},
		})
		scan.Scanner = h
		w.ask(w.add(fmt.Sprintf("app%d", n), scan), h)
	}
	w.listed("/images", len(hostile()))
	targets := []string{"/images", "/images?q=%3Cscript%3Ealert(1)%3C/script%3E", "/vulnerabilities", "/vulnerabilities/CVE-2026-77", "/health", "/exceptions", "/nothing%3Cscript%3E"}
	for n, h := range hostile() {
		targets = append(targets, "/images/"+digestOf(fmt.Sprintf("app%d", n)), "/vulnerabilities/"+url.PathEscape(h), "/packages?name="+url.QueryEscape(h), "/images?sort="+url.QueryEscape(h), "/images?q="+url.QueryEscape(h))
	}
	for _, target := range targets {
		rec := w.do(http.MethodGet, target)
		d := parse(t, rec.Body.String())
		checkTame(t, d, target)
		for _, a := range d.all("a") {
			if href := attribute(a, "href"); !strings.HasPrefix(href, "/") && href != "#main" || strings.HasPrefix(href, "//") {
				t.Errorf("%s: a link to %q", target, href)
			}
		}
		for _, n := range append(d.all("script"), d.all("link")...) {
			if at := attribute(n, "src") + attribute(n, "href"); !strings.HasPrefix(at, "/assets/") {
				t.Errorf("%s: it loads %q", target, at)
			}
		}
	}
	// What a link of a list leads to is what it says.
	for _, a := range w.get("/vulnerabilities").all("a") {
		href := attribute(a, "href")
		if !strings.HasPrefix(href, "/vulnerabilities/") {
			continue
		}
		if rec := w.do(http.MethodGet, href); rec.Code != http.StatusOK {
			t.Errorf("%s leads to %d", href, rec.Code)
		}
	}
}

func TestOnlyThisSiteMayRead(t *testing.T) {
	w := newWorld(t, "")
	for name, tc := range map[string]struct {
		header []string
		want   int
	}{
		"localhost":           {[]string{"Host", "localhost:1234"}, 200},
		"no port":             {[]string{"Host", "127.0.0.1"}, 200},
		"IPv6":                {[]string{"Host", "[::1]:1234"}, 200},
		"rebinding":           {[]string{"Host", "evil.example:8090"}, 403},
		"rebinding, close":    {[]string{"Host", "localhost.evil.example"}, 403},
		"another address":     {[]string{"Host", "10.0.0.1:8090"}, 403},
		"no host":             {[]string{"Host", ""}, 403},
		"own origin":          {[]string{"Origin", "http://localhost:8090"}, 200},
		"another origin":      {[]string{"Origin", "https://evil.example"}, 403},
		"another port":        {[]string{"Origin", "http://localhost:9999"}, 403},
		"no origin":           {[]string{"Origin", "null"}, 403},
		"typed":               {[]string{"Sec-Fetch-Site", "none"}, 200},
		"same site":           {[]string{"Sec-Fetch-Site", "same-origin"}, 200},
		"fetched elsewhere":   {[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"}, 403},
		"another port's":      {[]string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "script"}, 403},
		"framed elsewhere":    {[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, 403},
		"a link from a chat":  {[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 200},
		"an image of another": {[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, 403},
	} {
		rec := w.do(http.MethodGet, "/images", tc.header...)
		if rec.Code != tc.want {
			t.Errorf("%s: %d, want %d", name, rec.Code, tc.want)
		}
		checkHeaders(t, name, rec.Header())
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions, "BREW"} {
		if rec := w.do(method, "/images"); rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d", method, rec.Code)
		}
	}
	if rec := w.do(http.MethodHead, "/images"); rec.Code != http.StatusOK {
		t.Errorf("HEAD: %d", rec.Code)
	}
	if rec := w.do(http.MethodGet, "/"); rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != "/images" {
		t.Errorf("/: %d to %s", rec.Code, rec.Header().Get("Location"))
	}
}

func checkHeaders(t *testing.T, what string, h http.Header) {
	t.Helper()
	for name, want := range map[string]string{
		"Content-Security-Policy":      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
		"X-Content-Type-Options":       "nosniff",
		"Referrer-Policy":              "no-referrer",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %s: %q", what, name, got)
		}
	}
}

// Pages use what is served with them, by names that change with its content.
func TestAssetsAreServed(t *testing.T) {
	w := newWorld(t, "")
	d := w.get("/images")
	links := append(d.attributes("script", "src"), d.attributes("link", "href")...)
	if len(links) != 3 {
		t.Fatalf("%q", links)
	}
	for _, l := range links {
		rec := w.do(http.MethodGet, l)
		checkHeaders(t, l, rec.Header())
		kind := "text/css; charset=utf-8"
		if strings.HasSuffix(l, ".js") {
			kind = "text/javascript; charset=utf-8"
			for _, sink := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "DOMParser"} {
				if strings.Contains(rec.Body.String(), sink) {
					t.Errorf("%s has %s", l, sink)
				}
			}
		}
		if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != kind || !strings.Contains(rec.Header().Get("Cache-Control"), "immutable") || rec.Body.Len() == 0 {
			t.Errorf("%s: %d %v", l, rec.Code, rec.Header())
		}
	}
	for _, l := range []string{"/assets/style.css", "/assets/../view.go", "/assets/"} {
		if rec := w.do(http.MethodGet, l); rec.Code == http.StatusOK {
			t.Errorf("%s: %d", l, rec.Code)
		}
	}
}

// What was not let in is shown with what there is to do about it now.
func TestBlockedSaysWhatToDo(t *testing.T) {
	d, err := denials.New(denials.Options{Bucket: bucket.NewMemory(), Bytes: 1 << 20, KeepFor: 24 * time.Hour, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, "", func(o *view.Options) { o.Denials, o.Inventory = d, emptyInventory{} })
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	if text := w.get("/blocked").text("main"); !strings.Contains(text, "What was not let in is not known") || strings.Contains(text, "No images") && !strings.Contains(text, "Nothing is known") {
		t.Errorf("before it is read: %s", text)
	}
	wg.Go(func() { _ = d.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	bad, good := w.add("bad", newScan(findings()[:1])), w.add("good", newScan(findings()[1:2]))
	for _, ref := range []string{bad, good} {
		r := w.ask(ref, "shop")
		status := r.Status
		if ref == good {
			status = report.NotAvailable // when it was tried
		}
		d.Saw(denials.Attempt{Namespace: "shop", Owner: owner.Reference{Kind: owner.ReplicaSet, Name: "web-1", UID: "u"}, User: "controller", Image: ref, Digest: r.Digest, Status: status, Message: r.Message})
	}
	d.Saw(denials.Attempt{Namespace: "pay", Pod: "<b>pod", User: "eve", Image: "r.example/<i>gone:1", Status: report.ScanFailed, Message: "there is no such <u>image"})
	w.listed("/images", 2)
	w.listed("/blocked", 3)
	row := func(q string) []string {
		t.Helper()
		return w.listed("/blocked?q="+url.QueryEscape(q), 1).table("list")[0]
	}
	if r := row("bad"); r[1] != "shop" || r[2] != "ReplicaSet/web-1" || r[3] != "✗ rejected" || !strings.HasPrefix(r[4], "CVE-2026-1") || r[5] != "✗ rejected" || !strings.HasPrefix(r[6], "upgrade what") || r[8] != "1" {
		t.Errorf("%q", r)
	}
	if r := row("good"); r[3] != "… report_not_available" || r[5] != "✓ accepted" || !strings.HasPrefix(r[6], "it is accepted now") {
		t.Errorf("%q", r)
	}
	if r := row("eve"); r[0] != "r.example/<i>gone:1" || r[2] != "<b>pod" || r[5] != "not known" || !strings.HasPrefix(r[6], "mend what") {
		t.Errorf("%q", r)
	}
	checkTame(t, w.get("/blocked"), "what was not let in")
	w.listed("/blocked?status=rejected", 1)
	// Where it runs is not known, and that is said.
	if text := w.get("/images/" + digestOf("bad")).text("main"); !strings.Contains(text, "Where it runs is not known: nobody has read <b>any") {
		t.Errorf("%s", text)
	}
	if rows := w.get("/images?q=bad").table("list"); rows[0][8] != "not known" {
		t.Errorf("it runs in %q", rows[0][8])
	}
	o := w.options
	o.Denials, o.Inventory = nil, nil
	if w.view, err = view.New(o); err != nil {
		t.Fatal(err)
	}
	if text := w.get("/images/" + digestOf("bad")).text("main"); !strings.Contains(text, "Where it runs is not known: the provider does not follow it (inventory.enabled)") {
		t.Errorf("%s", text)
	}
}

// emptyInventory has read nothing.
type emptyInventory struct{}

func (emptyInventory) Snapshot() *inventory.Snapshot {
	return inventory.Empty("nobody has read <b>any")
}
