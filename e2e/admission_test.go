package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/e2e/registry"
	"github.com/imagegate/imagegate/e2e/system"
)

// advisory is what a denial says of the vulnerable sample: the worst advisory,
// its severity, the package and version, and what fixes it.
var advisory = []string{"CVE-2022-32149 (High) in golang.org/x/text v0.3.5, fixed in 0.3.8"}

func TestCleanImageIsAdmittedAndPinned(t *testing.T) {
	ns := namespace(t, denyPolicy)
	img := sample(t, registry.Fixed)
	created := create(t, pod(ns, "clean", img.Ref)).admitted(t)
	p := getPod(t, ns, "clean")
	pinned(t, p, "app", p.Spec.Containers[0].Image, img)

	scan, err := shared.System.ScanTime(img.Digest)
	if err != nil {
		t.Fatal(err)
	}
	over := created.took - scan
	t.Logf("an unseen image: kubectl create to admitted %.2f s, the scan itself %.2f s, over %.2f s",
		created.took.Seconds(), scan.Seconds(), over.Seconds())
	// Seconds, not fractions: a machine that does other work must not fail it,
	// a wait for nothing must.
	if over > 5*time.Second {
		t.Errorf("admitted %v after the scan was done", over)
	}

	again := settle(t, pod(ns, "clean-again", img.Ref)).admitted(t)
	t.Logf("the same image again: kubectl create to admitted %.2f s", again.took.Seconds())
}

func TestVulnerableImageIsDenied(t *testing.T) {
	ns := namespace(t, denyPolicy)
	img := sample(t, registry.Vulnerable)
	want := append([]string{
		"[" + constraintOf(denyPolicy) + "]",
		"Image '" + img.Ref + "' REJECTED. Global default policy - scan result is 'reject': ",
		"It is pinned to '" + img.Pinned + "'.",
	}, advisory...)
	settle(t, pod(ns, "vulnerable", img.Ref)).denied(t, want...)
	// Pinned already, and for the second time from what is remembered.
	settle(t, pod(ns, "vulnerable", img.Pinned)).denied(t, append(advisory, img.Pinned)...)
}

func TestInitContainerIsGatedAndPinned(t *testing.T) {
	ns := namespace(t, denyPolicy)
	clean := sample(t, registry.Fixed)
	vulnerable := push(t, image(t, registry.Vulnerable), "vulnerable")
	manifest := func(name, init string) string {
		return fmt.Sprintf("%s  initContainers:\n  - {name: setup, image: %q}\n", pod(ns, name, clean.Ref), init)
	}
	settle(t, manifest("denied", vulnerable.Ref)).denied(t, append(advisory, vulnerable.Pinned)...)

	settle(t, manifest("admitted", clean.Ref)).admitted(t)
	p := getPod(t, ns, "admitted")
	pinned(t, p, "setup", p.Spec.InitContainers[0].Image, clean)
	pinned(t, p, "app", p.Spec.Containers[0].Image, clean)
}

func TestEphemeralContainerIsGatedAndPinned(t *testing.T) {
	ns := namespace(t, denyPolicy)
	clean := sample(t, registry.Fixed)
	vulnerable := push(t, image(t, registry.Vulnerable), "vulnerable")
	settle(t, pod(ns, "app", clean.Ref)).admitted(t)

	debug := func(name, image string) answer {
		began := time.Now()
		out, err := shared.Cluster.Kubectl(t.Context(), "debug", "-n", ns, "pod/app", "--container="+name, "--image="+image)
		return answer{out, err, time.Since(began)}
	}
	// The subresource keeps no annotation: the tag stays beside the digest.
	kept := func(img registry.Pushed) string { return img.Ref + "@" + img.Digest }
	debug("bad", vulnerable.Ref).denied(t, append(advisory, kept(vulnerable))...)
	if n := len(getPod(t, ns, "app").Spec.EphemeralContainers); n != 0 {
		t.Fatalf("the Pod has %d ephemeral containers after the denial", n)
	}
	debug("good", clean.Ref).admitted(t)
	p := getPod(t, ns, "app")
	if n := len(p.Spec.EphemeralContainers); n != 1 {
		t.Fatalf("the Pod has %d ephemeral containers, want 1", n)
	}
	if got := p.Spec.EphemeralContainers[0].Image; got != kept(clean) {
		t.Errorf("the ephemeral container runs %s, want %s", got, kept(clean))
	}
	eventually(t, patience, func() error {
		if n := len(getPod(t, ns, "app").Status.EphemeralContainerStatuses); n != 1 {
			return fmt.Errorf("the node reports %d ephemeral containers", n)
		}
		return nil
	})
}

func TestMovedTagKeepsTheFirstDigest(t *testing.T) {
	ns := namespace(t, denyPolicy)
	first := sample(t, registry.Fixed)
	settle(t, pod(ns, "before", first.Ref)).admitted(t)

	moved, err := shared.Images.Image(t.Context(), registry.Fixed, "amd64", t.Name()+" moved")
	if err != nil {
		t.Fatal(err)
	}
	second := push(t, moved, "v1")
	if second.Digest == first.Digest {
		t.Fatal("the tag has not moved")
	}
	// The provider may go on with what it resolved before for its tag TTL.
	n := 0
	eventually(t, patience, func() error {
		n++
		name := fmt.Sprintf("after-%d", n)
		settle(t, pod(ns, name, second.Ref)).admitted(t)
		if got := getPod(t, ns, name).Spec.Containers[0].Image; got != second.Pinned {
			return fmt.Errorf("the Pod runs %s, want %s", got, second.Pinned)
		}
		return nil
	})
	p := getPod(t, ns, "before")
	pinned(t, p, "app", p.Spec.Containers[0].Image, first)
}

func TestMovedTagToVulnerableImageIsDenied(t *testing.T) {
	ns := namespace(t, denyPolicy)
	clean := sample(t, registry.Fixed)
	settle(t, pod(ns, "before", clean.Ref)).admitted(t)
	vulnerable := push(t, image(t, registry.Vulnerable), "v1")
	n := 0
	eventually(t, patience, func() error {
		n++
		a := settle(t, pod(ns, fmt.Sprintf("after-%d", n), vulnerable.Ref))
		if a.err == nil {
			return fmt.Errorf("still admitted")
		}
		a.denied(t, append(advisory, vulnerable.Pinned)...)
		return nil
	})
	p := getPod(t, ns, "before")
	pinned(t, p, "app", p.Spec.Containers[0].Image, clean)
}

func TestMultiArchitectureImage(t *testing.T) {
	for _, tc := range []struct {
		name     string
		programs map[string]string
		denied   bool
	}{
		{"clean", map[string]string{"amd64": registry.Fixed, "arm64": registry.Fixed}, false},
		{"one platform vulnerable", map[string]string{"amd64": registry.Fixed, "arm64": registry.Vulnerable}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ns := namespace(t, denyPolicy)
			index, err := shared.Images.Index(t.Context(), t.Name(), tc.programs)
			if err != nil {
				t.Fatal(err)
			}
			pushed, err := shared.Registry.PushIndex(t.Context(), index, slug(t), "v1")
			if err != nil {
				t.Fatal(err)
			}
			a := settle(t, pod(ns, "app", pushed.Ref))
			if tc.denied {
				a.denied(t, append(advisory, pushed.Pinned)...)
				return
			}
			a.admitted(t)
			p := getPod(t, ns, "app")
			pinned(t, p, "app", p.Spec.Containers[0].Image, pushed)
		})
	}
}

// Without the mutating webhook the reference stays as written, and validation
// judges what the tag means now. Nobody waits: the first try is pending.
func TestUnpinnedNamespaceIsJudgedByTag(t *testing.T) {
	ns := namespace(t, denyPolicy, system.Unpinned)
	img := slowImage(t, 2*time.Second)
	create(t, pod(ns, "app", img.Ref)).denied(t,
		"Image '"+img.Ref+"' REJECTED. Global default policy - scan report is pending")
	eventuallyAdmitted(t, patience, pod(ns, "app", img.Ref))
	if got := getPod(t, ns, "app").Spec.Containers[0].Image; got != img.Ref {
		t.Errorf("the Pod runs %s, want it as written: %s", got, img.Ref)
	}
}

// A reference that is none is denied by whoever sees it first, in words.
func TestInvalidReferenceIsDenied(t *testing.T) {
	for _, labels := range [][]string{nil, {system.Unpinned}} {
		t.Run(strings.Join(append([]string{"namespace"}, labels...), " "), func(t *testing.T) {
			ns := namespace(t, denyPolicy, labels...)
			settle(t, pod(ns, "app", "not a/reference:")).denied(t, "not a/reference:", "not a valid image reference")
		})
	}
}
