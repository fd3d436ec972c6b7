package inventory

import (
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	manyPods   = 10_000
	manyImages = 1_000
)

// fatPod is about as large as Pods are: three images, variables, a managed field.
func fatPod(n int) *corev1.Pod {
	set := n / 10 % 1000
	name := fmt.Sprintf("team-%02d-web-%d-5c8d7f9b64", set%50, set)
	p := aPod(fmt.Sprintf("team-%02d", set%50), fmt.Sprintf("%s-%05d", name, n), controlledBy("apps/v1", "ReplicaSet", name), "", time.Duration(n)*time.Minute)
	p.Labels = map[string]string{"pod-template-hash": "5c8d7f9b64", "app.kubernetes.io/name": "web", "app.kubernetes.io/instance": name}
	p.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": strings.Repeat("a", 2000)}
	p.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet", FieldsV1: metav1.NewFieldsV1(`{"f":"` + strings.Repeat("f", 3000) + `"}`)}}
	p.Spec.Containers, p.Status.ContainerStatuses = nil, nil
	for i, container := range []string{"app", "proxy", "logs"} {
		image := (set*3 + i) % manyImages
		reference := fmt.Sprintf("registry.example.com/team-%02d/service-%d", image%50, image)
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{
			Name: container, Image: reference + "@" + digest(image), Env: []corev1.EnvVar{{Name: "CONFIG", Value: strings.Repeat("c", 500)}},
		})
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: container, ImageID: reference + "@" + digest(image), ContainerID: strings.Repeat("i", 70)})
		p.Annotations[originalPrefix+container] = reference + ":v1.2.3"
	}
	return p
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func filled(tb testing.TB) *Inventory {
	tb.Helper()
	i, err := newInventory(Options{MaxPods: 50_000, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Registerer: prometheus.NewRegistry()}, nil, nil, time.Now)
	if err != nil {
		tb.Fatal(err)
	}
	for n := range manyPods {
		if err := (podStore{i}).Add(fatPod(n)); err != nil {
			tb.Fatal(err)
		}
	}
	i.replaced(sourcePods)
	return i
}

// TestMemoryOfTenThousandPods prints what they take, and holds it to a bound that a
// whole Pod, of some 10 KB, would be far above.
func TestMemoryOfTenThousandPods(t *testing.T) {
	before := heap()
	i := filled(t)
	records := heap()
	s := i.make()
	i.snapshot.Store(s)
	all := heap()
	if n := len(s.Images()); n != manyImages || s.State().Pods != manyPods {
		t.Fatalf("%d images, state %+v", n, s.State())
	}
	const mib = 1 << 20
	t.Logf("%d Pods with %d images in %d places: records %.1f MiB, the snapshot %.1f MiB more; accounted as %.1f MiB",
		manyPods, manyImages, places(s), float64(records-before)/mib, float64(all-records)/mib, float64(i.kept.bytes)/mib)
	if total := all - before; total > 24*mib {
		t.Errorf("%d Pods take %d bytes", manyPods, total)
	}
	runtime.KeepAlive(i)
}

func places(s *Snapshot) (n int) {
	for _, ns := range s.Namespaces() {
		n += len(ns.Places)
	}
	return n
}

// BenchmarkSnapshot is what a change costs once a second at most.
func BenchmarkSnapshot(b *testing.B) {
	i := filled(b)
	b.ReportAllocs()
	for b.Loop() {
		i.make()
	}
}
