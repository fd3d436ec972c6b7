// Package inventory lists all objects of a cluster, so that a test can say that
// something leaves nothing behind.
package inventory

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
)

// Take returns the names of all objects but Events, as group/resource/namespace/name.
func Take(ctx context.Context, kinds discovery.DiscoveryInterface, objects dynamic.Interface) (map[string]bool, error) {
	lists, err := kinds.ServerPreferredResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, fmt.Errorf("list the kinds of the cluster: %w", err)
	}
	found := map[string]bool{}
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, r := range l.APIResources {
			if !slices.Contains(r.Verbs, "list") || r.Kind == "Event" || r.Kind == "ComponentStatus" {
				continue
			}
			list, err := objects.Resource(gv.WithResource(r.Name)).List(ctx, metav1.ListOptions{})
			if err != nil {
				continue // a kind that is going
			}
			for _, u := range list.Items {
				found[strings.Join([]string{gv.Group, r.Name, u.GetNamespace(), u.GetName()}, "/")] = true
			}
		}
	}
	return found, nil
}

// Differ lists what is in one and not in the other, with + for what came and - for
// what went.
func Differ(before, after map[string]bool) []string {
	var all []string
	for name := range after {
		if !before[name] {
			all = append(all, "+"+name)
		}
	}
	for name := range before {
		if !after[name] {
			all = append(all, "-"+name)
		}
	}
	slices.Sort(all)
	return all
}
