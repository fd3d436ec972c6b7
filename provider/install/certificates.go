package install

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/imagegate/imagegate/provider/install/check"
	"github.com/imagegate/imagegate/provider/install/finding"
	"github.com/imagegate/imagegate/provider/install/trust"
	"github.com/imagegate/imagegate/provider/install/webhooks"
)

// certificates takes the next step with our certificates and publishes what verifies
// them. It reports whether there is a Provider object as it should be.
//
// The order: what will be published is written down first (whoever leads next must
// not forget an authority that is out there), then published, then noted as
// published, which lets replicas serve.
func (r *round) certificates(ctx context.Context) (published bool) {
	if r.cm == nil {
		r.remember(ctx)
	}
	current, err := r.authorities(ctx)
	if err == nil {
		err = r.step(ctx, current, false)
	}
	if err != nil {
		r.refusal(finding.CertificateMissing, err)
		if len(r.state.Ours.Authorities) == 0 {
			return false
		}
		// What is published is still repaired.
	}
	provider, everywhere := r.publish(ctx)
	if err == nil && everywhere {
		if err := r.step(ctx, current, true); err != nil {
			r.refusal(finding.CertificateMissing, err)
		}
	}
	return provider
}

// step moves the record on and writes it.
func (r *round) step(ctx context.Context, current []byte, published bool) error {
	record, again, err := r.plan.Step(r.state.Ours, current, published, r.now)
	if err != nil {
		return fmt.Errorf("%s: %w", r.sourceName(), err)
	}
	r.due(again)
	r.state.Ours = record
	return r.save(ctx)
}

// remember makes a record of what is out there: the state is gone.
func (r *round) remember(ctx context.Context) {
	u, err := r.objects.get(ctx, providers, r.o.Provider.Name)
	if err != nil || u == nil || r.o.Mode == ModeNone {
		return // there is nothing to remember, or it fails again below
	}
	text, _, _ := unstructured.NestedString(u.Object, "spec", "caBundle")
	bundle, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return
	}
	record, _, err := r.plan.Step(trust.Record{}, bundle, false, r.now)
	if err != nil {
		return
	}
	if record, _, err = r.plan.Step(record, bundle, true, r.now); err == nil {
		r.state.Ours = record
	}
}

// authorities returns the CAs of the source, after one step with our own.
func (r *round) authorities(ctx context.Context) ([]byte, error) {
	m, s, err := r.material(ctx)
	if err != nil {
		return nil, err
	}
	if r.o.Certificates.Source != SourceOwn {
		if len(m.CACert) == 0 {
			return nil, fmt.Errorf("%s has no %s, which is to be published: an issuer that gives none cannot be used", r.sourceName(), CAFile)
		}
		return m.CACert, nil
	}
	c := &r.o.Certificates
	issuer := trust.Issuer{Names: c.Names, CAValidity: c.CAValidity, LeafValidity: c.LeafValidity}
	next, did, err := issuer.Step(r.plan, m, r.state.Ours, r.now)
	if err != nil {
		return nil, err
	}
	if did != "" {
		if err := r.keep(ctx, next, s); err != nil {
			return nil, err
		}
		r.did = did
		r.due(r.now) // and the next step
	}
	r.due(issuer.Again(r.plan, next, r.state.Ours, r.now))
	return next.Authorities(), nil
}

// keep writes our own CA's Secret. A conflict means that another replica leads by
// now: nothing is lost.
func (r *round) keep(ctx context.Context, m trust.Material, s *corev1.Secret) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	api := r.core.CoreV1().Secrets(r.o.Namespace)
	missing := s == nil
	if missing {
		s = &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: r.o.Certificates.Secret, Namespace: r.o.Namespace, Labels: r.o.labels(), OwnerReferences: r.owners},
			Type:       corev1.SecretTypeTLS,
		}
	}
	s = s.DeepCopy()
	if s.Data == nil {
		s.Data = map[string][]byte{}
	}
	maps.Copy(s.Data, map[string][]byte{
		CAFile: m.CACert, caKeyKey: m.CAKey, CertFile: m.Leaf.Cert, KeyFile: m.Leaf.Key, nextCAKey: m.NextCert, nextKeyKey: m.NextKey,
	})
	for _, key := range []string{nextCAKey, nextKeyKey} {
		if len(s.Data[key]) == 0 {
			delete(s.Data, key)
		}
	}
	var err error
	if missing {
		_, err = api.Create(ctx, s, metav1.CreateOptions{FieldManager: fieldManager})
	} else {
		_, err = api.Update(ctx, s, metav1.UpdateOptions{FieldManager: fieldManager})
	}
	if err != nil {
		return refused("writing "+r.sourceName(), err)
	}
	return nil
}

// publish writes the bundle wherever clients look. provider says that the Provider
// object is there, everywhere that all who look have the bundle; a place that does
// not exist looks at nothing.
func (r *round) publish(ctx context.Context) (provider, everywhere bool) {
	if r.o.Mode == ModeNone {
		return true, true
	}
	bundle := base64.StdEncoding.EncodeToString(r.state.Ours.Bundle())
	everywhere = true
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": providers.GroupVersion().String(),
		"kind":       "Provider",
		"metadata":   map[string]any{"name": r.o.Provider.Name},
		"spec":       map[string]any{"url": r.o.Provider.URL, "timeout": int64(r.o.Provider.Timeout), "caBundle": bundle},
	}}
	switch made, err := r.ensure(ctx, providers, u); {
	case err != nil:
		everywhere = false
		r.refusal(finding.ProviderObjectRefused, err)
	case made == nil:
		r.problem(finding.GatekeeperMissing, "there is no Gatekeeper with external data (CRD providers.externaldata.gatekeeper.sh): it may be installed later")
	default:
		provider = true
	}
	if err := r.patchWebhook(ctx, bundle); err != nil {
		everywhere = false
		r.refusal(finding.WebhookNotPatched, err)
	}
	return provider, everywhere
}

// patchWebhook gives each webhook of our configuration the bundle, and touches
// nothing else of it. It warns of one that lets tags through unpinned.
func (r *round) patchWebhook(ctx context.Context, bundle string) error {
	if r.o.Webhook == "" {
		return nil
	}
	name := "MutatingWebhookConfiguration " + r.o.Webhook
	u, err := r.objects.get(ctx, mutating, r.o.Webhook)
	if err != nil {
		return refused("reading "+name, err)
	}
	if u == nil {
		r.problem(finding.WebhookNotPatched, "%s does not exist", name)
		return nil
	}
	c, err := webhooks.Read(u)
	if err != nil {
		return err
	}
	r.warnings.found(check.Pinning(c, mends()))
	stale := false
	var wanted []any
	for _, h := range c.Hooks {
		stale = stale || base64.StdEncoding.EncodeToString(h.Bundle) != bundle
		wanted = append(wanted, map[string]any{"name": h.Name, "clientConfig": map[string]any{"caBundle": bundle}})
	}
	if !stale {
		return nil
	}
	patch := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": u.GetAPIVersion(), "kind": u.GetKind(),
		// With the UID nothing is made that is gone meanwhile.
		"metadata": map[string]any{"name": u.GetName(), "uid": string(u.GetUID())},
		"webhooks": wanted,
	}}
	_, err = r.objects.apply(ctx, mutating, patch)
	r.metrics.wrote("apply", err)
	if err != nil {
		return refused("writing the CA bundle of "+name, err)
	}
	return nil
}
