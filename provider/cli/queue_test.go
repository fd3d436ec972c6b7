package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/provider/admin"
	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/config"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func scannerImage() backend.Image {
	return backend.Image{Registry: "https://ghcr.io", Repository: "app", Tag: "1", Digest: "sha256:0"}
}

// queueCLI runs provider queue with the data folder.
func queueCLI(t *testing.T, dir string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Main(append(append([]string{"queue"}, args...), "--data-dir", dir), &o, &e)
	return code, o.String(), e.String()
}

func TestTheQueueIsLookedIntoAndMended(t *testing.T) {
	w := newWorld(t)
	release := w.adapter.hold()
	defer release()
	w.adapter.change(func(a *adapter) { a.refused["shop/broken"] = true })
	c := w.configured(t, func(c *config.Config) {
		c.Scan.Workers = 1
		c.Scan.Negative.Transient.Duration, c.Scan.Negative.Initial.Duration, c.Scan.Negative.Max.Duration = time.Hour, time.Hour, time.Hour
	})
	p := start(t, c)
	broken, one, two := w.push(t, "shop/broken"), w.push(t, "shop/one"), w.push(t, "other/two")
	if a := p.ask(t, broken, "shop", 20*time.Second); a.Status != "scan_failed" {
		t.Fatalf("%+v", a)
	}
	p.ask(t, one, "shop", 100*time.Millisecond)
	eventually(t, func() string {
		if got := w.adapter.scans(); len(got) != 2 {
			return fmt.Sprintf("scanned %v", got)
		}
		return ""
	})
	p.ask(t, two, "other", 100*time.Millisecond)

	list := func(args ...string) map[string]admin.Scan {
		code, out, errs := queueCLI(t, c.DataDir, append([]string{"list", "-o", "json"}, args...)...)
		var l admin.Listing
		if err := json.Unmarshal([]byte(out), &l); err != nil || code != 0 {
			t.Fatalf("%d %v %s %s", code, err, out, errs)
		}
		by := map[string]admin.Scan{}
		for _, s := range l.Scans {
			by[s.Repository] = s
		}
		if len(by) != len(l.Scans) {
			t.Errorf("some are there twice: %s", out)
		}
		return by
	}
	var all map[string]admin.Scan
	eventually(t, func() string {
		all = list()
		if all["shop/one"].State != admin.Running || all["other/two"].State != admin.Waiting || all["shop/broken"].State != admin.Failed || len(all) != 3 {
			return fmt.Sprintf("%+v", all)
		}
		return ""
	})
	if r := all["shop/one"]; r.Holder == "" || r.Attempt != 1 || r.Since.IsZero() || r.Namespace != "shop" || !strings.HasPrefix(r.Image, w.registry+"/shop/one@sha256:") || r.Tag != "1" {
		t.Errorf("running is %+v", r)
	}
	if f := all["shop/broken"]; f.Attempt != 1 || f.Reason == "" || !strings.Contains(f.Message, "422") || f.Until.Sub(f.FailedAt) != time.Hour {
		t.Errorf("failed is %+v", f)
	}
	for want, args := range map[string][]string{
		"shop/broken":          {"--failed"},
		"other/two":            {"--namespace", "other"},
		"shop/broken shop/one": {"--image", w.registry + "/shop"},
		"shop/one":             {"--image", w.registry + "/shop/one:1", "--namespace", "shop"},
		"":                     {"--image", w.registry + "/shop/one:2"},
	} {
		got := list(args...)
		if len(got) != len(strings.Fields(want)) {
			t.Errorf("%v: %v", args, got)
		}
		for _, repository := range strings.Fields(want) {
			if _, ok := got[repository]; !ok {
				t.Errorf("%v: %v lacks %s", args, got, repository)
			}
		}
	}
	_, out, _ := queueCLI(t, c.DataDir, "list")
	for _, want := range []string{"ID ", "running", w.registry + "/shop/one:1", " on ", "1 waiting, 1 running on 1 slots, 1 failed", "not tried for"} {
		if !strings.Contains(out, want) {
			t.Errorf("the table lacks %q:\n%s", want, out)
		}
	}
	_, out, _ = queueCLI(t, c.DataDir, "show", all["shop/broken"].ID)
	for _, want := range []string{"State:             failed", "Namespace:         shop", "Digest:            sha256:", "Tried again from:"} {
		if !strings.Contains(out, want) {
			t.Errorf("the page lacks %q:\n%s", want, out)
		}
	}
	_, out, _ = queueCLI(t, c.DataDir, "show", all["other/two"].ID, "-o", "yaml")
	var shown admin.Scan
	if err := yaml.Unmarshal([]byte(out), &shown); err != nil || shown.ID != all["other/two"].ID || shown.State != admin.Waiting {
		t.Errorf("%v: %s", err, out)
	}

	// What failed is made again, without anybody asking.
	w.adapter.change(func(a *adapter) { a.refused = nil })
	if code, out, errs := queueCLI(t, c.DataDir, "retry", all["shop/broken"].ID); code != 0 || out != "1 queued again\n" {
		t.Fatalf("%d %s %s", code, out, errs)
	}
	if code, out, _ := queueCLI(t, c.DataDir, "purge", "--namespace", "other"); code != 0 || out != "1 purged\n" {
		t.Errorf("%d %s", code, out)
	}
	release()
	eventually(t, func() string {
		if got := w.adapter.scans(); len(got) != 3 || got[2] != "shop/broken" {
			return fmt.Sprintf("scanned %v", got)
		}
		return ""
	})
	if a := p.ask(t, broken, "shop", 20*time.Second); a.Status != "accepted" {
		t.Errorf("made again: %+v", a)
	}
	eventually(t, func() string {
		if left := list(); len(left) != 0 {
			return fmt.Sprintf("left are %+v", left)
		}
		return ""
	})
	if got := w.adapter.scans(); len(got) != 3 {
		t.Errorf("what was purged is scanned: %v", got)
	}

	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"retry"}, 2, "nothing is chosen"},
		{[]string{"purge"}, 2, "nothing is chosen"},
		{[]string{"purge", "nonsense"}, 1, "nonsense: there is no such scan"},
		{[]string{"show", "nonsense"}, 2, "there is no scan nonsense"},
		{[]string{"show"}, 2, "takes one ID"},
		{[]string{"list", "-o", "xml"}, 2, "table, json or yaml"},
		{[]string{"list", "--image", "UPPER case"}, 2, "UPPER case"},
		{[]string{"retry", "--all"}, 0, ""},
	} {
		code, _, errs := queueCLI(t, c.DataDir, tc.args...)
		if code != tc.code || !strings.Contains(errs, tc.want) {
			t.Errorf("%v: %d %s, want %d and %q", tc.args, code, errs, tc.code, tc.want)
		}
	}
	p.end(t)
	if code, _, errs := queueCLI(t, c.DataDir, "list"); code != 2 || !strings.Contains(errs, "no provider serves with the data folder "+c.DataDir) || !strings.Contains(errs, "kubectl exec") {
		t.Errorf("%d %s", code, errs)
	}
}
