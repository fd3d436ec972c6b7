package view_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/inventory"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/service"
	"github.com/imagegate/imagegate/provider/store/storetest"
	"github.com/imagegate/imagegate/provider/view"
)

// BenchmarkPages prints what a page takes when there are reports of so many images with
// 300 findings each: time, and bytes plain and as they would go by gzip. Without
// VIEW_IMAGES it is of 1000 images.
func BenchmarkPages(b *testing.B) {
	images := 1000
	if s := os.Getenv("VIEW_IMAGES"); s != "" {
		var err error
		if images, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	var places []*inventory.Place
	for n := range images {
		places = append(places, place(fmt.Sprintf("team%d", n%50), fmt.Sprintf("Deployment/app%d", n), fmt.Sprintf("r.example/team%d/app%d:1", n%50, n), storetest.Digest(n), 3))
	}
	w := newWorld(b, "", func(o *view.Options) {
		o.Inventory = runningNow{inventory.Of(inventory.State{Phase: inventory.Complete, At: now()}, places...)}
	})
	began := time.Now()
	var id string
	for n := range images {
		name := fmt.Sprintf("team%d/app%d", n%50, n)
		scan := storetest.Scan(n, 300)
		scan.ScannedAt, scan.ReceivedAt, scan.DatabaseBuiltAt = w.now().Add(-time.Hour), w.now().Add(-time.Hour), w.now().Add(-24*time.Hour)
		id = scan.Vulnerabilities[0].ID
		digest := scan.Subject
		if _, err := w.reports.Put(b.Context(), fmt.Sprintf("team%d", n%50), storetest.Key(n), scan); err != nil {
			b.Fatal(err)
		}
		w.names.Saw(service.Image{
			Reference: "r.example/" + name + ":1", Written: "r.example/" + name + ":1", Digest: digest, Namespace: fmt.Sprintf("team%d", n%50),
			Manifests: []service.ImageManifest{{Digest: digest, Platform: "linux/amd64", Key: storetest.Key(n)}},
		})
		w.images[name] = []registry.Manifest{{Digest: digest}}
	}
	put := time.Since(began)
	for w.listedAll() != images {
		time.Sleep(50 * time.Millisecond)
	}
	b.Logf("%d reports were written in %s and read by the index in %s after that, beside it", images, put, time.Since(began)-put)
	for _, page := range []string{
		"/images", "/images?size=1000", "/images?q=team7&status=rejected&sort=-scanned", "/images.csv?size=1000", "/images/" + storetest.Digest(images/2),
		"/vulnerabilities", "/vulnerabilities?severity=Critical&size=1000", "/vulnerabilities/" + id, "/packages?name=openssl", "/exceptions", "/health",
		"/running", "/running?size=1000", "/running?vulnerability=" + id, "/namespaces", "/what-if?threshold=Critical",
	} {
		b.Run(fmt.Sprintf("%d%s", images, page), func(b *testing.B) {
			var body []byte
			for b.Loop() {
				r := httptest.NewRequest(http.MethodGet, page, http.NoBody)
				r.Host = "localhost"
				rec := httptest.NewRecorder()
				w.view.ServeHTTP(rec, r)
				if rec.Code != http.StatusOK {
					b.Fatalf("%d %s", rec.Code, rec.Body)
				}
				body = rec.Body.Bytes()
			}
			var packed bytes.Buffer
			z := gzip.NewWriter(&packed)
			_, _ = z.Write(body)
			_ = z.Close()
			b.ReportMetric(float64(len(body)), "bytes")
			b.ReportMetric(float64(packed.Len()), "gzip-bytes")
		})
	}
}
