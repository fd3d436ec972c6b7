package install

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/imagegate/imagegate/provider/install/trust"
)

// State is what the replicas agree about. The leader writes it.
type State struct {
	// Ours are the authorities behind our certificates.
	Ours trust.Record `json:"ours"`
	// Gatekeeper are those behind Gatekeeper's client certificates.
	Gatekeeper trust.Clients `json:"gatekeeper"`
	Status     Status        `json:"status"`
	// By is the leader that wrote it.
	By by `json:"by"`
}

// Status is how far the installation is.
type Status struct {
	// Mode is the leader's.
	Mode Mode `json:"mode"`
	// Enforcing says that every Gatekeeper Pod that we know of enforces the
	// Constraint; always false where the policies are somebody else's.
	Enforcing bool      `json:"enforcing"`
	Problems  []Problem `json:"problems,omitempty"`
	Warnings  []Problem `json:"warnings,omitempty"`
}

// The keys of the state's ConfigMap.
const (
	stateKey  = "state.json"
	bundleKey = "ca.crt"
)

// stateKeeper reads and writes the state.
type stateKeeper struct {
	client          kubernetes.Interface
	namespace, name string
}

// read returns the state and the ConfigMap that it was read from, which is nil when
// there is none.
func (k *stateKeeper) read(ctx context.Context) (State, *corev1.ConfigMap, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	cm, err := k.client.CoreV1().ConfigMaps(k.namespace).Get(ctx, k.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return State{}, nil, nil
	}
	if err != nil {
		return State{}, nil, refused("reading the state, ConfigMap "+k.name, err)
	}
	s, err := ReadState(cm)
	return s, cm, err
}

// ReadState returns the state that is in its ConfigMap.
func ReadState(cm *corev1.ConfigMap) (State, error) {
	var s State
	if text := cm.Data[stateKey]; text != "" {
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			return State{}, fmt.Errorf("reading the state, ConfigMap %s: %w", cm.Name, err)
		}
	}
	return s, nil
}

// write writes the state unless it is what cm says already, and returns the
// ConfigMap as it is then. A conflict means that another replica leads by now.
func (k *stateKeeper) write(ctx context.Context, s State, cm *corev1.ConfigMap, labels map[string]string, owners []metav1.OwnerReference) (*corev1.ConfigMap, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	data := map[string]string{stateKey: string(text), bundleKey: string(s.Ours.Bundle())}
	ctx, cancel := bounded(ctx)
	defer cancel()
	api := k.client.CoreV1().ConfigMaps(k.namespace)
	if cm == nil {
		cm, err = api.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: k.name, Namespace: k.namespace, Labels: labels, OwnerReferences: owners},
			Data:       data,
		}, metav1.CreateOptions{FieldManager: fieldManager})
		if err != nil {
			return nil, refused("making the state, ConfigMap "+k.name, err)
		}
		return cm, nil
	}
	if maps.Equal(cm.Data, data) && owned(cm.OwnerReferences, owners) {
		return cm, nil
	}
	cm = cm.DeepCopy()
	cm.Data, cm.OwnerReferences = data, owners
	if cm.Labels == nil {
		cm.Labels = map[string]string{}
	}
	maps.Copy(cm.Labels, labels)
	if cm, err = api.Update(ctx, cm, metav1.UpdateOptions{FieldManager: fieldManager}); err != nil {
		return nil, refused("writing the state, ConfigMap "+k.name, err)
	}
	return cm, nil
}

// owned reports whether all owners are there.
func owned(have, want []metav1.OwnerReference) bool {
	for _, w := range want {
		found := false
		for _, h := range have {
			found = found || h.UID == w.UID
		}
		if !found {
			return false
		}
	}
	return true
}
