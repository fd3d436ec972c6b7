package inventory

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// What a reflector tells comes in here, and is a record before anybody else can
// keep it. Between the events of a first list that is streamed it holds what
// Transformer returns.
var (
	_ cache.TransformingStore   = podStore{}
	_ cache.TransformingStore   = ownerStore{}
	_ metav1.ObjectMetaAccessor = (*keptPod)(nil)
	_ metav1.ObjectMetaAccessor = (*keptOwner)(nil)
)

// keptPod is a Pod on its way into the inventory.
type keptPod struct {
	namespace string
	record    *record
}

// GetObjectMeta is what the reflector goes by.
func (k *keptPod) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: k.namespace, Name: k.record.name}
}

// keptOwner is a ReplicaSet or Job on its way.
type keptOwner struct {
	namespace, name string
	by              controller
}

// GetObjectMeta is what the reflector goes by.
func (k *keptOwner) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: k.namespace, Name: k.name}
}

// slim returns a keptPod or keptOwner for what the API server sent.
func slim(obj any) (any, error) {
	switch o := obj.(type) {
	case *keptPod, *keptOwner:
		return o, nil
	case *corev1.Pod:
		return &keptPod{intern(o.Namespace).String(), newRecord(o)}, nil
	case *metav1.PartialObjectMetadata:
		kind, name := controllerOf(o.OwnerReferences)
		return &keptOwner{intern(o.Namespace).String(), strings.Clone(o.Name), controller{kind, name}}, nil
	case cache.DeletedFinalStateUnknown:
		return slim(o.Obj)
	default:
		return nil, strange(obj)
	}
}

func strange(obj any) error { return fmt.Errorf("the inventory was told of a %T", obj) }

// podStore takes Pods in.
type podStore struct{ i *Inventory }

// Transformer is what may be kept of a Pod.
func (podStore) Transformer() cache.TransformFunc { return slim }

// Add takes in a Pod that is new.
func (s podStore) Add(obj any) error { return s.set(obj, true) }

// Update takes in a Pod that has changed.
func (s podStore) Update(obj any) error { return s.set(obj, false) }

func (s podStore) set(obj any, fresh bool) error {
	return s.with(obj, func(k *keptPod) { s.i.kept.set(k.namespace, k.record, fresh) })
}

// Delete takes in that a Pod is gone, or has ended.
func (s podStore) Delete(obj any) error {
	return s.with(obj, func(k *keptPod) {
		s.i.kept.remove(k.namespace, k.record.name)
		if s.i.kept.left > 0 && s.i.kept.roomy() {
			select {
			case s.i.room <- struct{}{}:
			default:
			}
		}
	})
}

func (s podStore) with(obj any, do func(*keptPod)) error {
	o, err := slim(obj)
	if err != nil {
		return err
	}
	k, ok := o.(*keptPod)
	if !ok {
		return strange(obj)
	}
	s.i.mu.Lock()
	defer s.i.mu.Unlock()
	do(k)
	s.i.wake()
	return nil
}

// Replace takes in all Pods that there are.
func (s podStore) Replace(all []any, _ string) error {
	kept := newPods(s.i.o.MaxPods)
	for n, obj := range all {
		o, err := slim(obj)
		if err != nil {
			return err
		}
		k, ok := o.(*keptPod)
		if !ok {
			return strange(obj)
		}
		kept.set(k.namespace, k.record, true)
		all[n] = nil
	}
	s.i.mu.Lock()
	defer s.i.mu.Unlock()
	s.i.kept = kept
	s.i.replaced(sourcePods)
	return nil
}

// Resync does nothing: nothing is derived that could be behind.
func (podStore) Resync() error { return nil }

// ownerStore takes ReplicaSets or Jobs in.
type ownerStore struct {
	i    *Inventory
	name source
	kind text
}

// Transformer is what may be kept of an owner.
func (ownerStore) Transformer() cache.TransformFunc { return slim }

// Add takes in a new owner.
func (s ownerStore) Add(obj any) error {
	return s.with(obj, func(k *keptOwner) { s.i.owners.set(intern(k.namespace), s.id(k), k.by) })
}

// Update takes in an owner that has changed.
func (s ownerStore) Update(obj any) error { return s.Add(obj) }

// Delete forgets an owner.
func (s ownerStore) Delete(obj any) error {
	return s.with(obj, func(k *keptOwner) { s.i.owners.remove(intern(k.namespace), s.id(k)) })
}

func (s ownerStore) id(k *keptOwner) ownerID { return ownerID{s.kind, k.name} }

func (s ownerStore) with(obj any, do func(*keptOwner)) error {
	k, err := keptOwnerOf(obj)
	if err != nil {
		return err
	}
	s.i.mu.Lock()
	defer s.i.mu.Unlock()
	do(k)
	s.i.wake()
	return nil
}

func keptOwnerOf(obj any) (*keptOwner, error) {
	o, err := slim(obj)
	if err != nil {
		return nil, err
	}
	k, ok := o.(*keptOwner)
	if !ok {
		return nil, strange(obj)
	}
	return k, nil
}

// Replace takes in all owners of the kind that there are.
func (s ownerStore) Replace(all []any, _ string) error {
	kept := make([]*keptOwner, len(all))
	for n, obj := range all {
		var err error
		if kept[n], err = keptOwnerOf(obj); err != nil {
			return err
		}
	}
	s.i.mu.Lock()
	defer s.i.mu.Unlock()
	s.i.owners.full = false
	s.i.owners.removeKind(s.kind)
	for _, k := range kept {
		s.i.owners.set(intern(k.namespace), s.id(k), k.by)
	}
	s.i.replaced(s.name)
	return nil
}

// Resync does nothing.
func (ownerStore) Resync() error { return nil }

// replaced notes that all of a source has been read. i.mu is held.
func (i *Inventory) replaced(name source) {
	s := i.sources[name]
	s.listed, s.trouble = true, nil
	i.wake()
}
