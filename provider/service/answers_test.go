package service_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
)

// largeReports answers references "small..." with a clean image and all others
// with a report as large as a view can be.
func largeReports(t *testing.T, change ...func(*service.Options)) *service.Service {
	t.Helper()
	reg := registryFunc(func(_ context.Context, ref string, _ registry.Access) (*registry.Resolved, error) {
		digest := "sha256:" + ref
		return &registry.Resolved{Digest: digest, Manifests: []registry.Manifest{{Digest: digest}}}, nil
	})
	var found []report.Vulnerability
	for i := range 1000 {
		found = append(found, report.Vulnerability{ID: fmt.Sprintf("CVE-2024-%d", i), Package: "p", Installed: "1", Description: strings.Repeat("<", 150)})
	}
	inner, err := json.Marshal(map[string]string{"markup": strings.Repeat("x", 300<<10)})
	if err != nil {
		t.Fatal(err)
	}
	svc := newService(t, reg, scannerFunc(func(_ context.Context, i backend.Image) (*report.Scan, error) {
		if strings.HasPrefix(i.Digest, "sha256:small") {
			return clean(), nil
		}
		return &report.Scan{Scanner: "test", Vulnerabilities: append([]report.Vulnerability(nil), found...), Inner: inner}, nil
	}), change...)
	t.Cleanup(func() { closeService(t, svc) })
	return svc
}

func encodedSize(t *testing.T, reports []report.ScanReport) int {
	t.Helper()
	b, err := json.Marshal(reports)
	if err != nil {
		t.Fatal(err)
	}
	return len(b)
}

// 256 references with view=full made an answer of 237 MiB.
func TestAnAnswerStaysWithinItsBytes(t *testing.T) {
	const most = 4 << 20
	svc := largeReports(t, func(o *service.Options) { o.AnswerBytes = most; o.Workers = 16; o.Queue = 1000 })
	for _, view := range []report.View{report.ViewFull, report.ViewFindings, report.ViewSummary} {
		queries := make([]service.Query, 256)
		for i := range queries {
			queries[i] = service.Query{Reference: fmt.Sprintf("large%d", i%8), View: view}
		}
		reports := svc.Reports(t.Context(), queries)
		n := encodedSize(t, reports)
		fmt.Printf("256 keys, view %s: %d KiB of %d KiB\n", view, n>>10, most>>10)
		if n > most+most/16 {
			t.Errorf("view %s: the answer is of %d bytes, more than %d", view, n, most)
		}
		for _, r := range reports {
			if r.Status != report.Accepted || r.Summary == nil || r.Summary.Total != 1000 {
				t.Fatalf("view %s: %s %q, %+v", view, r.Status, r.Message, r.Summary)
			}
			if view != report.ViewSummary && (!r.Truncated || !strings.Contains(r.Message, "(")) {
				t.Fatalf("view %s: what is cut does not say so: %q", view, r.Message)
			}
		}
	}
}

// What small reports leave over goes to the large ones, and none is cut for the
// others when all fit.
func TestAnAnswerIsSharedFairly(t *testing.T) {
	svc := largeReports(t, func(o *service.Options) { o.AnswerBytes, o.Queue = 2<<20, 1000 })
	var queries []service.Query
	for i := range 20 {
		queries = append(queries, service.Query{Reference: fmt.Sprintf("small%d", i), View: report.ViewFull})
	}
	queries = append(queries, service.Query{Reference: "large", View: report.ViewFindings}, service.Query{Reference: "large", View: report.ViewFindings})
	reports := svc.Reports(t.Context(), queries)
	for _, r := range reports[:20] {
		if r.Truncated {
			t.Fatalf("a small report is cut: %q", r.Message)
		}
	}
	a, b := len(reports[20].Vulnerabilities), len(reports[21].Vulnerabilities)
	if a == 0 || b < a*9/10 || a < b*9/10 {
		t.Errorf("equal reports keep %d and %d findings", a, b)
	}
	if n := encodedSize(t, reports[20:]); n < 1<<20 {
		t.Errorf("the large reports have %d bytes, less than small ones left over", n)
	}
}

func TestNoTimeIsLeftForMoreThanSummaries(t *testing.T) {
	svc := largeReports(t)
	q := []service.Query{{Reference: "large", View: report.ViewFull}}
	svc.Reports(t.Context(), q) // scanned
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	// The image is known whatever the time, and its verdict counts.
	r := svc.Reports(ctx, q)[0]
	if r.Status != report.Accepted || !r.Truncated || r.InnerReport != nil || r.Vulnerabilities != nil || r.Summary == nil || !strings.Contains(r.Message, "no time was left") {
		t.Errorf("%s %q truncated %t, summary %+v", r.Status, r.Message, r.Truncated, r.Summary)
	}
}
