package anchore_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/anchore"
	"github.com/imagegate/imagegate/provider/backend/anchore/anchoretest"
	"github.com/imagegate/imagegate/provider/backend/backendtest"
	"github.com/imagegate/imagegate/provider/filewatch"
	"github.com/imagegate/imagegate/provider/report"
)

// both serves version 1 and 2, as Anchore Enterprise 4.9 does.
func both(t *testing.T) http.Handler {
	t.Helper()
	one, two := server(t, anchoretest.Options{API: anchoretest.V1}), server(t, anchoretest.Options{API: anchoretest.V2})
	mux := http.NewServeMux()
	mux.Handle("/v1/", one)
	mux.Handle("/v2/", two)
	return mux
}

// behindPortal serves a page wherever h has nothing, and at the API's root.
func behindPortal(h http.Handler, api anchoretest.API) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		path, ok := strings.CutPrefix(req.URL.Path, string(api))
		if !ok || path == "/" {
			w.Header().Set("Content-Type", "text/html")
			_, _ = fmt.Fprint(w, "<title>Portal</title>")
			return
		}
		h.ServeHTTP(w, req)
	})
}

func status(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
}

func TestProbe(t *testing.T) {
	v1, v2 := server(t, anchoretest.Options{API: anchoretest.V1}), server(t, anchoretest.Options{API: anchoretest.V2})
	for name, tc := range map[string]struct {
		handler http.Handler
		want    anchore.API
		reason  report.Reason
	}{
		"version 1":          {v1, anchore.V1, ""},
		"version 2":          {v2, anchore.V2, ""},
		"both":               {both(t), anchore.V2, ""},
		"1 behind a portal":  {behindPortal(v1, anchoretest.V1), anchore.V1, ""},
		"2 behind a portal":  {behindPortal(v2, anchoretest.V2), anchore.V2, ""},
		"a portal":           {behindPortal(status(404), "/none"), "", report.ReasonInternal},
		"nothing":            {status(404), "", report.ReasonInternal},
		"a refusal":          {status(401), "", report.ReasonUnavailable},
		"a broken service":   {status(502), "", report.ReasonUnavailable},
		"an overloaded one":  {status(429), "", report.ReasonUnavailable},
		"a forbidding proxy": {status(403), "", report.ReasonUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(tc.handler)
			defer srv.Close()
			got, err := anchore.Probe(t.Context(), anchore.Options{URL: srv.URL})
			if tc.reason != "" {
				wantFailure(t, nil, err, tc.reason, "")
			} else if err != nil || got != tc.want {
				t.Errorf("%q, %v, want %q", got, err, tc.want)
			}
		})
	}
	if _, err := anchore.Probe(t.Context(), anchore.Options{}); err == nil {
		t.Error("there is no error for no URL")
	}
}

func TestTheServiceIsAskedOnceWhatItIs(t *testing.T) {
	srv := server(t, anchoretest.Options{API: anchoretest.V1})
	c := client(t, srv.URL)
	for n := range 3 {
		if _, err := c.Scan(t.Context(), backendtest.Image(n)); err != nil {
			t.Fatal(err)
		}
	}
	roots := 0
	for _, a := range srv.Asked() {
		if a.Path == "/v2/" || a.Path == "/v1/" {
			roots++
		}
	}
	if roots != 2 {
		t.Errorf("asked %d times", roots)
	}
}

func TestAWaiterForTheProbeMayGiveUp(t *testing.T) {
	var srv *anchoretest.Server
	srv = server(t, anchoretest.Options{API: anchoretest.V2, Override: func(_ http.ResponseWriter, req *http.Request, _ string) bool {
		srv.Hang(req)
		return true
	}})
	c := client(t, srv.URL)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	for range 2 {
		go func() { done <- c.Ready(ctx) }()
	}
	time.AfterFunc(20*time.Millisecond, cancel)
	for range 2 {
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v", err)
		}
	}
}

func TestReady(t *testing.T) {
	for _, api := range []anchoretest.API{anchoretest.V1, anchoretest.V2, anchoretest.Sysdig} {
		srv := server(t, anchoretest.Options{API: api, Authorization: "Basic c2VjcmV0OnRva2Vu"})
		good := client(t, srv.URL+string(api), func(o *anchore.Options) { o.User, o.Password = "secret", filewatch.FixedSecret("token") })
		if err := good.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		bad := client(t, srv.URL+string(api))
		wantFailure(t, nil, bad.Ready(t.Context()), report.ReasonUnavailable, "own credentials")
	}
	elsewhere := httptest.NewServer(status(404))
	defer elsewhere.Close()
	wantFailure(t, nil, client(t, elsewhere.URL+"/v1").Ready(t.Context()), report.ReasonInternal, "has no Anchore API at /v1 (scanner.anchore.url)")
	wantFailure(t, nil, client(t, elsewhere.URL).Ready(t.Context()), report.ReasonInternal, "has no Anchore API v1 or v2 (scanner.anchore.url)")
	elsewhere.Close()
	wantFailure(t, nil, client(t, elsewhere.URL).Ready(t.Context()), report.ReasonUnavailable, "cannot be reached")
}

func TestGeneration(t *testing.T) {
	feeds := time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC)
	for api, want := range map[anchoretest.API]backend.Generation{
		anchoretest.V1:     {Scanner: "Anchore Engine 1.1.0", DatabaseBuiltAt: feeds},
		anchoretest.V2:     {Scanner: "Anchore Enterprise 1.1.0", DatabaseBuiltAt: feeds},
		anchoretest.Sysdig: {Scanner: "Sysdig Secure"},
	} {
		srv := server(t, anchoretest.Options{API: api})
		c := client(t, srv.URL+string(api))
		got, err := c.Generation(t.Context())
		if err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
		scan, err := c.Scan(t.Context(), backendtest.Image(0))
		if err != nil {
			t.Fatal(err)
		}
		if scan.Scanner != want.Scanner || !scan.DatabaseBuiltAt.Equal(want.DatabaseBuiltAt) {
			t.Errorf("scan by %q on %s", scan.Scanner, scan.DatabaseBuiltAt)
		}
	}
}

func TestAServiceThatDoesNotTellItsVersion(t *testing.T) {
	srv := server(t, anchoretest.Options{API: anchoretest.V1, Override: func(w http.ResponseWriter, _ *http.Request, path string) bool {
		if path != "/version" && path != "/system/feeds" {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		return true
	}})
	c := client(t, srv.URL+"/v1")
	scan, err := c.Scan(t.Context(), backendtest.Image(0))
	if err != nil || scan.Scanner != "Anchore Engine" {
		t.Errorf("%+v, %v", scan, err)
	}
	down := server(t, anchoretest.Options{API: anchoretest.V1})
	c = client(t, down.URL+"/v1")
	down.Server.Close()
	// Not the generation of another service: that would scan everything anew.
	_, err = c.Generation(t.Context())
	wantFailure(t, nil, err, report.ReasonUnavailable, "cannot be reached")
}
