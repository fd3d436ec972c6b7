package install

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// In an upgrade the old replica leads until it ends, and it ends when the new one is
// ready. A new one whose certificates come from elsewhere is ready when their
// authority is published, which the old one does not do: it follows its own settings.
// So a replica that was started later, with other settings, claims the lead, and the
// old one hands it over.

// claimKey is the annotation of the state that has the claim.
const claimKey = "imagegate.dev/claims-installation"

// claimAgain is how long a claim stands before it is made anew: whoever made it may
// have lost the race for the Lease.
const claimAgain = time.Minute

// errClaimed is the end of a round that another replica is to make.
var errClaimed = errors.New("another replica claims the installation")

// by is who follows which settings since when.
type by struct {
	Settings string      `json:"settings"`
	Began    metav1.Time `json:"began"`
}

// supersedes reports whether o was started after b, with other settings.
func (o by) supersedes(b by) bool {
	return b.Settings != "" && o.Settings != b.Settings && o.Began.After(b.Began.Time)
}

// settings are those that tell what is to be installed; who we are is not among them.
func (o *Options) settings() (string, error) {
	c := o.Certificates
	c.Dir = ""
	text, err := json.Marshal([]any{o.Mode, o.Instance, o.Namespace, o.Owner, o.Policies, o.Provider, o.Webhook, o.Gatekeeper, c, o.Unverified})
	if err != nil {
		return "", fmt.Errorf("comparing settings: %w", err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))[:16], nil
}

// claim asks the leader to hand over, if it follows older settings.
func (i *Installer) claim(ctx context.Context, state State, cm *corev1.ConfigMap) error {
	if cm == nil || !i.by.supersedes(state.By) {
		return nil
	}
	text, err := json.Marshal(claim{By: i.by, Made: metav1.NewTime(time.Now().Truncate(claimAgain))})
	if err != nil {
		return err
	}
	if cm.Annotations[claimKey] == string(text) {
		return nil
	}
	cm = cm.DeepCopy()
	if cm.Annotations == nil {
		cm.Annotations = map[string]string{}
	}
	cm.Annotations[claimKey] = string(text)
	ctx, cancel := bounded(ctx)
	defer cancel()
	if _, err := i.core.CoreV1().ConfigMaps(i.o.Namespace).Update(ctx, cm, metav1.UpdateOptions{FieldManager: fieldManager}); err != nil {
		return refused("claiming the installation, ConfigMap "+cm.Name, err)
	}
	return nil
}

type claim struct {
	By   by          `json:"by"`
	Made metav1.Time `json:"made"`
}

// claimed reports whether somebody claims the lead whom this replica, which has it,
// has not made way for yet. Each claim is followed once: who made it may be gone.
func (i *Installer) claimed(cm *corev1.ConfigMap) bool {
	if cm == nil {
		return false
	}
	text := cm.Annotations[claimKey]
	var c claim
	if text == "" || text == i.followed || json.Unmarshal([]byte(text), &c) != nil || !c.By.supersedes(i.by) {
		return false
	}
	i.followed = text
	return true
}
