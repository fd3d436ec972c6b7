package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/imagegate/imagegate/mutator/admit"
)

// admitter is a function as an Admitter.
type admitter func(ctx context.Context, req *admissionv1.AdmissionRequest) *admit.Decision

func (a admitter) Admit(ctx context.Context, req *admissionv1.AdmissionRequest) *admit.Decision {
	return a(ctx, req)
}

func allow(context.Context, *admissionv1.AdmissionRequest) *admit.Decision {
	return &admit.Decision{Outcome: admit.Unchanged, Wait: admit.WaitOff, Response: &admissionv1.AdmissionResponse{Allowed: true}}
}

func options() Options {
	return Options{
		Ready: func(context.Context) error { return nil }, Waiting: func() int { return 0 },
		Concurrency: 4, BodyBytes: 4096, Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
	}
}

const review = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1","namespace":"team","operation":"CREATE",
	"resource":{"group":"","version":"v1","resource":"pods"},"object":{"spec":{"containers":[]}}}}`

func post(h http.Handler, path, contentType, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAnswersAReview(t *testing.T) {
	o := options()
	var log bytes.Buffer
	o.Log = slog.New(slog.NewJSONHandler(&log, nil))
	w := post(newMux(admitter(allow), o), "/mutate?timeout=5s", "application/json; charset=utf-8", review)
	var got admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if got.APIVersion != "admission.k8s.io/v1" || got.Kind != "AdmissionReview" || got.Request != nil ||
		got.Response.UID != "u-1" || !got.Response.Allowed || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("answer %s", w.Body)
	}
	var line struct{ Msg, UID, Namespace, Resource, Outcome string }
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatalf("log %s: %v", &log, err)
	}
	if line.Msg != "admission" || line.UID != "u-1" || line.Namespace != "team" || line.Resource != "pods" || line.Outcome != "unchanged" {
		t.Errorf("log %s", &log)
	}
	const want = `
# HELP imagegate_mutator_admissions_total Admission requests by result.
# TYPE imagegate_mutator_admissions_total counter
imagegate_mutator_admissions_total{result="denied"} 0
imagegate_mutator_admissions_total{result="failed"} 0
imagegate_mutator_admissions_total{result="ignored"} 0
imagegate_mutator_admissions_total{result="kept"} 0
imagegate_mutator_admissions_total{result="pinned"} 0
imagegate_mutator_admissions_total{result="unchanged"} 1
`
	if err := testutil.GatherAndCompare(o.Registry, strings.NewReader(want), "imagegate_mutator_admissions_total"); err != nil {
		t.Error(err)
	}
}

func TestRefusesWhatIsNoReview(t *testing.T) {
	h := newMux(admitter(allow), options())
	for name, tc := range map[string]struct {
		contentType, body string
		status            int
		want              string
	}{
		"content type":    {"text/plain", review, http.StatusUnsupportedMediaType, "text/plain"},
		"no content type": {"", review, http.StatusUnsupportedMediaType, "application/json"},
		"empty":           {"application/json", "", http.StatusBadRequest, "not an AdmissionReview"},
		"not JSON":        {"application/json", "<xml>", http.StatusBadRequest, "not an AdmissionReview"},
		"list":            {"application/json", "[]", http.StatusBadRequest, "not an AdmissionReview"},
		"v1beta1":         {"application/json", strings.Replace(review, "io/v1", "io/v1beta1", 1), http.StatusBadRequest, "admissionReviewVersions"},
		"another kind":    {"application/json", `{"apiVersion":"v1","kind":"Pod"}`, http.StatusBadRequest, `"v1" "Pod"`},
		"no request":      {"application/json", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, http.StatusBadRequest, "no request"},
		"no uid":          {"application/json", strings.Replace(review, "u-1", "", 1), http.StatusBadRequest, "no uid"},
		"wrong type":      {"application/json", strings.Replace(review, `"u-1"`, "[]", 1), http.StatusBadRequest, "not an AdmissionReview"},
		"trailing data":   {"application/json", review + review, http.StatusBadRequest, "not an AdmissionReview"},
		"too large":       {"application/json", review + strings.Repeat(" ", 5000), http.StatusRequestEntityTooLarge, "limit of 4096 bytes"},
	} {
		if w := post(h, "/mutate", tc.contentType, tc.body); w.Code != tc.status || !strings.Contains(w.Body.String(), tc.want) {
			t.Errorf("%s: %d %s, want %d with %q", name, w.Code, w.Body, tc.status, tc.want)
		}
	}
	r := httptest.NewRecorder()
	h.ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/mutate", nil))
	if r.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET /mutate: %d", r.Code)
	}
}

func TestPanicIsAnAnswer(t *testing.T) {
	h := newMux(admitter(func(context.Context, *admissionv1.AdmissionRequest) *admit.Decision { panic("bug") }), options())
	w := post(h, "/mutate", "application/json", review)
	var got admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Response.Allowed || got.Response.UID != "u-1" || got.Response.Result.Code != http.StatusInternalServerError {
		t.Errorf("answer %s", w.Body)
	}
}

func TestTimeLeft(t *testing.T) {
	for url, want := range map[string]time.Duration{
		"/mutate?timeout=10s":  9 * time.Second,
		"/mutate?timeout=30s":  27 * time.Second,
		"/mutate?timeout=1s":   750 * time.Millisecond,
		"/mutate?timeout=1h":   27 * time.Second,
		"/mutate":              9 * time.Second,
		"/mutate?timeout=soon": 9 * time.Second,
		"/mutate?timeout=-1s":  9 * time.Second,
		"/mutate?timeout=2ms":  time.Millisecond,
	} {
		if got := timeLeft(httptest.NewRequest(http.MethodPost, url, nil)); got != want {
			t.Errorf("%s leaves %s, want %s", url, got, want)
		}
	}
}

func TestDeadlineReachesTheAdmitter(t *testing.T) {
	var left time.Duration
	h := newMux(admitter(func(ctx context.Context, req *admissionv1.AdmissionRequest) *admit.Decision {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return allow(ctx, req)
	}), options())
	post(h, "/mutate?timeout=20s", "application/json", review)
	if left <= 10*time.Second || left > 18*time.Second {
		t.Errorf("%s left", left)
	}
}

func TestConcurrencyIsBounded(t *testing.T) {
	o := options()
	o.Concurrency = 1
	entered, release := make(chan struct{}), make(chan struct{})
	h := newMux(admitter(func(ctx context.Context, req *admissionv1.AdmissionRequest) *admit.Decision {
		entered <- struct{}{}
		<-release
		return allow(ctx, req)
	}), o)
	first := make(chan int)
	go func() { first <- post(h, "/mutate", "application/json", review).Code }()
	<-entered
	if w := post(h, "/mutate?timeout=100ms", "application/json", review); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "too many") {
		t.Errorf("beyond the bound: %d %s", w.Code, w.Body)
	}
	close(release)
	if code := <-first; code != http.StatusOK {
		t.Errorf("the first request: %d", code)
	}
}

// inNamespace is the review of a Pod in a namespace.
func inNamespace(namespace string) string {
	return strings.Replace(review, `"team"`, `"`+namespace+`"`, 1)
}

// TestANamespacesRequestsLeaveSlotsToOthers: 256 creates at once, none of which
// ends, and one of another namespace.
func TestANamespacesRequestsLeaveSlotsToOthers(t *testing.T) {
	o := options()
	o.Concurrency = 64
	entered, release := make(chan struct{}, 256), make(chan struct{})
	h := newMux(admitter(func(ctx context.Context, req *admissionv1.AdmissionRequest) *admit.Decision {
		if req.Namespace == "evil" {
			entered <- struct{}{}
			<-release
		}
		return allow(ctx, req)
	}), o)
	var wg sync.WaitGroup
	var mu sync.Mutex
	codes := map[int]int{}
	for range 256 {
		wg.Go(func() {
			w := post(h, "/mutate?timeout=30s", "application/json", inNamespace("evil"))
			mu.Lock()
			defer mu.Unlock()
			codes[w.Code]++
		})
	}
	for range 48 { // three quarters
		<-entered
	}
	if w := post(h, "/mutate?timeout=30s", "application/json", inNamespace("good")); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if n := len(entered); n != 0 {
		t.Errorf("%d more of the hostile ones got in", n)
	}
	// A rollout of as many Pods is honest work: all are answered in the end.
	close(release)
	wg.Wait()
	if codes[http.StatusOK] != 256 {
		t.Errorf("the creates of one namespace ended as %v", codes)
	}
}

// TestALargeRequestDoesNotWait: those that wait hold memory.
func TestALargeRequestDoesNotWait(t *testing.T) {
	o := options()
	o.Concurrency, o.BodyBytes = 1, 1<<20
	entered, release := make(chan struct{}), make(chan struct{})
	h := newMux(admitter(func(ctx context.Context, req *admissionv1.AdmissionRequest) *admit.Decision {
		entered <- struct{}{}
		<-release
		return allow(ctx, req)
	}), o)
	first := make(chan int)
	go func() { first <- post(h, "/mutate", "application/json", review).Code }()
	<-entered
	large := strings.Replace(review, `"containers":[]`, `"containers":[],"x":"`+strings.Repeat("x", 200<<10)+`"`, 1)
	if w := post(h, "/mutate?timeout=30s", "application/json", large); w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	close(release)
	<-first
}

func TestClientCertificate(t *testing.T) {
	o := options()
	o.RequireClientCert = true
	h := newMux(admitter(allow), o)
	// Whoever is refused has been heard to the end: over HTTP/2 the stream would be
	// reset under what is still sent, in place of the answer.
	rest := strings.NewReader(review)
	refused := httptest.NewRecorder()
	if h.ServeHTTP(refused, httptest.NewRequest(http.MethodPost, "/mutate", rest)); refused.Code != http.StatusUnauthorized || rest.Len() != 0 {
		t.Errorf("without: %d, %d bytes unread", refused.Code, rest.Len())
	}
	r := httptest.NewRequest(http.MethodPost, "/mutate", strings.NewReader(review))
	r.Header.Set("Content-Type", "application/json")
	r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{}}}
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != http.StatusOK {
		t.Errorf("with: %d", w.Code)
	}
}

func TestHealth(t *testing.T) {
	o := options()
	ready := errors.New("the certificate is not loaded yet")
	o.Ready = func(context.Context) error { return ready }
	o.RequireClientCert = true
	h := newMux(admitter(allow), o)
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	if w := get("/healthz"); w.Code != http.StatusOK {
		t.Errorf("healthz %d", w.Code)
	}
	if w := get("/readyz"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "certificate") {
		t.Errorf("readyz %d %s", w.Code, w.Body)
	}
	ready = nil
	if w := get("/readyz"); w.Code != http.StatusOK {
		t.Errorf("readyz %d", w.Code)
	}
	if w := get("/metrics"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "imagegate_mutator_waiting 0") {
		t.Errorf("metrics %d %s", w.Code, w.Body)
	}
}

// FuzzReview: no body panics, and an answer is either an HTTP error or a review
// with the request's uid.
func FuzzReview(f *testing.F) {
	f.Add([]byte(review))
	f.Add([]byte(strings.Replace(review, "io/v1", "io/v1beta1", 1)))
	f.Add([]byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","object":null,"dryRun":null}}`))
	f.Add([]byte(`{"request":{"uid":1}}`))
	o := options()
	o.BodyBytes = 1 << 20
	h := newMux(admit.New(nil, admit.Settings{}), o)
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := decodeReview(body)
		if err == nil && (req == nil || req.UID == "") {
			t.Fatalf("no error and no request: %+v", req)
		}
		w := post(h, "/mutate", "application/json", string(body))
		if (w.Code == http.StatusOK) != (err == nil) {
			t.Fatalf("status %d, error %v", w.Code, err)
		}
		if err != nil {
			return
		}
		var got admissionv1.AdmissionReview
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Response == nil || got.Response.UID != req.UID {
			t.Fatalf("answer %s: %v", w.Body, err)
		}
	})
}
