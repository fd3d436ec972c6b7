package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/e2e/registry"
	"github.com/imagegate/imagegate/e2e/system"
)

// fault is something that breaks around a Pod that would be admitted.
type fault struct {
	name   string
	hurt   func(t *testing.T)
	repair func(ctx context.Context, t *testing.T)
	// What the Pod's author reads where the mutator pins and waits, and where
	// the namespace is unpinned so that only Gatekeeper asks the provider.
	// Empty: that way is not affected and the Pod is admitted.
	mutator, gatekeeper []string
}

// TestFaults breaks one part after another. No Pod may get in while it is
// broken, each denial says what is wrong, and once it is mended Pods get in
// although nothing else was restarted.
func TestFaults(t *testing.T) {
	host := shared.Registry.Host()
	provider := strings.TrimPrefix(shared.System.Provider.URL, "https://")
	scanner := shared.System.Scanner.URL
	for _, f := range []fault{
		{
			name:       "scanner down",
			hurt:       func(*testing.T) { shared.System.Scanner.Stop() },
			repair:     start(shared.System.Scanner),
			mutator:    []string{"scan failed: the scanner at " + scanner + " cannot be reached; the provider's log says why"},
			gatekeeper: []string{"scan failed: the scanner at " + scanner + " cannot be reached; the provider's log says why"},
		},
		{
			name: "registry down",
			hurt: func(*testing.T) { shared.Registry.Down() },
			repair: func(_ context.Context, t *testing.T) {
				if err := shared.Registry.Up(); err != nil {
					t.Fatal(err)
				}
			},
			mutator:    []string{"registry " + host + " cannot be reached; the provider's log says why"},
			gatekeeper: []string{"scan failed: registry " + host + " cannot be reached; the provider's log says why"},
		},
		{
			name: "wrong credentials",
			hurt: func(*testing.T) { shared.Registry.SetPassword("rotated") },
			repair: func(_ context.Context, t *testing.T) {
				if err := shared.System.WriteCredentials(); err != nil {
					t.Fatal(err)
				}
			},
			mutator:    []string{"registry " + host + " refused the credentials", "no pull access"},
			gatekeeper: []string{"scan failed: registry " + host + " refused the credentials", "no pull access"},
		},
		{
			name:       "provider down",
			hurt:       func(*testing.T) { shared.System.Provider.Stop() },
			repair:     start(shared.System.Provider),
			mutator:    []string{provider, "connection refused"},
			gatekeeper: []string{"scan failed: the scan provider 'imagegate-provider' could not be asked", "connection refused"},
		},
		{
			name: "provider slower than Gatekeeper waits",
			hurt: func(t *testing.T) {
				if err := shared.System.Provider.Pause(); err != nil {
					t.Fatal(err)
				}
			},
			repair: func(_ context.Context, t *testing.T) {
				if err := shared.System.Provider.Resume(); err != nil {
					t.Fatal(err)
				}
			},
			mutator:    []string{"the provider cannot be reached: no answer in time"},
			gatekeeper: []string{"scan failed: the scan provider 'imagegate-provider' could not be asked", "deadline exceeded"},
		},
		{
			name:    "mutator down",
			hurt:    func(*testing.T) { shared.System.Mutator.Stop() },
			repair:  start(shared.System.Mutator),
			mutator: []string{`failed calling webhook "mutation.imagegate.dev"`, "connection refused"},
		},
	} {
		t.Run(f.name, f.test)
	}
}

// start repairs a part that was stopped.
func start(p *system.Part) func(context.Context, *testing.T) {
	return func(ctx context.Context, t *testing.T) {
		if err := p.Start(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func (f fault) test(t *testing.T) {
	pinning := namespace(t, denyPolicy)
	unpinned := namespaceNamed(t, pinning+"-unpinned", denyPolicy, system.Unpinned)
	// Two images: the provider must not know the second from the first try.
	img := sample(t, registry.Fixed)
	other := pushLabelled(t, registry.Fixed, "other")

	repaired := false
	repair := func() {
		if !repaired {
			repaired = true
			f.repair(context.WithoutCancel(t.Context()), t)
		}
	}
	t.Cleanup(repair)
	f.hurt(t)

	create(t, pod(pinning, "app", img.Ref)).denied(t, f.mutator...)
	if f.gatekeeper != nil {
		eventuallyDenied(t, pod(unpinned, "app", other.Ref), f.gatekeeper...)
	}
	repair()
	eventuallyAdmitted(t, patience, pod(pinning, "app", img.Ref))
	eventuallyAdmitted(t, patience, pod(unpinned, "app", other.Ref))
	p := getPod(t, pinning, "app")
	pinned(t, p, "app", p.Spec.Containers[0].Image, img)
}

// eventuallyDenied creates the Pod until its scan is no longer pending, and wants
// a denial with all the texts then. It must never be admitted.
func eventuallyDenied(t *testing.T, manifest string, texts ...string) {
	t.Helper()
	settle(t, manifest).denied(t, texts...)
}

// TestUnknownImage is the fault of the Pod's author: a reference to nothing.
// Pushing the image is all it takes.
func TestUnknownImage(t *testing.T) {
	for _, tc := range []struct {
		name   string
		labels []string
		want   string
	}{
		{"pinned", nil, ""},
		{"unpinned", []string{system.Unpinned}, "scan failed: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ns := namespace(t, denyPolicy, tc.labels...)
			ref := fmt.Sprintf("%s/%s:v1", shared.Registry.Host(), slug(t))
			eventuallyDenied(t, pod(ns, "app", ref), tc.want, "registry "+shared.Registry.Host()+" has no repository "+slug(t))
			sample(t, registry.Fixed)
			eventuallyAdmitted(t, patience, pod(ns, "app", ref))
		})
	}
}
