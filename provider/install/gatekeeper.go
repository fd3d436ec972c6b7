package install

import (
	"bytes"
	"context"
	"encoding/base64"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// gatekeeper is what is known of Gatekeeper.
type gatekeeper struct {
	// namespace is where it runs; empty: unknown.
	namespace string
	// known says that we know whose certificates its clients have.
	known bool
	// judges says that its validating webhook is there.
	judges bool
}

// hook is what is read of one of its webhooks.
type hook struct {
	name, namespace, failurePolicy string
	timeout                        int64
	bundle                         []byte
}

// gatekeeper reads Gatekeeper's webhook configurations: its CA, which is behind its
// client certificates too, and what it does when it cannot answer. Its Secret, which
// has the CA's key, is never read.
func (r *round) gatekeeper(ctx context.Context) gatekeeper {
	var g gatekeeper
	o := r.o.Gatekeeper
	judging := r.hooks(ctx, validating, o.Validating)
	g.judges = len(judging) > 0
	all := slices.Concat(judging, r.hooks(ctx, mutating, o.Mutating))
	for _, h := range all {
		if h.namespace != "" && g.namespace == "" {
			g.namespace = h.namespace
		}
	}
	switch {
	case r.o.Unverified:
	case o.CAFile != "":
		_, err := r.clients(State{})
		if g.known = err == nil; err != nil {
			r.refusal(ReasonUnknownClientCA, err)
		}
	default:
		r.follow(all, &g)
	}
	for _, h := range judging {
		r.judge(h)
	}
	if r.o.Unverified {
		r.warnings.add(WarningNoMTLS, "server.tls.clientAuth is off: whoever reaches the provider may ask it")
		g.known = true
	}
	return g
}

// follow takes the CA of the first configuration that has one.
func (r *round) follow(hooks []hook, g *gatekeeper) {
	for _, h := range hooks {
		if len(bytes.TrimSpace(h.bundle)) == 0 {
			continue
		}
		clients, err := r.state.Gatekeeper.Follow(h.bundle)
		if err != nil {
			r.problem(ReasonUnknownClientCA, "the CA of Gatekeeper's webhook %s cannot be read, and the one before still counts: %v", h.name, err)
			continue
		}
		r.state.Gatekeeper = clients
		break
	}
	if g.known = len(r.state.Gatekeeper.Bundles) > 0; !g.known {
		r.problem(ReasonUnknownClientCA, "whose certificate Gatekeeper shows is unknown, and clients are refused: "+
			"neither ValidatingWebhookConfiguration %s nor MutatingWebhookConfiguration %s has a caBundle "+
			"(install.gatekeeper.validatingWebhook, .mutatingWebhook and .caFile)", r.o.Gatekeeper.Validating, r.o.Gatekeeper.Mutating)
	}
}

// hooks reads a configuration, nothing where there is none.
func (r *round) hooks(ctx context.Context, resource schema.GroupVersionResource, name string) []hook {
	if name == "" {
		return nil
	}
	u, err := r.objects.get(ctx, resource, name)
	if err != nil {
		r.refusal(ReasonAPI, refused("reading Gatekeeper's "+resource.Resource+" "+name, err))
		return nil
	}
	if u == nil {
		return nil
	}
	found, _, _ := unstructured.NestedSlice(u.Object, "webhooks")
	var hooks []hook
	for _, f := range found {
		m, _ := f.(map[string]any)
		h := hook{}
		h.name, _, _ = unstructured.NestedString(m, "name")
		h.namespace, _, _ = unstructured.NestedString(m, "clientConfig", "service", "namespace")
		h.failurePolicy, _, _ = unstructured.NestedString(m, "failurePolicy")
		h.timeout, _, _ = unstructured.NestedInt64(m, "timeoutSeconds")
		text, _, _ := unstructured.NestedString(m, "clientConfig", "caBundle")
		h.bundle, _ = base64.StdEncoding.DecodeString(text) // the API server has checked it
		hooks = append(hooks, h)
	}
	return hooks
}

// ignoreLabelHook guards Gatekeeper's own label and judges no Pod.
const ignoreLabelHook = "check-ignore-label"

// judge warns of a webhook that lets Pods through when it should not.
func (r *round) judge(h hook) {
	if strings.HasPrefix(h.name, ignoreLabelHook) {
		return
	}
	if h.failurePolicy != "Fail" {
		r.warnings.add(WarningFailsOpen, "Gatekeeper's webhook %s has failurePolicy %s: whatever it does not answer in time is admitted without a look. "+
			"helm upgrade gatekeeper gatekeeper/gatekeeper --reuse-values --set validatingWebhookFailurePolicy=Fail", h.name, h.failurePolicy)
	}
	if least := int64(r.o.Provider.Timeout) + 1; h.timeout < least {
		r.warnings.add(WarningShortTimeout, "Gatekeeper's webhook %s has timeoutSeconds %d, and the provider may take %d: a question that takes as long is never answered. "+
			"helm upgrade gatekeeper gatekeeper/gatekeeper --reuse-values --set validatingWebhookTimeoutSeconds=%d", h.name, h.timeout, r.o.Provider.Timeout, least+2)
	}
}
