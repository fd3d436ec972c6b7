package inventory

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/imagegate/imagegate/provider/owner"
	"github.com/imagegate/imagegate/provider/pause"
)

// running selects the Pods that have not ended: those that have are no longer
// anywhere, and a Job keeps them for long.
var running = fields.AndSelectors(
	fields.OneTermNotEqualSelector("status.phase", string(corev1.PodSucceeded)),
	fields.OneTermNotEqualSelector("status.phase", string(corev1.PodFailed)),
).String()

// followPods follows Pods until ctx ends, and lists them anew when those that were
// left out may fit.
func (i *Inventory) followPods(ctx context.Context) {
	for ctx.Err() == nil {
		round, end := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() {
			i.follow(round, sourcePods, &corev1.Pod{}, podStore{i}, i.pods,
				func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
					o.FieldSelector = running
					l, err := i.pods.CoreV1().Pods("").List(ctx, o)
					if err != nil {
						return nil, err
					}
					for n := range l.Items {
						l.Items[n] = stripped(&l.Items[n])
					}
					return l, nil
				},
				func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
					o.FieldSelector = running
					return i.pods.CoreV1().Pods("").Watch(ctx, o)
				})
		})
		if pause.For(ctx, relistPause) {
			select {
			case <-i.room:
			case <-ctx.Done():
			}
		}
		end()
		wg.Wait()
	}
}

// followOwners follows the controllers of ReplicaSets or Jobs until ctx ends.
func (i *Inventory) followOwners(ctx context.Context, name source) {
	kind := owner.ReplicaSet
	if name == sourceJobs {
		kind = owner.Job
	}
	resource := i.owned.Resource(kind.Resource())
	i.follow(ctx, name, &metav1.PartialObjectMetadata{}, ownerStore{i: i, name: name, kind: intern(string(kind))}, i.owned,
		func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			l, err := resource.List(ctx, o)
			if err != nil {
				return nil, err
			}
			for n := range l.Items {
				l.Items[n] = bare(&l.Items[n])
			}
			return l, nil
		}, resource.Watch)
}

type (
	lister  func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watcher func(context.Context, metav1.ListOptions) (watch.Interface, error)
)

// follow keeps a store in step with a source until ctx ends.
func (i *Inventory) follow(ctx context.Context, name source, expected runtime.Object, store cache.ReflectorStore, client any, list lister, watching watcher) {
	lw := &cache.ListWatch{
		// The reflector asks for all at once where the server answers from its cache,
		// and in a context that does not end.
		ListWithContextFunc: func(_ context.Context, _ metav1.ListOptions) (runtime.Object, error) {
			all, err := paged(ctx, list)
			if err != nil && ctx.Err() == nil {
				i.failed(name, err)
			}
			return all, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			w, err := watching(ctx, o)
			// One that begins with all there is has yet to bring it.
			if ctx.Err() == nil && (err != nil || o.SendInitialEvents == nil) {
				i.failed(name, err)
			}
			return w, err
		},
	}
	cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(lw, client), expected, store,
		cache.ReflectorOptions{Name: "inventory of " + string(name)}).RunWithContext(ctx)
}

// paged lists all, page by page, so that only one page is in memory whole.
func paged(ctx context.Context, list lister) (runtime.Object, error) {
	var all runtime.Object
	o := metav1.ListOptions{Limit: pageSize}
	for {
		page, err := onePage(ctx, o, list)
		if err != nil {
			return nil, err
		}
		var next string
		switch l := page.(type) {
		case *corev1.PodList:
			if before, ok := all.(*corev1.PodList); ok {
				l.Items = append(before.Items, l.Items...)
			}
			next, l.Continue = l.Continue, ""
		case *metav1.PartialObjectMetadataList:
			if before, ok := all.(*metav1.PartialObjectMetadataList); ok {
				l.Items = append(before.Items, l.Items...)
			}
			next, l.Continue = l.Continue, ""
		default:
			return nil, strange(page)
		}
		all = page
		if next == "" {
			return all, nil
		}
		o.Continue = next
	}
}

func onePage(ctx context.Context, o metav1.ListOptions, list lister) (runtime.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	return list(ctx, o)
}

// stripped is what newRecord reads of a Pod.
func stripped(p *corev1.Pod) corev1.Pod {
	out := corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: p.Namespace, Name: p.Name, ResourceVersion: p.ResourceVersion, CreationTimestamp: p.CreationTimestamp, OwnerReferences: p.OwnerReferences,
	}}
	if hash := p.Labels[templateHashLabel]; hash != "" {
		out.Labels = map[string]string{templateHashLabel: hash}
	}
	keep := func(key string) {
		if v, ok := p.Annotations[key]; ok {
			if out.Annotations == nil {
				out.Annotations = map[string]string{}
			}
			out.Annotations[key] = v
		}
	}
	containers := func(all []corev1.Container) []corev1.Container {
		kept := make([]corev1.Container, len(all))
		for i := range all {
			kept[i] = corev1.Container{Name: all[i].Name, Image: all[i].Image}
			keep(originalPrefix + all[i].Name)
		}
		return kept
	}
	statuses := func(all []corev1.ContainerStatus) []corev1.ContainerStatus {
		kept := make([]corev1.ContainerStatus, len(all))
		for i := range all {
			kept[i] = corev1.ContainerStatus{Name: all[i].Name, ImageID: all[i].ImageID}
		}
		return kept
	}
	out.Spec.Containers, out.Spec.InitContainers = containers(p.Spec.Containers), containers(p.Spec.InitContainers)
	for i := range p.Spec.EphemeralContainers {
		c := &p.Spec.EphemeralContainers[i]
		out.Spec.EphemeralContainers = append(out.Spec.EphemeralContainers,
			corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: c.Name, Image: c.Image}})
		keep(originalPrefix + c.Name)
	}
	for i := range p.Spec.Volumes {
		if v := &p.Spec.Volumes[i]; v.Image != nil {
			out.Spec.Volumes = append(out.Spec.Volumes, corev1.Volume{Name: v.Name, VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: v.Image.Reference}}})
			keep(volumeOriginalPrefix + v.Name)
		}
	}
	out.Status = corev1.PodStatus{
		ContainerStatuses:          statuses(p.Status.ContainerStatuses),
		InitContainerStatuses:      statuses(p.Status.InitContainerStatuses),
		EphemeralContainerStatuses: statuses(p.Status.EphemeralContainerStatuses),
	}
	return out
}

// bare is what ownerStore reads of an owner.
func bare(m *metav1.PartialObjectMetadata) metav1.PartialObjectMetadata {
	return metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: m.Namespace, Name: m.Name, ResourceVersion: m.ResourceVersion, OwnerReferences: m.OwnerReferences,
	}}
}
