package install

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/imagegate/imagegate/provider/install/check"
	"github.com/imagegate/imagegate/provider/install/finding"
	"github.com/imagegate/imagegate/provider/install/trust"
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
		_, err := r.clients(trust.Clients{})
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

// follow takes the CA that Gatekeeper's webhooks are called with.
func (r *round) follow(hooks []webhooks.Hook, g *gatekeeper) {
	bundle, unread := clientCA(hooks)
	for _, err := range unread {
		r.problem(finding.GatekeeperCAUnknown, "%v", err)
	}
	r.state.Gatekeeper = following(r.state.Gatekeeper, bundle)
	if g.known = len(r.state.Gatekeeper.Bundles) > 0; !g.known {
		r.problem(finding.GatekeeperCAUnknown, "whose certificate Gatekeeper shows is unknown, and clients are refused: "+
			"neither ValidatingWebhookConfiguration %s nor MutatingWebhookConfiguration %s has a caBundle "+
			"(install.gatekeeper.validatingWebhook, .mutatingWebhook and .caFile)", r.o.Gatekeeper.Validating, r.o.Gatekeeper.Mutating)
	}
}

// clientCA is the CA of the first of the hooks that has one, nil when none has. The
// errors say which cannot be read.
func clientCA(hooks []webhooks.Hook) (bundle []byte, unread []error) {
	for _, h := range hooks {
		if len(bytes.TrimSpace(h.Bundle)) == 0 {
			continue
		}
		if _, err := (trust.Clients{}).Follow(h.Bundle); err != nil {
			unread = append(unread, fmt.Errorf("the CA of Gatekeeper's webhook %s cannot be read, and the one before still counts: %w", h.Name, err))
			continue
		}
		return h.Bundle, unread
	}
	return nil, unread
}

// following are the authorities once bundle, which clientCA returned, is the newest.
func following(clients trust.Clients, bundle []byte) trust.Clients {
	if next, err := clients.Follow(bundle); err == nil {
		return next
	}
	return clients // there is none
}

// gatekeepers are the authorities behind Gatekeeper's client certificates: what the
// leader wrote, and what this replica sees for itself. For while Gatekeeper's CA is
// replaced its webhook refuses whatever it is not there to judge, the leader's state
// and Lease too, and once it can be called again it shows the new certificate. What
// cannot be read is the leader's to report; it takes nothing away, and complete is
// false.
func (i *Installer) gatekeepers(ctx context.Context, state State) (clients trust.Clients, complete bool) {
	o := i.o.Gatekeeper
	if i.o.Unverified || o.CAFile != "" {
		return state.Gatekeeper, true
	}
	judging, err := i.hooks(ctx, validating, o.Validating)
	changing, errAlso := i.hooks(ctx, mutating, o.Mutating)
	bundle, unread := clientCA(slices.Concat(judging.Hooks, changing.Hooks))
	read := err == nil && errAlso == nil
	if read && bundle != nil {
		i.clientCA = bundle
	}
	return following(state.Gatekeeper, i.clientCA), read && len(unread) == 0
}

// hooks reads one of Gatekeeper's configurations, nothing where there is none.
func (i *Installer) hooks(ctx context.Context, resource schema.GroupVersionResource, name string) (webhooks.Configuration, error) {
	if name == "" {
		return webhooks.Configuration{}, nil
	}
	u, err := i.objects.get(ctx, resource, name)
	if err != nil {
		return webhooks.Configuration{}, refused("reading Gatekeeper's "+resource.Resource+" "+name, err)
	}
	if u == nil {
		return webhooks.Configuration{}, nil
	}
	return webhooks.Read(u)
}

// hooks is the Installer's, with what is refused told.
func (r *round) hooks(ctx context.Context, resource schema.GroupVersionResource, name string) webhooks.Configuration {
	c, err := r.Installer.hooks(ctx, resource, name)
	if err != nil {
		r.refusal(finding.APIError, err)
	}
	return c
}

// mends are the commands as far as they are known here, where the release is not.
func mends() check.Commands {
	return check.Commands{Gatekeeper: "helm upgrade gatekeeper gatekeeper/gatekeeper --reuse-values", Imagegate: "helm upgrade"}
}
