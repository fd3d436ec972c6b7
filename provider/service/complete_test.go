package service_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
)

// bare is a backend whose scans are taken as they are.
type bare func(image backend.Image) *report.Scan

func (f bare) Scan(_ context.Context, image backend.Image) (*report.Scan, error) {
	return f(image), nil
}
func (bare) Sharing(backend.Image) backend.Sharing { return backend.ByDigest }

func looked(image backend.Image) *report.Scan {
	return &report.Scan{Scanner: "test", Subject: image.Digest, ScannedAt: time.Now(), Coverage: &report.Coverage{Packages: 1}}
}

func TestNoBackendGetsAroundCompleteness(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*report.Scan)
		want   string
	}{
		"no scan":         {nil, "the scanner returned neither a report nor an error"},
		"no scanner":      {func(s *report.Scan) { s.Scanner = "" }, "names no scanner"},
		"no time":         {func(s *report.Scan) { s.ScannedAt = time.Time{} }, "does not say when it was made"},
		"the future":      {func(s *report.Scan) { s.ScannedAt = time.Now().Add(time.Hour) }, "in the future"},
		"no subject":      {func(s *report.Scan) { s.Subject = "" }, "which image"},
		"another subject": {func(s *report.Scan) { s.Subject = "sha256:b" }, "about sha256:b instead of sha256:a"},
		"silence":         {func(s *report.Scan) { s.Coverage = nil }, report.SaidNothing},
		"a nameless flaw": {func(s *report.Scan) { s.Vulnerabilities = []report.Vulnerability{{Package: "p"}} }, "no identifier"},
		"older than maxAge": {func(s *report.Scan) { s.ScannedAt = time.Now().Add(-25 * time.Hour) },
			"it was made at 1999-12-30T23:00:00Z, and reports may be 24h0m0s old (scan.maxAge)"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				svc := newService(t, registryFunc(oneManifest), bare(func(image backend.Image) *report.Scan {
					if tc.change == nil {
						return nil
					}
					s := looked(image)
					tc.change(s)
					return s
				}), func(o *service.Options) { o.MaxAge = 24 * time.Hour })
				defer closeService(t, svc)
				r := ask(t, svc, "a", time.Minute)
				if r.Status != report.ScanFailed || !strings.Contains(r.Message, tc.want) || r.Summary != nil {
					t.Errorf("%s %q, want scan_failed with %q", r.Status, r.Message, tc.want)
				}
			})
		})
	}
}

// A scanner may hand out a report that it made long ago.
func TestAgesCountFromWhenTheScanWasMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := time.Now().Add(-23 * time.Hour)
		var scans atomic.Int32
		svc := newService(t, registryFunc(oneManifest), bare(func(image backend.Image) *report.Scan {
			scans.Add(1)
			s := looked(image)
			s.ScannedAt = made
			return s
		}), func(o *service.Options) { o.RefreshAfter, o.MaxAge = 12*time.Hour, 24*time.Hour })
		defer closeService(t, svc)
		if r := ask(t, svc, "a", time.Minute); r.Status != report.Accepted {
			t.Fatalf("a report of 23 hours: %+v", r)
		}
		for range 30 {
			if r := ask(t, svc, "a", time.Minute); r.Status != report.Accepted {
				t.Fatalf("a report of 23 hours: %+v", r)
			}
			time.Sleep(time.Minute)
		}
		if n := scans.Load(); n != 1 {
			t.Errorf("%d scans of a report that the scanner will not make anew, want 1", n)
		}
		time.Sleep(time.Hour)
		if r := ask(t, svc, "a", time.Minute); r.Status != report.ScanFailed || !strings.Contains(r.Message, "scan.maxAge") {
			t.Errorf("a report of 24 hours: %s %q", r.Status, r.Message)
		}
	})
}

// The clock of this machine may have been wrong when a scan was kept.
func TestAKeptScanOfTheFutureIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var back atomic.Int64
		now := func() time.Time { return time.Now().Add(-time.Duration(back.Load())) }
		svc := newService(t, registryFunc(oneManifest), bare(func(image backend.Image) *report.Scan {
			s := looked(image)
			s.ScannedAt = now()
			if back.Load() > 0 {
				time.Sleep(time.Second)
				s.Vulnerabilities = vulnerable().Vulnerabilities
			}
			return s
		}), func(o *service.Options) { o.Now = now })
		defer closeService(t, svc)
		if r := ask(t, svc, "a", time.Minute); r.Status != report.Accepted {
			t.Fatalf("%+v", r)
		}
		back.Store(int64(24 * time.Hour))
		if r := ask(t, svc, "a", time.Millisecond); r.Status != report.NotAvailable || !strings.Contains(r.Message, "dated in the future") {
			t.Errorf("a scan of the future: %s %q", r.Status, r.Message)
		}
		if r := ask(t, svc, "a", time.Minute); r.Status != report.Rejected {
			t.Errorf("after it was made again: %s %q", r.Status, r.Message)
		}
	})
}

func TestWhatCouldNotBeLookedUpIsAFailureWithItsCoverage(t *testing.T) {
	svc := newService(t, registryFunc(oneManifest), bare(func(image backend.Image) *report.Scan {
		s := looked(image)
		s.Coverage = &report.Coverage{Distribution: "debian trixie/sid", Packages: 412, Unmatched: 412}
		return s
	}))
	defer closeService(t, svc)
	r := ask(t, svc, "a", time.Minute)
	if r.Status != report.ScanFailed || !strings.HasPrefix(r.Message, "412 of 412 packages could not be looked up: the scanner has no records of debian trixie/sid") {
		t.Errorf("%s %q", r.Status, r.Message)
	}
	if r.Summary == nil || r.Summary.Coverage == nil || r.Summary.Coverage.Unmatched != 412 {
		t.Errorf("its summary does not say so: %+v", r.Summary)
	}
}
