package e2e_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/e2e/registry"
	"github.com/imagegate/imagegate/e2e/system"
)

// patience bounds every wait for something that must come.
const patience = 60 * time.Second

// constraintOf is the constraint behind a namespace's policy, as denials name
// it.
func constraintOf(policy string) string { return "accepted-only-" + policy }

var notName = regexp.MustCompile(`[^a-z0-9]+`)

// slug makes a test's name fit for a namespace, with room for an ending, and for
// a repository. Of a long name the end stays, which tells subtests apart.
func slug(t *testing.T) string {
	t.Helper()
	const most = 50
	s := notName.ReplaceAllString(strings.ToLower(t.Name()), "-")
	return strings.Trim(s[max(len(s)-most, 0):], "-")
}

// namespace makes a namespace for the test that chooses a policy, with more
// labels as wanted, and deletes it afterwards.
func namespace(t *testing.T, policy string, labels ...string) string {
	t.Helper()
	return namespaceNamed(t, slug(t), policy, labels...)
}

// namespaceNamed is namespace for a test that needs more than one.
func namespaceNamed(t *testing.T, name, policy string, labels ...string) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{policyLabel: policy},
	}}
	for _, l := range labels {
		ns.Labels[l] = "true"
	}
	namespaces := shared.Cluster.Client.CoreV1().Namespaces()
	if _, err := namespaces.Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context has ended.
		if err := namespaces.Delete(context.Background(), ns.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	return ns.Name
}

// image builds an image of a sample program that no other test has, so that
// nobody has scanned it.
func image(t *testing.T, program string) v1.Image {
	t.Helper()
	img, err := shared.Images.Image(t.Context(), program, "amd64", t.Name())
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// push stores the image under the test's own repository.
func push(t *testing.T, img v1.Image, tag string) registry.Pushed {
	t.Helper()
	pushed, err := shared.Registry.Push(t.Context(), img, slug(t), tag)
	if err != nil {
		t.Fatal(err)
	}
	return pushed
}

// sample is image and push at once.
func sample(t *testing.T, program string) registry.Pushed {
	t.Helper()
	return push(t, image(t, program), "v1")
}

// pushLabelled pushes an image of its own under that tag.
func pushLabelled(t *testing.T, program, tag string) registry.Pushed {
	t.Helper()
	img, err := shared.Images.Image(t.Context(), program, "amd64", t.Name()+" "+tag)
	if err != nil {
		t.Fatal(err)
	}
	return push(t, img, tag)
}

// pod returns the manifest of a Pod with one container.
func pod(ns, name, image string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {namespace: %s, name: %s}
spec:
  containers:
  - {name: app, image: %q}
`, ns, name, image)
}

// answer is what came of one kubectl create.
type answer struct {
	output string
	err    error
	took   time.Duration
}

// create runs kubectl create with the manifests.
func create(t *testing.T, manifests string) answer {
	t.Helper()
	began := time.Now()
	out, err := shared.Cluster.KubectlInput(t.Context(), strings.NewReader(manifests), "create", "-f", "-")
	return answer{out, err, time.Since(began)}
}

// settle is create for tests in which it does not matter whether the mutator
// could wait the scan out: on a busy machine the first answer may be pending.
func settle(t *testing.T, manifests string) (a answer) {
	t.Helper()
	eventually(t, patience, func() error {
		if a = create(t, manifests); a.err != nil && strings.Contains(a.output, "scan report is pending") {
			return fmt.Errorf("still pending: %s", a.output)
		}
		return nil
	})
	return a
}

// admitted fails the test when the answer is no.
func (a answer) admitted(t *testing.T) answer {
	t.Helper()
	if a.err != nil {
		t.Fatalf("not admitted: %s (%v)", a.output, a.err)
	}
	return a
}

// denied fails the test when the answer is yes, or lacks one of the texts.
func (a answer) denied(t *testing.T, texts ...string) answer {
	t.Helper()
	if a.err == nil {
		t.Fatalf("admitted, want a denial with %q: %s", texts, a.output)
	}
	for _, text := range texts {
		if !strings.Contains(a.output, text) {
			t.Errorf("denied without %q: %s", text, a.output)
		}
	}
	t.Logf("denied after %.1f s: %s", a.took.Seconds(), a.output)
	return a
}

// getPod reads a Pod.
func getPod(t *testing.T, ns, name string) *corev1.Pod {
	t.Helper()
	p, err := shared.Cluster.Client.CoreV1().Pods(ns).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// eventually calls check until it returns nil, and fails the test with its
// last error when that does not happen in time. It returns how long it took.
func eventually(t testing.TB, within time.Duration, check func() error) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		err := check()
		if err == nil {
			return time.Since(began)
		}
		if time.Since(began) > within {
			t.Fatalf("not within %v: %v", within, err)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// eventuallyAdmitted creates the Pod again and again until it is admitted: what
// a user, or a controller, does after a fault has passed.
func eventuallyAdmitted(t *testing.T, within time.Duration, manifest string) {
	t.Helper()
	took := eventually(t, within, func() error {
		if a := create(t, manifest); a.err != nil {
			return fmt.Errorf("%w: %s", a.err, a.output)
		}
		return nil
	})
	t.Logf("admitted %.1f s after the fault was gone, nothing restarted", took.Seconds())
}

// pinned fails the test unless the container's image is the digest and the
// annotation keeps what was written.
func pinned(t *testing.T, p *corev1.Pod, container, image string, want registry.Pushed) {
	t.Helper()
	if image != want.Pinned {
		t.Errorf("container %s runs %s, want %s", container, image, want.Pinned)
	}
	if got := p.Annotations["original-image.imagegate.dev/"+container]; got != want.Ref {
		t.Errorf("annotation of container %s says %q, want %q", container, got, want.Ref)
	}
}

// restart runs one of imagegate's programs with more arguments for one test.
func restart(t *testing.T, part *system.Part, args ...string) {
	t.Helper()
	// The test's own context has ended when this cleans up.
	ctx := context.WithoutCancel(t.Context())
	again := func(args ...string) {
		part.Stop()
		if err := part.Start(ctx, args...); err != nil {
			t.Fatal(err)
		}
	}
	again(args...)
	t.Cleanup(func() { again() })
}
