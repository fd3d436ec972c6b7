package install

import (
	"bytes"
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/imagegate/imagegate/provider/install/check"
	"github.com/imagegate/imagegate/provider/install/finding"
	"github.com/imagegate/imagegate/provider/install/webhooks"
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

// gatekeeper reads Gatekeeper's webhook configurations: its CA, which is behind its
// client certificates too, and what it does when it cannot answer. Its Secret, which
// has the CA's key, is never read.
func (r *round) gatekeeper(ctx context.Context) gatekeeper {
	var g gatekeeper
	o := r.o.Gatekeeper
	judging := r.hooks(ctx, validating, o.Validating)
	g.judges = len(judging.Hooks) > 0
	all := slices.Concat(judging.Hooks, r.hooks(ctx, mutating, o.Mutating).Hooks)
	for _, h := range all {
		if h.Namespace != "" && g.namespace == "" {
			g.namespace = h.Namespace
		}
	}
	switch {
	case r.o.Unverified:
	case o.CAFile != "":
		_, err := r.clients(State{})
		if g.known = err == nil; err != nil {
			r.refusal(finding.GatekeeperCAUnknown, err)
		}
	default:
		r.follow(all, &g)
	}
	r.warnings.found(check.Judging(judging, r.o.Provider.Timeout, mends()))
	if r.o.Unverified {
		r.warnings.add(finding.ClientsNeedNoCertificate, "server.tls.clientAuth is off: whoever reaches the provider may ask it")
		g.known = true
	}
	return g
}

// follow takes the CA of the first configuration that has one.
func (r *round) follow(hooks []webhooks.Hook, g *gatekeeper) {
	for _, h := range hooks {
		if len(bytes.TrimSpace(h.Bundle)) == 0 {
			continue
		}
		clients, err := r.state.Gatekeeper.Follow(h.Bundle)
		if err != nil {
			r.problem(finding.GatekeeperCAUnknown, "the CA of Gatekeeper's webhook %s cannot be read, and the one before still counts: %v", h.Name, err)
			continue
		}
		r.state.Gatekeeper = clients
		break
	}
	if g.known = len(r.state.Gatekeeper.Bundles) > 0; !g.known {
		r.problem(finding.GatekeeperCAUnknown, "whose certificate Gatekeeper shows is unknown, and clients are refused: "+
			"neither ValidatingWebhookConfiguration %s nor MutatingWebhookConfiguration %s has a caBundle "+
			"(install.gatekeeper.validatingWebhook, .mutatingWebhook and .caFile)", r.o.Gatekeeper.Validating, r.o.Gatekeeper.Mutating)
	}
}

// hooks reads a configuration, nothing where there is none.
func (r *round) hooks(ctx context.Context, resource schema.GroupVersionResource, name string) webhooks.Configuration {
	if name == "" {
		return webhooks.Configuration{}
	}
	u, err := r.objects.get(ctx, resource, name)
	if err != nil {
		r.refusal(finding.APIError, refused("reading Gatekeeper's "+resource.Resource+" "+name, err))
		return webhooks.Configuration{}
	}
	if u == nil {
		return webhooks.Configuration{}
	}
	c, err := webhooks.Read(u)
	if err != nil {
		r.refusal(finding.APIError, err)
	}
	return c
}

// mends are the commands as far as they are known here, where the release is not.
func mends() check.Commands {
	return check.Commands{Gatekeeper: "helm upgrade gatekeeper gatekeeper/gatekeeper --reuse-values", Imagegate: "helm upgrade"}
}
