// Package backendtest is the conformance suite of scanner backends. Each
// backend's test brings a server that speaks its scanner's wire format as
// scripted; the suite then asks of all of them the same: right reports, honest
// failures, no report where there was none, prompt ends, no mix-ups.
package backendtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/report"
)

// Backend is what is tested.
type Backend interface {
	Scan(ctx context.Context, image backend.Image) (*report.Scan, error)
}

// Script is how a server behaves. The zero value serves a clean report at once.
type Script struct {
	// Findings is what every report lists.
	Findings []report.Vulnerability
	// Pending is how often a scan is "not ready" before its report is.
	Pending int
	// Hang keeps every scan pending for ever.
	Hang bool
	// Silent accepts requests and answers none until they are given up.
	Silent bool
	// Status, when not zero, answers whatever starts a scan, with Header.
	Status int
	Header http.Header
	// Body, when not nil, is sent with status 200 in place of the report.
	Body []byte
	// Truncate sends half of the report.
	Truncate bool
	// Down means that nobody listens.
	Down bool
	// Lack is what is wrong with every report; empty for nothing.
	Lack Lack
	// Coverage is what every report says was looked at; nil for the default of
	// Looked. A format that does not tell leaves it out.
	Coverage *report.Coverage
}

// Harness makes a backend whose scanner behaves as scripted.
type Harness struct {
	Start func(t *testing.T, s Script) Backend
	// Package is the import path of the backend, to find its goroutines.
	Package string
	// Cannot are the lacks that a report of the backend's format cannot have, or
	// cannot be told by, with the reason.
	Cannot map[Lack]string
	// PassesOver says that the backend does not fail for an incomplete report but
	// looks elsewhere, where it finds nothing.
	PassesOver bool
	// NoCoverage is why the backend's format does not tell what was looked at,
	// NoUnmatched why it does not tell how much of it nobody could look up, and
	// NoEndOfLife why it does not tell when a distribution ends.
	NoCoverage  string
	NoUnmatched string
	NoEndOfLife string
}

// secret must never show in what a backend says.
const secret = "c2VjcmV0OnNlY3JldA==" //nolint:gosec // a password that opens nothing

// Image returns a valid image to scan; n tells one from another.
func Image(n int) backend.Image {
	return backend.Image{
		Registry:      "https://registry.example",
		Repository:    "team/app",
		Digest:        fmt.Sprintf("sha256:%064x", n+1),
		Tag:           "1",
		MediaType:     "application/vnd.oci.image.manifest.v1+json",
		Platform:      "linux/amd64",
		Authorization: "Basic " + secret,
	}
}

// Findings returns two findings, the worse one last.
func Findings() []report.Vulnerability {
	return []report.Vulnerability{
		{ID: "CVE-2020-0001", Package: "libexample", Installed: "1.0", Severity: report.SeverityLow},
		{ID: "CVE-2021-38561", Package: "golang.org/x/text", Installed: "v0.3.5", Fixed: "0.3.7", Severity: report.SeverityHigh},
	}
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Run("reports", func(t *testing.T) { reports(t, h) })
	t.Run("statuses", func(t *testing.T) { statuses(t, h) })
	t.Run("bodies", func(t *testing.T) { bodies(t, h) })
	t.Run("incomplete reports", func(t *testing.T) { Incomplete(t, h) })
	t.Run("unreachable", func(t *testing.T) { unreachable(t, h) })
	t.Run("deadline", func(t *testing.T) { deadline(t, h) })
	t.Run("cancellation", func(t *testing.T) { cancellation(t, h) })
	t.Run("concurrency", func(t *testing.T) { concurrency(t, h) })
}

func reports(t *testing.T, h Harness) {
	for name, s := range map[string]Script{
		"clean":                  {},
		"findings":               {Findings: Findings()},
		"findings after a while": {Findings: Findings(), Pending: 3},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := h.Start(t, s).Scan(t.Context(), Image(0))
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Vulnerabilities) != len(s.Findings) {
				t.Fatalf("%d findings, want %d", len(got.Vulnerabilities), len(s.Findings))
			}
			if len(s.Findings) > 0 && got.Vulnerabilities[0].ID != "CVE-2021-38561" {
				t.Errorf("the first finding is %+v, want the worst", got.Vulnerabilities[0])
			}
			if got.Scanner == "" || got.ScannedAt.IsZero() {
				t.Errorf("scanner %q at %s: both must be set", got.Scanner, got.ScannedAt)
			}
			var object map[string]any
			if err := json.Unmarshal(got.Inner, &object); err != nil {
				t.Errorf("the inner report is no object: %v", err)
			}
			if bytes.Contains(got.Inner, []byte(secret)) {
				t.Error("the inner report holds the registry's authorization")
			}
		})
	}
}

// check returns the failure and asserts what holds for every one.
func check(t *testing.T, scan *report.Scan, err error) *report.Failure {
	t.Helper()
	if scan != nil {
		t.Fatalf("there is a report: %+v", scan)
	}
	f, ok := errors.AsType[*report.Failure](err)
	if !ok {
		t.Fatalf("error is %T %v, want a *report.Failure", err, err)
	}
	if f.Message == "" {
		t.Error("the failure has no message")
	}
	if strings.Contains(f.Message, secret) {
		t.Errorf("message %q holds the registry's authorization", f.Message)
	}
	return f
}

func statuses(t *testing.T, h Harness) {
	for _, status := range []int{204, 301, 302, 400, 401, 403, 404, 405, 409, 415, 418, 422, 429, 500, 501, 502, 503, 504} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			scan, err := h.Start(t, Script{
				Status: status,
				Header: http.Header{"Retry-After": {"9"}, "Location": {"/elsewhere"}},
			}).Scan(t.Context(), Image(0))
			f := check(t, scan, err)
			switch status {
			case 429, 503:
				if f.Reason != report.ReasonUnavailable || f.RetryAfter != 9*time.Second {
					t.Errorf("reason %s after %s, want unavailable after 9s", f.Reason, f.RetryAfter)
				}
			case 502, 504:
				if f.Reason != report.ReasonUnavailable {
					t.Errorf("reason %s, want unavailable", f.Reason)
				}
			case 401, 403:
				if f.Reason == report.ReasonUnauthorized {
					t.Error("the scanner's refusal of our token reads as the registry's of the image")
				}
			}
		})
	}
}

func bodies(t *testing.T, h Harness) {
	for name, body := range map[string]string{
		"empty": "", "null": "null", "object": "{}", "array": "[]", "string": `"ok"`,
		"cut": `{"scanner":{"name":"x"`, "html": "<html>busy</html>", "two": `{} {}`,
	} {
		t.Run(name, func(t *testing.T) {
			scan, err := h.Start(t, Script{Body: []byte(body)}).Scan(t.Context(), Image(0))
			_ = check(t, scan, err)
		})
	}
	t.Run("truncated", func(t *testing.T) {
		scan, err := h.Start(t, Script{Findings: Findings(), Truncate: true}).Scan(t.Context(), Image(0))
		_ = check(t, scan, err)
	})
}

func unreachable(t *testing.T, h Harness) {
	scan, err := h.Start(t, Script{Down: true}).Scan(t.Context(), Image(0))
	if f := check(t, scan, err); f.Reason != report.ReasonUnavailable {
		t.Errorf("reason %s, want unavailable", f.Reason)
	}
}

func deadline(t *testing.T, h Harness) {
	for name, s := range map[string]Script{"pending": {Hang: true}, "silent": {Silent: true}} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
			defer cancel()
			scan, err := h.Start(t, s).Scan(ctx, Image(0))
			if f := check(t, scan, err); f.Reason != report.ReasonTimeout {
				t.Errorf("reason %s (%v), want timeout", f.Reason, f.Err)
			}
		})
	}
}

func cancellation(t *testing.T, h Harness) {
	for name, s := range map[string]Script{"pending": {Hang: true}, "silent": {Silent: true}} {
		t.Run(name, func(t *testing.T) {
			b := h.Start(t, s)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				scan, err := b.Scan(ctx, Image(0))
				if scan != nil {
					err = fmt.Errorf("there is a report: %+v", scan)
				}
				done <- err
			}()
			time.AfterFunc(50*time.Millisecond, cancel)
			f := check(t, nil, <-done)
			if !errors.Is(f, context.Canceled) {
				t.Errorf("error %v is not context.Canceled", f)
			}
			gone(t, h.Package)
		})
	}
}

// gone waits until no goroutine runs the package's code.
func gone(t *testing.T, pkg string) {
	t.Helper()
	buf := make([]byte, 1<<20)
	end := time.Now().Add(10 * time.Second)
	for {
		stacks := string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(stacks, pkg+".") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("goroutines of %s are left:\n%s", pkg, stacks)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func concurrency(t *testing.T, h Harness) {
	b := h.Start(t, Script{Findings: Findings(), Pending: 2})
	var wg sync.WaitGroup
	for n := range 24 {
		wg.Go(func() {
			got, err := b.Scan(t.Context(), Image(n))
			if err != nil {
				t.Errorf("image %d: %v", n, err)
				return
			}
			// Some reports name an image by the bare sum of its digest.
			if !bytes.Contains(got.Inner, []byte(strings.TrimPrefix(Image(n).Digest, "sha256:"))) {
				t.Errorf("image %d got the report of another", n)
			}
		})
	}
	wg.Wait()
}
