package inventory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	fakemetadata "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"
)

var began = time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)

func digest(n int) string { return fmt.Sprintf("sha256:%064x", n) }

// aPod is one of a controller, or of none, with one container that runs the image
// by its digest.
func aPod(namespace, name string, controller *metav1.OwnerReference, image string, age time.Duration) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: metav1.NewTime(began.Add(-age))}}
	if controller != nil {
		p.OwnerReferences = []metav1.OwnerReference{*controller}
	}
	p.Spec.Containers = []corev1.Container{{Name: "app", Image: image}}
	if _, d, ok := strings.Cut(image, "@"); ok {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", ImageID: "docker.io/library/x@" + d}}
	}
	return p
}

func controlledBy(apiVersion, kind, name string) *metav1.OwnerReference {
	yes := true
	return &metav1.OwnerReference{APIVersion: apiVersion, Kind: kind, Name: name, UID: "u", Controller: &yes}
}

func object(apiVersion, kind, namespace, name string, controller *metav1.OwnerReference) *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: apiVersion, Kind: kind}, ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if controller != nil {
		m.OwnerReferences = []metav1.OwnerReference{*controller}
	}
	return m
}

type cluster struct {
	pods      *fake.Clientset
	owned     *fakemetadata.FakeMetadataClient
	metrics   *prometheus.Registry
	inventory *Inventory
}

func newCluster(t testing.TB, maxPods int, objects ...runtime.Object) *cluster {
	t.Helper()
	c := &cluster{metrics: prometheus.NewRegistry()}
	var pods, owned []runtime.Object
	for _, o := range objects {
		if p, ok := o.(*corev1.Pod); ok {
			pods = append(pods, p)
		} else {
			owned = append(owned, o)
		}
	}
	scheme := fakemetadata.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c.pods, c.owned = fake.NewClientset(pods...), fakemetadata.NewSimpleMetadataClient(scheme, owned...)
	var err error
	c.inventory, err = newInventory(Options{MaxPods: maxPods, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Registerer: c.metrics}, c.pods, c.owned, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// start runs the inventory in a bubble until its end.
func (c *cluster) start(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.inventory.Start(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	c.settle()
}

func (c *cluster) settle() {
	time.Sleep(3 * time.Second)
	synctest.Wait()
}

func told(s *Snapshot, digest string) []string {
	i, ok := s.Image(digest)
	if !ok {
		return nil
	}
	var out []string
	for _, p := range i.Places {
		out = append(out, fmt.Sprintf("%s/%s/%s %s x%d", p.Workload.Namespace, p.Workload.Kind, p.Workload.Name, p.Image, p.Pods))
	}
	return out
}

func TestNothingIsKnownBeforeTheFirstList(t *testing.T) {
	c := newCluster(t, 10, aPod("shop", "a", nil, "x@"+digest(1), 0))
	s := c.inventory.Snapshot()
	if st := s.State(); st.Phase != Unknown || st.Reason == "" || len(s.Images()) != 0 {
		t.Errorf("%+v", st)
	}
	if n, err := testutil.GatherAndCount(c.metrics, "imagegate_inventory_pods"); n != 0 || err != nil {
		t.Errorf("%d series of Pods, %v: none is known", n, err)
	}
}

func TestWorkloadsAreFoundByOwners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		image := "x@" + digest(1)
		c := newCluster(t, 100,
			object("apps/v1", "ReplicaSet", "shop", "web-5c", controlledBy("apps/v1", "Deployment", "web")),
			object("apps/v1", "ReplicaSet", "shop", "rolled", controlledBy("argoproj.io/v1alpha1", "Rollout", "canary")),
			object("apps/v1", "ReplicaSet", "shop", "alone", nil),
			object("batch/v1", "Job", "shop", "nightly-29", controlledBy("batch/v1", "CronJob", "nightly")),
			object("batch/v1", "Job", "shop", "once", nil),
			aPod("shop", "web-5c-1", controlledBy("apps/v1", "ReplicaSet", "web-5c"), image, time.Hour),
			aPod("shop", "web-5c-2", controlledBy("apps/v1", "ReplicaSet", "web-5c"), image, 2*time.Hour),
			aPod("shop", "rolled-1", controlledBy("apps/v1", "ReplicaSet", "rolled"), image, 0),
			aPod("shop", "alone-1", controlledBy("apps/v1", "ReplicaSet", "alone"), image, 0),
			aPod("shop", "nightly-29-x", controlledBy("batch/v1", "Job", "nightly-29"), image, 0),
			aPod("shop", "once-x", controlledBy("batch/v1", "Job", "once"), image, 0),
			aPod("shop", "db-0", controlledBy("apps/v1", "StatefulSet", "db"), image, 0),
			aPod("ops", "debug", nil, image, 0),
		)
		c.start(t)
		s := c.inventory.Snapshot()
		if st := s.State(); st.Phase != Complete || st.Reason != "" || st.Pods != 8 || st.OwnersByName != "" {
			t.Errorf("state %+v", st)
		}
		want := []string{
			"ops/Pod/debug " + image + " x1", "shop/CronJob/nightly " + image + " x1", "shop/Deployment/web " + image + " x2", "shop/Job/once " + image + " x1",
			"shop/ReplicaSet/alone " + image + " x1", "shop/Rollout/canary " + image + " x1", "shop/StatefulSet/db " + image + " x1",
		}
		if got := told(s, digest(1)); !slices.Equal(got, want) {
			t.Errorf("%q\nwant %q", got, want)
		}
		i, _ := s.Image(digest(1))
		if i.Pods != 8 || !i.Since.Equal(began.Add(-2*time.Hour)) || !slices.Equal(i.Namespaces(), []string{"ops", "shop"}) {
			t.Errorf("%d Pods since %s in %q", i.Pods, i.Since, i.Namespaces())
		}
		if p := s.Workload(Workload{"shop", "Deployment", "web"}); len(p) != 1 || p[0].Pods != 2 || p[0].Running != digest(1) {
			t.Errorf("the Deployment's places: %+v", p)
		}
		if w := s.Top(Workload{"shop", "ReplicaSet", "web-5c"}); w != (Workload{"shop", "Deployment", "web"}) {
			t.Errorf("the ReplicaSet is of %v", w)
		}
		if w := s.Top(Workload{"ops", "ReplicaSet", "web-5c"}); w.Kind != "ReplicaSet" {
			t.Errorf("one of another namespace is of %v", w)
		}
		if n, ok := s.Namespace("shop"); !ok || n.Pods != 7 || len(n.Places) != 6 || !slices.Equal(n.Digests, []string{digest(1)}) || len(s.Namespaces()) != 2 {
			t.Errorf("%+v", n)
		}

		// What changes is followed; readers of before see what was.
		if err := c.pods.CoreV1().Pods("ops").Delete(t.Context(), "debug", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.pods.CoreV1().Pods("new").Create(t.Context(), aPod("new", "n", nil, "x@"+digest(2), 0), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		c.settle()
		after := c.inventory.Snapshot()
		if _, ok := after.Namespace("ops"); ok || len(told(after, digest(2))) != 1 || len(told(s, digest(1))) != 7 || len(told(s, digest(2))) != 0 {
			t.Errorf("after: %q %q", told(after, digest(1)), told(after, digest(2)))
		}
	})
}

// TestOwnersThatCannotBeReadAreToldByName: the label and the name say what the
// owner would.
func TestOwnersThatCannotBeReadAreToldByName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hashed := aPod("shop", "web-5c-1", controlledBy("apps/v1", "ReplicaSet", "web-5c"), "x@"+digest(1), 0)
		hashed.Labels = map[string]string{"pod-template-hash": "5c"}
		other := aPod("shop", "odd-1", controlledBy("apps/v1", "ReplicaSet", "odd"), "x@"+digest(1), 0)
		other.Labels = map[string]string{"pod-template-hash": "5c"}
		c := newCluster(t, 100, hashed, other)
		c.owned.PrependReactor("list", "replicasets", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, errors.New("replicasets is forbidden")
		})
		c.start(t)
		s := c.inventory.Snapshot()
		if st := s.State(); st.Phase != Complete || !strings.Contains(st.OwnersByName, "ReplicaSets cannot be read: replicasets is forbidden") {
			t.Errorf("state %+v", st)
		}
		image := "x@" + digest(1)
		if got := told(s, digest(1)); !slices.Equal(got, []string{"shop/Deployment/web " + image + " x1", "shop/ReplicaSet/odd " + image + " x1"}) {
			t.Errorf("%q", got)
		}
	})
}

// TestAnAPIServerThatIsAway: what was known stays, and is said to be no more than
// that.
func TestAnAPIServerThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 100, aPod("shop", "a", nil, "x@"+digest(1), 0))
		var away atomic.Bool
		away.Store(true)
		c.pods.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
			if away.Load() {
				return true, nil, errors.New("pods is forbidden")
			}
			return false, nil, nil
		})
		c.start(t)
		if st := c.inventory.Snapshot().State(); st.Phase != Unknown || !strings.Contains(st.Reason, "pods is forbidden") {
			t.Fatalf("state %+v", st)
		}
		away.Store(false)
		time.Sleep(2 * time.Minute)
		c.settle()
		if st := c.inventory.Snapshot().State(); st.Phase != Complete {
			t.Fatalf("state %+v", st)
		}
		c.inventory.failed(sourcePods, errors.New("connection refused"))
		c.settle()
		s := c.inventory.Snapshot()
		if st := s.State(); st.Phase != Incomplete || !strings.Contains(st.Reason, "connection refused") || len(told(s, digest(1))) != 1 {
			t.Errorf("state %+v", st)
		}
		if err := testutil.GatherAndCompare(c.metrics, strings.NewReader(`
# HELP imagegate_inventory_phase 1 for what the inventory is: unknown (nothing has been read yet), incomplete (more may run than it knows) or complete.
# TYPE imagegate_inventory_phase gauge
imagegate_inventory_phase{phase="complete"} 0
imagegate_inventory_phase{phase="incomplete"} 1
imagegate_inventory_phase{phase="unknown"} 0
`), "imagegate_inventory_phase"); err != nil {
			t.Error(err)
		}
	})
}

// TestWhatDoesNotFitIsLeftOutOfWhoHasMost, and comes when there is room.
func TestWhatDoesNotFitIsLeftOutOfWhoHasMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var objects []runtime.Object
		for n := range 30 {
			objects = append(objects, aPod("greedy", fmt.Sprintf("g-%02d", n), nil, "g@"+digest(n+10), 0))
		}
		objects = append(objects, aPod("shop", "a", nil, "x@"+digest(1), 0), aPod("shop", "b", nil, "x@"+digest(1), 0))
		c := newCluster(t, 20, objects...)
		c.start(t)
		s := c.inventory.Snapshot()
		st := s.State()
		if st.Phase != Incomplete || st.Pods != 20 || st.LeftOut != 12 || !strings.Contains(st.Reason, "inventory.maxPods (20)") {
			t.Errorf("state %+v", st)
		}
		greedy, _ := s.Namespace("greedy")
		shop, _ := s.Namespace("shop")
		if greedy.Pods != 18 || greedy.LeftOut != 12 || shop.Pods != 2 || shop.LeftOut != 0 {
			t.Errorf("greedy %+v, shop %+v", greedy, shop)
		}
		for n := range 25 {
			if err := c.pods.CoreV1().Pods("greedy").Delete(t.Context(), fmt.Sprintf("g-%02d", n), metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * relistPause)
		c.settle()
		if st := c.inventory.Snapshot().State(); st.Phase != Complete || st.Pods != 7 {
			t.Errorf("state with room %+v", st)
		}
	})
}

func TestNew(t *testing.T) {
	for _, o := range []Options{{}, {MaxPods: 1}, {MaxPods: 1, Logger: slog.Default(), Registerer: prometheus.NewRegistry(), Kubeconfig: "/does/not/exist"}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
