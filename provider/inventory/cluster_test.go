package inventory_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/inventory"
)

// TestOnAnAPIServer is run by the e2e module's TestInventory, which has one with
// controllers: in the namespace IMAGEGATE_TEST_NAMESPACE is exactly what the lines of
// IMAGEGATE_TEST_WANT say, by the rights of the user of IMAGEGATE_TEST_KUBECONFIG.
// IMAGEGATE_TEST_STATE is what is said of what cannot be read.
func TestOnAnAPIServer(t *testing.T) {
	kubeconfig, namespace := os.Getenv("IMAGEGATE_TEST_KUBECONFIG"), os.Getenv("IMAGEGATE_TEST_NAMESPACE")
	if kubeconfig == "" {
		t.Skip("IMAGEGATE_TEST_KUBECONFIG is not set: make e2e runs this")
	}
	want := strings.Split(os.Getenv("IMAGEGATE_TEST_WANT"), "\n")
	i, err := inventory.New(inventory.Options{
		Kubeconfig: kubeconfig, MaxPods: 1000, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Registerer: prometheus.NewRegistry(),
	})
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
	began := time.Now()
	var got []string
	var state inventory.State
	for {
		s := i.Snapshot()
		state, got = s.State(), nil
		if n, ok := s.Namespace(namespace); ok {
			for _, p := range n.Places {
				got = append(got, fmt.Sprintf("%s/%s x%d %s %s", p.Workload.Kind, p.Workload.Name, p.Pods, p.Original, strings.Join(p.Digests(), " ")))
			}
		}
		said := fmt.Sprintf("%s: %s%s", state.Phase, state.Reason, state.OwnersByName)
		ok := strings.Contains(said, os.Getenv("IMAGEGATE_TEST_STATE"))
		if ok && (state.Phase == inventory.Unknown || slices.Equal(got, want)) {
			t.Logf("%s after %s: %d Pods", said, time.Since(began).Round(time.Millisecond), state.Pods)
			return
		}
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%s\n%s\nwant %s\n%s", said, strings.Join(got, "\n"), os.Getenv("IMAGEGATE_TEST_STATE"), strings.Join(want, "\n"))
		}
		time.Sleep(100 * time.Millisecond)
	}
}
