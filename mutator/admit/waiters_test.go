package admit_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/imagegate/imagegate/mutator/admit"
)

// ownedBy is a Pod of a ReplicaSet of that name.
func ownedBy(replicaSet, image string) *corev1.Pod {
	p := pod(image)
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: replicaSet, UID: types.UID("u-" + replicaSet), Controller: new(true)}}
	return p
}

// TestWhoCountsOnce: of the admissions of one namespace, with two turns for it and
// none of the scans ended, how many wait.
func TestWhoCountsOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		pod  func(n int) *corev1.Pod
		want int
	}{
		"ten Pods of one ReplicaSet":            {func(int) *corev1.Pod { return ownedBy("web", "a:1") }, 10},
		"eleven are one too many for one":       {func(n int) *corev1.Pod { return ownedBy(fmt.Sprint("web", n/11), "a:1") }, 20},
		"one image of many ReplicaSets":         {func(n int) *corev1.Pod { return ownedBy(fmt.Sprint("web", n), "a:1") }, 2},
		"Pods of nobody with one image":         {func(int) *corev1.Pod { return pod("a:1") }, 10},
		"Pods of nobody with images of its own": {func(n int) *corev1.Pod { return pod(fmt.Sprintf("n%d@%s", n, digest)) }, 2},
		"the same images in another order": {func(n int) *corev1.Pod {
			if n%2 == 0 {
				return pod("a:1", "b:1")
			}
			return pod("b:1", "a:1")
		}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			p, s := known(), settings()
			s.MaxWaiting = 3 // of which one namespace has two
			release, entered := make(chan struct{}), make(chan struct{}, 100)
			p.reports = func(_ context.Context, wait time.Duration) {
				if wait > 0 {
					entered <- struct{}{}
					<-release
				}
			}
			a := admit.New(p, s)
			const all = 22
			results := make(chan admit.WaitResult, all)
			for n := range all {
				req, ended := create(t, tc.pod(n)), make(chan struct{})
				go func() {
					results <- a.Admit(context.Background(), req).Wait
					close(ended)
				}()
				select {
				case <-entered:
				case <-ended:
				}
			}
			if got := a.Waiting(); got != tc.want {
				t.Errorf("%d wait, want %d", got, tc.want)
			}
			close(release)
			count := map[admit.WaitResult]int{}
			for range all {
				count[<-results]++
			}
			if count[admit.WaitFinal] != tc.want || count[admit.WaitCapped] != all-tc.want {
				t.Errorf("results %v", count)
			}
			// Whoever leaves gives its turn back: others find all of them.
			if d := a.Admit(t.Context(), create(t, ownedBy("later", "a:1"))); d.Wait != admit.WaitFinal || a.Waiting() != 0 {
				t.Errorf("afterwards: %s, %d wait", d.Wait, a.Waiting())
			}
			if err := a.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
}
