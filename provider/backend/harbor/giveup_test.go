package harbor_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/harbor"
)

// A scan that is called off ends in the adapter too, where the adapter says that
// it can hear it; others are not sent what they would not understand.
func TestACalledOffScanIsGivenUp(t *testing.T) {
	for _, hears := range []bool{true, false} {
		polled, deleted := make(chan struct{}, 100), make(chan string, 1)
		share := make(chan string, 1)
		mux := http.NewServeMux()
		mux.HandleFunc("GET /api/v1/metadata", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"scanner":{"name":"X","vendor":"Y","version":"1"},"capabilities":[{"consumes_mime_types":["application/vnd.oci.image.manifest.v1+json"],`+
				`"produces_mime_types":["application/vnd.security.vulnerability.report; version=1.1"]}],"properties":{"imagegate.dev/cancel":"%[1]t","imagegate.dev/share":"%[1]t"}}`, hears)
		})
		mux.HandleFunc("POST /api/v1/scan", func(w http.ResponseWriter, r *http.Request) {
			share <- r.Header.Get("Imagegate-Share")
			w.WriteHeader(http.StatusAccepted)
			_, _ = fmt.Fprint(w, `{"id":"a/b"}`)
		})
		mux.HandleFunc("GET /api/v1/scan/{id}/report", func(w http.ResponseWriter, _ *http.Request) {
			select {
			case polled <- struct{}{}:
			default:
			}
			w.WriteHeader(http.StatusFound)
		})
		mux.HandleFunc("DELETE /api/v1/scan/{id}", func(w http.ResponseWriter, r *http.Request) {
			deleted <- r.PathValue("id")
			w.WriteHeader(http.StatusNoContent)
		})
		srv := httptest.NewServer(mux)
		client, err := harbor.New(harbor.Options{URL: srv.URL, Proxy: "direct"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := client.Scan(ctx, backend.Image{
				Registry: "https://r.example", Repository: "a", Share: "team-a",
				Digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
			})
			ended <- err
		}()
		<-polled
		cancel()
		if err := <-ended; err == nil {
			t.Error("a scan that was called off has a report")
		}
		// Whose image it is, is nothing that a foreign adapter has to know.
		if got := <-share; (got == "team-a") != hears || !hears && got != "" {
			t.Errorf("an adapter that says %t is asked on behalf of %q", hears, got)
		}
		select {
		case id := <-deleted:
			if !hears || id != "a/b" {
				t.Errorf("%q was given up at an adapter that says %t", id, hears)
			}
		default:
			if hears {
				t.Error("the scan was not given up")
			}
		}
		client.Close()
		srv.Close()
	}
}
