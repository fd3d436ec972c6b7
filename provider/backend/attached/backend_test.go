package attached_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/attached"
	"github.com/imagegate/imagegate/provider/backend/attached/attachedtest"
	"github.com/imagegate/imagegate/provider/backend/backendtest"
	"github.com/imagegate/imagegate/provider/backend/route"
	"github.com/imagegate/imagegate/provider/report"
)

var _ route.Backend = (*attached.Backend)(nil)

// next is the scanner behind, in process.
type next struct {
	script backendtest.Script
	scans  int
	ready  error
}

func (n *next) Sharing(backend.Image) backend.Sharing { return backend.ByDigest }
func (n *next) Ready(context.Context) error           { return n.ready }
func (n *next) Generation(context.Context) (backend.Generation, error) {
	return backend.Generation{Scanner: "next 1"}, n.ready
}

func (n *next) Scan(ctx context.Context, image backend.Image) (*report.Scan, error) {
	s := n.script
	fail := func(reason report.Reason, err error) (*report.Scan, error) {
		return nil, &report.Failure{Reason: reason, Message: "the scanner failed", Err: err}
	}
	switch {
	case s.Hang || s.Silent:
		<-ctx.Done()
		if errors.Is(ctx.Err(), context.Canceled) {
			return fail(report.ReasonUnavailable, ctx.Err())
		}
		return fail(report.ReasonTimeout, ctx.Err())
	case s.Down:
		return fail(report.ReasonUnavailable, nil)
	case s.Status >= http.StatusTooManyRequests && s.Status != http.StatusInternalServerError && s.Status != http.StatusNotImplemented:
		after, _ := strconv.Atoi(s.Header.Get("Retry-After"))
		return nil, &report.Failure{Reason: report.ReasonUnavailable, Message: "busy", RetryAfter: time.Duration(after) * time.Second}
	case s.Status != 0, s.Body != nil, s.Truncate:
		return fail(report.ReasonInternal, nil)
	}
	scan := &report.Scan{Scanner: "next 1", ScannedAt: time.Now(), Inner: json.RawMessage(fmt.Sprintf(`{"digest":%q}`, image.Digest))}
	scan.Vulnerabilities = append(scan.Vulnerabilities, s.Findings...)
	report.Arrange(scan.Vulnerabilities)
	return scan, nil
}

// The suite's images are in a registry that cannot be reached: every failure
// and report must be the backend's own.
func TestConformance(t *testing.T) {
	backendtest.Run(t, backendtest.Harness{
		Package:    "github.com/imagegate/imagegate/provider/backend/attached",
		PassesOver: true,
		Cannot:     map[backendtest.Lack]string{backendtest.WorseOverall: "reports that are attached have no severity of an image as a whole"},
		NoCoverage: "a report that names no distribution, or in which something could not be looked up, is passed over: see TestCoverage of package predicate",
		Start: func(t *testing.T, s backendtest.Script) backendtest.Backend {
			if s.Lack != "" {
				return lacking(t, s)
			}
			f, err := attached.New(attached.Options{
				Keys: [][]byte{attachedtest.NewSigner(t).PEM(t)}, Timeout: 20 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(f.Close)
			return f.Wrap(&next{script: s})
		},
	})
}

// counting counts the scans.
type counting struct{ next }

func (c *counting) Scan(ctx context.Context, image backend.Image) (*report.Scan, error) {
	c.scans++
	return c.next.Scan(ctx, image)
}

func TestAnAttachedReportSavesTheScan(t *testing.T) {
	w := newWorld(t, true)
	behind := &counting{next{ready: errors.New("not yet")}}
	b := w.finder().Wrap(behind)
	if s, err := b.Scan(t.Context(), w.image); err != nil || s.Scanner != "next 1" || behind.scans != 1 {
		t.Fatalf("without a report: %+v, %v, %d scans", s, err, behind.scans)
	}
	w.bundle(w.report(time.Hour, "CVE-1"))
	if s, err := b.Scan(t.Context(), w.image); err != nil || s.Scanner != "attached: Grype 0.120.1" || behind.scans != 1 {
		t.Errorf("with a report: %+v, %v, %d scans", s, err, behind.scans)
	}
	// A look-up that fails is no acceptance.
	w.handler = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) })
	if s, err := b.Scan(t.Context(), w.image); err != nil || s.Scanner != "next 1" || behind.scans != 2 {
		t.Errorf("registry down: %+v, %v, %d scans", s, err, behind.scans)
	}
	if err := b.Ready(t.Context()); err != behind.ready { //nolint:errorlint // the very same
		t.Errorf("Ready: %v", err)
	}
	if s := b.Sharing(backend.Image{}); s != backend.ByName {
		t.Errorf("Sharing: %d", s)
	}
	if g, _ := b.Generation(t.Context()); g.Scanner != "next 1" {
		t.Errorf("Generation: %+v", g)
	}
}

func TestStatementsGoWithEveryScan(t *testing.T) {
	w := newWorld(t, true)
	b := w.finder().Wrap(&next{})
	doc := map[string]any{"@context": "https://openvex.dev/ns/v0.2.0", "statements": []any{}}
	w.bundle(attachedtest.Statement(t, "https://openvex.dev/ns", doc, w.image.Digest))
	if s, err := b.Scan(t.Context(), w.image); err != nil || s.Attached || len(s.VEX) != 1 {
		t.Errorf("with a scan of the backend: %+v, %v", s, err)
	}
	w.bundle(w.report(time.Hour, "CVE-1"))
	if s, err := b.Scan(t.Context(), w.image); err != nil || !s.Attached || len(s.VEX) != 1 {
		t.Errorf("with an attached report: %+v, %v", s, err)
	}
}

func TestAReportReplacesNoPolicy(t *testing.T) {
	w := newWorld(t, true)
	b := w.finder().WrapVEX(&next{})
	w.bundle(w.report(time.Hour, "CVE-1"))
	w.bundle(attachedtest.Statement(t, "https://openvex.dev/ns", map[string]any{"statements": []any{}}, w.image.Digest))
	s, err := b.Scan(t.Context(), w.image)
	if err != nil || s.Scanner != "next 1" || s.Attached || len(s.VEX) != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if c := w.counts(); c["unwanted"] != 1 || c["used"] != 1 || c["found"] != 0 {
		t.Errorf("counts %v", c)
	}
}

func TestAScanWithoutItsLookUpIsMadeAgainSoon(t *testing.T) {
	for _, tc := range []struct {
		status int
		after  time.Duration
	}{
		{http.StatusServiceUnavailable, 5 * time.Minute},
		{http.StatusTooManyRequests, 5 * time.Minute},
		{http.StatusForbidden, time.Hour},
		{0, 0},
	} {
		w := newWorld(t, true)
		if tc.status != 0 {
			w.handler = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(tc.status) })
		}
		s, err := w.finder().Wrap(&next{}).Scan(t.Context(), w.image)
		if err != nil {
			t.Fatal(err)
		}
		var want time.Time
		if tc.after != 0 {
			want = now().Add(tc.after)
		}
		if !s.RefreshAt.Equal(want) {
			t.Errorf("%d: again at %s, want %s", tc.status, s.RefreshAt, want)
		}
	}
	w := newWorld(t, true)
	w.options.MaxReferrers = 1
	w.bundle(w.report(time.Hour, "CVE-1"))
	w.bundle(w.report(time.Hour, "CVE-2"))
	if s, err := w.finder().Wrap(&next{}).Scan(t.Context(), w.image); err != nil || !s.RefreshAt.Equal(now().Add(time.Hour)) {
		t.Errorf("too many attachments: %+v, %v", s, err)
	}
}
