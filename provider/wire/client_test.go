package wire_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/frameworks/constraint/pkg/externaldata"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/wire"
)

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// provider serves answer for any request and records what was asked.
func provider(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, keys []string)) *wire.Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys, err := wire.ReadRequest(r.Body, wire.Limits{Keys: 100, KeyBytes: 1000})
		if err != nil {
			t.Errorf("the client's request: %v", err)
		}
		answer(w, r, keys)
	}))
	t.Cleanup(s.Close)
	return &wire.Client{BaseURL: s.URL, HTTPClient: s.Client()}
}

func write(w http.ResponseWriter, resp *externaldata.ProviderResponse) {
	_ = json.NewEncoder(w).Encode(resp)
}

func keys(refs ...string) []wire.Key {
	var ks []wire.Key
	for _, r := range refs {
		ks = append(ks, wire.Key{Reference: r, Namespace: "team"})
	}
	return ks
}

func TestDigestsAnswersInOrder(t *testing.T) {
	var path string
	var asked []string
	c := provider(t, func(w http.ResponseWriter, r *http.Request, ks []string) {
		path, asked = r.URL.Path, ks
		write(w, wire.NewResponse([]externaldata.Item{
			wire.ErrorItem(ks[1], errors.New("no such image")),
			{Key: ks[0], Value: "a@" + digest},
			{Key: ks[3], Value: 7},
		}))
	})
	got, err := c.Digests(t.Context(), keys("a:1", "b:1", "c:1", "d:1"))
	if err != nil {
		t.Fatal(err)
	}
	if path != wire.PathDigests || !slices.Equal(asked, []string{
		"a:1?namespace=team", "b:1?namespace=team", "c:1?namespace=team", "d:1?namespace=team"}) {
		t.Errorf("asked %s for %q", path, asked)
	}
	if got[0].Pinned != "a@"+digest || got[0].Err != nil {
		t.Errorf("a:1 = %+v", got[0])
	}
	for i, want := range []string{1: "no such image", 2: "no answer", 3: "float64"} {
		if want != "" && (got[i].Err == nil || !strings.Contains(got[i].Err.Error(), want)) {
			t.Errorf("answer %d = %+v, want error %q", i, got[i], want)
		}
	}
}

func TestReportsCarriesTheWait(t *testing.T) {
	var query string
	c := provider(t, func(w http.ResponseWriter, r *http.Request, ks []string) {
		query = r.URL.RawQuery
		write(w, wire.NewResponse([]externaldata.Item{
			wire.ReportItem(ks[0], report.ScanReport{ImageAndTag: "a:1", Status: report.NotAvailable}),
			wire.ReportItem(ks[1], report.ScanReport{ImageAndTag: "b:1", Status: report.Accepted}),
		}))
	})
	got, err := c.Reports(t.Context(), keys("a:1", "b:1"), 9500*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if query != "wait=9.5s" {
		t.Errorf("query = %q", query)
	}
	if got[0].Status != report.NotAvailable || got[1].Status != report.Accepted {
		t.Errorf("reports = %+v", got)
	}
	if _, err := c.Reports(t.Context(), keys("a:1", "b:1"), 0); err != nil || query != "" {
		t.Errorf("without wait: query %q, error %v", query, err)
	}
}

func TestDigestsLeavesTimeForTheAnswer(t *testing.T) {
	var wait time.Duration
	c := provider(t, func(w http.ResponseWriter, r *http.Request, ks []string) {
		wait, _ = time.ParseDuration(r.URL.Query().Get(wire.ParamWait))
		write(w, wire.NewResponse([]externaldata.Item{{Key: ks[0], Value: "a@" + digest}}))
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if _, err := c.Digests(ctx, keys("a:1")); err != nil || wait <= 50*time.Minute || wait > 54*time.Minute {
		t.Errorf("wait %s, error %v", wait, err)
	}
}

func TestWholeRequestFailures(t *testing.T) {
	for name, tc := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request, keys []string)
		want   string
	}{
		"system error": {func(w http.ResponseWriter, _ *http.Request, _ []string) {
			write(w, wire.SystemError("too many keys"))
		}, "the provider answered: too many keys"},
		"status": {func(w http.ResponseWriter, _ *http.Request, _ []string) {
			http.Error(w, "no", http.StatusServiceUnavailable)
		}, "503 Service Unavailable"},
		"not JSON": {func(w http.ResponseWriter, _ *http.Request, _ []string) {
			_, _ = w.Write([]byte("<html>"))
		}, "not a ProviderResponse"},
		"another kind": {func(w http.ResponseWriter, _ *http.Request, _ []string) {
			_, _ = w.Write([]byte(`{"apiVersion":"v1","kind":"Status"}`))
		}, `"v1" "Status"`},
		"too large": {func(w http.ResponseWriter, _ *http.Request, _ []string) {
			_, _ = w.Write(make([]byte, 9<<20))
		}, "over the limit"},
	} {
		t.Run(name, func(t *testing.T) {
			c := provider(t, tc.answer)
			_, err := c.Digests(t.Context(), keys("a:1"))
			if err == nil || !strings.Contains(err.Error(), tc.want) || errors.Is(err, wire.ErrUnreachable) {
				t.Errorf("Digests: %v, want %q", err, tc.want)
			}
			if _, err := c.Reports(t.Context(), keys("a:1"), 0); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Reports: %v, want %q", err, tc.want)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	c := &wire.Client{BaseURL: s.URL}
	_, err := c.Digests(t.Context(), keys("a:1"))
	if !errors.Is(err, wire.ErrUnreachable) || strings.Contains(err.Error(), s.URL) {
		t.Errorf("closed server: %v", err)
	}

	blocked := provider(t, func(_ http.ResponseWriter, r *http.Request, _ []string) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = blocked.Reports(ctx, keys("a:1"), time.Minute)
	if !errors.Is(err, wire.ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("slow server: %v", err)
	}
}

func TestNoKeysAskNothing(t *testing.T) {
	c := &wire.Client{BaseURL: "https://127.0.0.1:1"}
	if got, err := c.Digests(t.Context(), nil); got != nil || err != nil {
		t.Errorf("Digests = %v, %v", got, err)
	}
	if got, err := c.Reports(t.Context(), nil, time.Second); got != nil || err != nil {
		t.Errorf("Reports = %v, %v", got, err)
	}
}
