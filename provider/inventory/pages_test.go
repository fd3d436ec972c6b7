package inventory

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// largeCluster is an API server that does not stream lists, as those before
// Kubernetes 1.32 do not, and counts what it is asked for.
type largeCluster struct {
	pods          int
	pages, larger atomic.Int64
}

func (c *largeCluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	answer := func(code int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(v)
	}
	switch {
	case q.Get("sendInitialEvents") != "":
		answer(http.StatusUnprocessableEntity, metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: "Failure", Reason: metav1.StatusReasonInvalid, Code: http.StatusUnprocessableEntity})
	case q.Get("watch") != "":
		w.Header().Set("Content-Type", "application/json")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	case !strings.HasSuffix(r.URL.Path, "/pods"):
		answer(http.StatusOK, metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadataList"}, ListMeta: metav1.ListMeta{ResourceVersion: "7"}})
	default:
		limit, _ := strconv.Atoi(q.Get("limit"))
		from, _ := strconv.Atoi(q.Get("continue"))
		c.pages.Add(1)
		if limit == 0 || limit > pageSize || q.Get("fieldSelector") != running {
			c.larger.Add(1)
		}
		l := corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, ListMeta: metav1.ListMeta{ResourceVersion: "7"}}
		for n := from; n < min(from+limit, c.pods); n++ {
			l.Items = append(l.Items, *fatPod(n))
		}
		if from+limit < c.pods {
			l.Continue = strconv.Itoa(from + limit)
		}
		answer(http.StatusOK, &l)
	}
}

// TestAListComesInPages, through the real client.
func TestAListComesInPages(t *testing.T) {
	c := &largeCluster{pods: 2*pageSize + 7}
	server := httptest.NewServer(c)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, fmt.Appendf(nil, `
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q}}]
contexts: [{name: c, context: {cluster: c}}]
current-context: c
`, server.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	i, err := New(Options{Kubeconfig: kubeconfig, MaxPods: 5000, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = i.Start(ctx)
	}()
	defer func() { cancel(); <-done }()
	for deadline := time.Now().Add(30 * time.Second); i.Snapshot().State().Phase != Complete || i.Snapshot().State().OwnersByName != ""; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", i.Snapshot().State())
		}
	}
	if s := i.Snapshot().State(); s.Pods != c.pods || c.larger.Load() != 0 || c.pages.Load() != 3 {
		t.Errorf("%+v in %d pages, %d of them too large or of all Pods", s, c.pages.Load(), c.larger.Load())
	}
}
