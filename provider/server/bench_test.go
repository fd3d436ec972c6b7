package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/harbor"
	"github.com/imagegate/imagegate/provider/bus"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/server"
	"github.com/imagegate/imagegate/provider/service"
	"github.com/imagegate/imagegate/provider/store"
	"github.com/imagegate/imagegate/provider/verdict"
)

// BenchmarkWarmCache is one request of five keys over mutual TLS on loopback
// whose images are resolved and scanned already, with the reports in the memory of
// one process and in a NATS that replicas share, beside the same request to a
// server that answers the same bytes without looking anything up.
func BenchmarkWarmCache(b *testing.B) {
	images := pushImages(b, 5)
	memory, err := store.NewMemory(store.MemoryOptions{Reports: 100, Bytes: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	provider := handlerOver(b, images, memory)
	request := body(images...)
	answer := httptest.NewRecorder()
	provider.ServeHTTP(answer, httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/scan-reports", strings.NewReader(request)))
	canned := answer.Body.Bytes()
	var resp struct {
		Response struct {
			Items []struct{ Value report.ScanReport }
		}
	}
	if err := json.Unmarshal(canned, &resp); err != nil || len(resp.Response.Items) != 5 || resp.Response.Items[0].Value.Status != report.Rejected {
		b.Fatalf("the cache is not warm: %v %s", err, canned)
	}
	floor := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(canned)
	})
	medians := map[string]time.Duration{}
	for _, side := range []struct {
		name    string
		handler http.Handler
	}{{"canned", floor}, {"provider", provider}, {"shared", handlerOver(b, images, sharedStore(b))}} {
		b.Run(side.name, func(b *testing.B) { medians[side.name] = measure(b, side.handler, request) })
	}
	if c := medians["canned"]; c > 0 {
		b.Logf("median provider/canned: %.2f", float64(medians["provider"])/float64(c))
	}
	if m := medians["provider"]; m > 0 {
		b.Logf("median shared/provider: %.2f", float64(medians["shared"])/float64(m))
	}
}

// sharedStore is the store of reports that replicas share, on the embedded server.
func sharedStore(b *testing.B) *store.Reports {
	b.Helper()
	nats, err := bus.Open(b.Context(), bus.Options{DataDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	kept, err := nats.Bucket("reports", bus.BucketOptions{MaxBytes: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	reports, err := store.NewReports(store.ReportsOptions{Bucket: kept, Bytes: 1 << 30, CacheBytes: 256 << 20})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- reports.Run(ctx) }()
	b.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, nats.Close(context.Background())); err != nil {
			b.Error(err)
		}
	})
	for reports.Ready(ctx) != nil {
		time.Sleep(time.Millisecond)
	}
	return reports
}

// measure posts request b.N times and reports percentiles; it returns the
// median.
func measure(b *testing.B, h http.Handler, request string) time.Duration {
	url, dir, stop := serve(b, h)
	c := client(b, dir, true)
	times := make([]time.Duration, 0, b.N)
	post := func() {
		began := time.Now()
		resp, err := c.Post(url+"/scan-reports", "application/json", strings.NewReader(request))
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		times = append(times, time.Since(began))
	}
	post() // the handshake
	times = times[:0]
	for b.Loop() {
		post()
	}
	b.StopTimer()
	slices.Sort(times)
	at := func(q float64) time.Duration { return times[int(q*float64(len(times)-1))] }
	b.ReportMetric(float64(at(0.5).Microseconds()), "p50-µs")
	b.ReportMetric(float64(at(0.99).Microseconds()), "p99-µs")
	if err := stop(); err != nil {
		b.Fatal(err)
	}
	return at(0.5)
}

// pushImages fills a real registry on loopback.
func pushImages(b *testing.B, n int) []string {
	b.Helper()
	reg := httptest.NewServer(ggcr.New(ggcr.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo))))
	b.Cleanup(reg.Close)
	host := strings.TrimPrefix(reg.URL, "http://")
	refs := make([]string, n)
	for i := range refs {
		refs[i] = fmt.Sprintf("%s/team/app-%d:v1", host, i)
		ref, err := name.ParseReference(refs[i], name.Insecure)
		if err != nil {
			b.Fatal(err)
		}
		image, err := random.Image(100, 1)
		if err != nil {
			b.Fatal(err)
		}
		if err := remote.Write(ref, image); err != nil {
			b.Fatal(err)
		}
	}
	return refs
}

// handlerOver is the provider with everything real but the scans, which are put
// into the store.
func handlerOver(b *testing.B, images []string, reports service.Store) http.Handler {
	b.Helper()
	host, _, _ := strings.Cut(images[0], "/")
	resolver, err := registry.New(registry.Options{Insecure: []string{host}, TagTTL: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(resolver.Close)
	tags, err := store.NewTags(1 << 20)
	if err != nil {
		b.Fatal(err)
	}
	for _, image := range images {
		res, err := resolver.Resolve(b.Context(), image, "", registry.Access{})
		if err != nil {
			b.Fatal(err)
		}
		key := backend.ByRepository.Key(backend.Image{Registry: res.Registry, Repository: res.Repository, Digest: res.Manifests[0].Digest})
		if _, err := reports.Put(b.Context(), "shop", key, manyFindings(res.Manifests[0].Digest, 300)); err != nil {
			b.Fatal(err)
		}
	}
	unused, err := harbor.New(harbor.Options{URL: "http://127.0.0.1:1"})
	if err != nil {
		b.Fatal(err)
	}
	judge, err := verdict.New(verdict.Options{Threshold: report.SeverityHigh})
	if err != nil {
		b.Fatal(err)
	}
	metrics := prometheus.NewRegistry()
	log := slog.New(slog.NewJSONHandler(io.Discard, nil))
	svc, err := service.New(b.Context(), service.Options{
		Registry: resolver, Scanner: unused, Store: reports, Tags: tags,
		Judge:   judge,
		Workers: 1, PerRegistry: 1, Queue: 1, Deadline: time.Minute, Attempts: 1, YieldAfter: time.Minute, AbandonAfter: time.Hour,
		RetryInitial: time.Second, RetryMax: time.Second,
		TransientFor: time.Second, FailureInitial: time.Second, FailureMax: time.Second,
		RefreshesPerMinute: 1, Refreshers: 1,
		Failures: 10, FindingsBytes: 1 << 20, AnswerBytes: 16 << 20, Logger: log, Registerer: metrics,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = svc.Close(b.Context()) })
	return handler(b, func(o *server.Options) {
		o.Service, o.Metrics, o.Logger, o.Limits.BodyBytes, o.Budget = svc, metrics, log, 1<<20, time.Second
		o.RequireClientCert = false
	})
}

func manyFindings(digest string, n int) *report.Scan {
	s := &report.Scan{Scanner: "bench", Subject: digest, ScannedAt: time.Now(), ReceivedAt: time.Now()}
	for i := range n {
		s.Vulnerabilities = append(s.Vulnerabilities, report.Vulnerability{
			ID: fmt.Sprintf("CVE-2026-%d", i), Package: "golang.org/x/text", Installed: "v0.3.5", Fixed: "0.3.8",
			Severity: report.SeverityHigh, Description: strings.Repeat("words ", 50),
		})
	}
	return s
}
