package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/install"
	"github.com/imagegate/imagegate/provider/install/check"
	"github.com/imagegate/imagegate/provider/install/finding"
	"github.com/imagegate/imagegate/provider/install/policy"
	"github.com/imagegate/imagegate/provider/install/webhooks"
)

// gatherer fills a snapshot.
type gatherer struct {
	cluster cluster
	*snapshot
}

// failed notes what could not be looked at, and why. right is what RBAC has to allow.
func (g *gatherer) failed(object, right string, err error) {
	if !apierrors.IsForbidden(err) {
		right = ""
	}
	g.Unseen = append(g.Unseen, unseen(object, right, err))
}

// read gets an object into what a typed one is, and reports whether it was looked at;
// found is false where there is none.
func (g *gatherer) read(ctx context.Context, r schema.GroupVersionResource, kind, namespace, name string) (u *unstructured.Unstructured, done bool) {
	u, err := g.cluster.get(ctx, r, namespace, name)
	switch {
	case err == nil:
		return u, true
	case absent(err):
		return nil, true
	}
	right := "get " + r.Resource
	if r.Group != "" {
		right += "." + r.Group
	}
	g.failed(shown(kind, namespace, name), right, err)
	return nil, false
}

// all lists, and reports whether it was looked at.
func (g *gatherer) all(ctx context.Context, r schema.GroupVersionResource, what, namespace, selector string) (list []unstructured.Unstructured, done bool) {
	list, err := g.cluster.list(ctx, r, namespace, selector)
	if err == nil || absent(err) {
		return list, true
	}
	right := "list " + r.Resource
	if r.Group != "" {
		right += "." + r.Group
	}
	if namespace != "" {
		right += " in " + namespace
	}
	g.failed(what, right, err)
	return nil, false
}

// typed converts a list, noting what is of another form.
func typed[T any](g *gatherer, what string, list []unstructured.Unstructured, done bool) seen[[]T] {
	s := seen[[]T]{Done: done}
	for i := range list {
		var t T
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list[i].Object, &t); err != nil {
			g.failed(what, "", err)
			return seen[[]T]{}
		}
		s.It = append(s.It, t)
	}
	return s
}

// partOf selects the provider's objects of the chart.
const (
	partOf         = "app.kubernetes.io/part-of=imagegate"
	component      = componentLabel + "="
	componentLabel = "app.kubernetes.io/component"
	instance       = "app.kubernetes.io/instance"
	chart          = "helm.sh/chart"
	// configKey is the key of a program's configuration in its ConfigMap.
	configKey = "config.yaml"
)

// release finds the installation by its provider's configuration. The error says that
// there is none, or more than one.
func release(ctx context.Context, c cluster, o Options) (Release, *config.Config, error) {
	list, err := c.list(ctx, configMaps, o.Namespace, partOf+","+component+"provider")
	if err != nil {
		return Release{}, nil, fmt.Errorf("looking for the installation, by ConfigMaps with the labels %s,%sprovider: %w", partOf, component, err)
	}
	list = slices.DeleteFunc(list, func(u unstructured.Unstructured) bool {
		_, ok, _ := unstructured.NestedString(u.Object, "data", configKey)
		return !ok || o.Release != "" && u.GetLabels()[instance] != o.Release
	})
	where := "in any namespace"
	if o.Namespace != "" {
		where = "in namespace " + o.Namespace
	}
	switch len(list) {
	case 0:
		return Release{}, nil, fmt.Errorf("there is no installation of imagegate %s: a ConfigMap with the labels %s,%sprovider and the key %s", where, partOf, component, configKey)
	case 1:
	default:
		var names []string
		for _, u := range list {
			names = append(names, fmt.Sprintf("--namespace %s --release %s", u.GetNamespace(), u.GetLabels()[instance]))
		}
		return Release{}, nil, fmt.Errorf("there are %d installations %s; choose one: %s", len(list), where, strings.Join(names, ", or "))
	}
	u := &list[0]
	text, _, _ := unstructured.NestedString(u.Object, "data", configKey)
	// Fields that this version does not know are another's, and no mistake.
	conf := config.Default()
	if err := yaml.Unmarshal([]byte(text), &conf); err != nil {
		return Release{}, nil, fmt.Errorf("reading %s: %w", shown("ConfigMap", u.GetNamespace(), u.GetName()), err)
	}
	i := &conf.Install
	r := Release{
		Name: u.GetLabels()[instance], Namespace: u.GetNamespace(), Instance: i.Instance,
		Installs: i.Enabled, Policies: i.Enabled && i.Mode == install.ModeProcess,
		Bundled:  conf.Scanner.Harbor.URL == "" && conf.Scanner.Anchore.URL == "",
		Provider: i.Provider.Name, URL: i.Provider.URL, Timeout: int(i.Provider.Timeout.Seconds()),
		Budget: conf.Server.Budget.Duration, Webhook: i.MutatingWebhook, Validating: i.Gatekeeper.ValidatingWebhook,
		Exempt: o.Exempt,
	}
	if at := strings.LastIndex(u.GetLabels()[chart], "-"); at >= 0 {
		r.Version = u.GetLabels()[chart][at+1:]
	}
	return r, &conf, nil
}

// gather reads all that checks decide by.
func gather(ctx context.Context, c cluster, o Options) (*snapshot, error) {
	r, conf, err := release(ctx, c, o)
	if err != nil {
		return nil, err
	}
	g := &gatherer{cluster: c, snapshot: &snapshot{Now: o.Now(), Release: r, Limits: o.Limits}}
	if own := conf.Install.Certificates; r.Installs && own.Source == install.SourceOwn {
		// They are replaced when a third is left.
		g.Limits.Certificate = min(g.Limits.Certificate, own.LeafValidity.Duration/10)
	}
	g.hooks(ctx)
	g.gatekeeper(ctx)
	list, done := g.all(ctx, namespaces, "namespaces", "", "")
	g.Namespaces = typed[corev1.Namespace](g, "namespaces", list, done)
	g.written(ctx, conf)
	g.mutator(ctx)
	g.enforced(ctx)
	g.rendered()
	g.installed(ctx)
	g.replicas(ctx)
	g.counted(ctx)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("looking took too long: %w", err)
	}
	return g.snapshot, nil
}

// hooks reads the configurations of webhooks.
func (g *gatherer) hooks(ctx context.Context) {
	one := func(r schema.GroupVersionResource, kind, name string) seen[*webhooks.Configuration] {
		if name == "" {
			return seen[*webhooks.Configuration]{Done: true}
		}
		u, done := g.read(ctx, r, kind, "", name)
		if u == nil {
			return seen[*webhooks.Configuration]{Done: done}
		}
		c, err := webhooks.Read(u)
		if err != nil {
			g.failed(shown(kind, "", name), "", err)
			return seen[*webhooks.Configuration]{}
		}
		c.Kind = kind
		return seen[*webhooks.Configuration]{It: &c, Done: true}
	}
	g.Judging = one(validating, "ValidatingWebhookConfiguration", g.Release.Validating)
	if g.Release.Webhook == "" {
		return
	}
	g.Pinning = one(mutating, "MutatingWebhookConfiguration", g.Release.Webhook)
	list, done := g.all(ctx, mutating, "MutatingWebhookConfigurations", "", "")
	g.Mutating.Done = done
	for i := range list {
		c, err := webhooks.Read(&list[i])
		if err != nil {
			g.failed(shown("MutatingWebhookConfiguration", "", list[i].GetName()), "", err)
			continue
		}
		g.Mutating.It = append(g.Mutating.It, c)
	}
}

// gatekeeperPods selects Gatekeeper's, by its own chart and manifest alike.
const gatekeeperLabel = "gatekeeper.sh/system=yes"

func (g *gatherer) gatekeeper(ctx context.Context) {
	if g.Judging.It != nil {
		for _, h := range g.Judging.It.Hooks {
			if h.Namespace != "" {
				g.Gatekeeper = h.Namespace
			}
		}
	}
	list, done := g.all(ctx, pods, "the Pods of Gatekeeper", g.Gatekeeper, gatekeeperLabel)
	g.GatekeeperPods = typed[corev1.Pod](g, "the Pods of Gatekeeper", list, done)
	if len(g.GatekeeperPods.It) > 0 && g.Gatekeeper == "" {
		g.Gatekeeper = g.GatekeeperPods.It[0].Namespace
	}
	if g.Gatekeeper != "" {
		// Gatekeeper reads the one of this name.
		g.Config.It, g.Config.Done = g.read(ctx, configs, "Config", g.Gatekeeper, "config")
	}
}

// written reads what the policies exempt. What is wrong with them is the installing
// replica's to say.
func (g *gatherer) written(ctx context.Context, conf *config.Config) {
	policies := &policy.Policies{}
	if where := conf.Install.Policies; g.Release.Policies && where.ConfigMap != "" {
		u, _ := g.read(ctx, configMaps, "ConfigMap", g.Release.Namespace, where.ConfigMap)
		if u != nil {
			text, _, _ := unstructured.NestedString(u.Object, "data", where.Key)
			if p, err := policy.Parse([]byte(text)); err == nil {
				policies = p
			}
		}
	}
	g.Release.Exempt = append(slices.Clone(g.Release.Exempt), policies.Exempts(policy.Surroundings{Namespace: g.Release.Namespace, GatekeeperNamespace: g.Gatekeeper})...)
}

// mutator reads how long ours may take.
func (g *gatherer) mutator(ctx context.Context) {
	if g.Release.Webhook == "" {
		return
	}
	what := "the mutator's configuration"
	list, done := g.all(ctx, configMaps, what, g.Release.Namespace, partOf+","+component+"mutator,"+instance+"="+g.Release.Name)
	if !done {
		return
	}
	if len(list) == 0 {
		g.failed(what, "", errors.New("there is no ConfigMap of it"))
		return
	}
	// The mutator's own package is not known here, and only these matter.
	var c struct {
		Wait struct {
			Duration metav1.Duration `json:"duration"`
		} `json:"wait"`
		Provider struct {
			ResolveTimeout metav1.Duration `json:"resolveTimeout"`
		} `json:"provider"`
	}
	text, _, _ := unstructured.NestedString(list[0].Object, "data", configKey)
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		g.failed(what, "", err)
		return
	}
	g.Release.Wait, g.Release.ResolveTimeout = c.Wait.Duration.Duration, c.Provider.ResolveTimeout.Duration
}

// enforced reads Gatekeeper's objects that ask us.
func (g *gatherer) enforced(ctx context.Context) {
	list, err := g.cluster.list(ctx, providers, "", "")
	switch {
	case err == nil:
		g.ExternalData = seen[bool]{It: true, Done: true}
		g.Provider.Done = true
		for i := range list {
			if list[i].GetName() == g.Release.Provider {
				g.Provider.It = &list[i]
			}
		}
	case absent(err):
		g.ExternalData.Done = true
		return
	default:
		g.failed("Providers", "list providers.externaldata.gatekeeper.sh", err)
	}
	all, done := g.all(ctx, policy.Template.GVR(), "ConstraintTemplates", "", "")
	if !done {
		return
	}
	g.Templates.Done, g.Constraints.Done = true, true
	for i := range all {
		if !g.asks(&all[i]) {
			continue
		}
		kind, _, _ := unstructured.NestedString(all[i].Object, "spec", "crd", "spec", "names", "kind")
		list, done := g.all(ctx, policy.Constraint(kind).GVR(), "Constraints of kind "+kind, "", "")
		g.Constraints.Done = g.Constraints.Done && done
		for j := range list {
			if list[j].GetKind() == "" {
				list[j].SetKind(kind)
			}
		}
		if len(list) > 0 {
			g.Templates.It = append(g.Templates.It, all[i])
			g.Constraints.It = append(g.Constraints.It, list...)
		}
	}
}

// rendered adds what is exempt where the policies are the chart's own objects: it writes
// one list into the webhook and into the Constraints, and what both leave out is meant.
func (g *gatherer) rendered() {
	if g.Release.Policies {
		return
	}
	var names []string
	first := true
	for i := range g.Constraints.It {
		if u := &g.Constraints.It[i]; check.Denies(u) {
			excluded, _, _ := unstructured.NestedStringSlice(u.Object, "spec", "match", "excludedNamespaces")
			if first {
				names = excluded
			}
			first = false
			names = slices.DeleteFunc(names, func(name string) bool { return !slices.Contains(excluded, name) })
		}
	}
	for _, name := range names {
		called := false
		if g.Pinning.It != nil {
			for _, h := range g.Pinning.It.Hooks {
				yes, err := h.Chooses(map[string]string{corev1.LabelMetadataName: name})
				called = called || yes || err != nil
			}
		}
		if !called {
			g.Release.Exempt = append(g.Release.Exempt, name)
		}
	}
}

// asks reports whether a template asks our provider, whose name is a parameter's default
// that a Constraint may change. Two of ours have the call in their library and do not
// make it: what they deny says nothing of reports.
func (g *gatherer) asks(template *unstructured.Unstructured) bool {
	if slices.Contains([]string{"imagedigestrequired", "imageregistryallowed"}, template.GetName()) {
		return false
	}
	text, err := json.Marshal(template.Object["spec"])
	if err != nil {
		return false
	}
	return strings.Contains(string(text), "external_data") &&
		(strings.Contains(string(text), "imagegate-provider") || strings.Contains(string(text), g.Release.Provider))
}

// installed reads what the replica that installs says, and when it was last there.
func (g *gatherer) installed(ctx context.Context) {
	r := &g.Release
	if !r.Installs {
		g.failed("the CAs of the provider's certificate", "", errors.New("install.enabled is off, and nothing else says which they are"))
		return
	}
	name := install.StateName(r.Instance)
	about := shown("ConfigMap", r.Namespace, name)
	u, done := g.read(ctx, configMaps, "ConfigMap", r.Namespace, name)
	g.Installed = seen[bool]{It: u != nil, Done: done}
	if u != nil {
		var cm corev1.ConfigMap
		state := install.State{}
		err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &cm)
		if err == nil {
			state, err = install.ReadState(&cm)
		}
		if err != nil {
			g.failed(about, "", err)
			g.Installed = seen[bool]{}
		}
		for _, a := range state.Ours.Authorities {
			// One that is not published yet signs nothing, and comes in seconds.
			if !a.Published.IsZero() {
				g.Authorities = append(g.Authorities, a.PEM...)
			}
		}
		for severity, list := range map[finding.Severity][]install.Problem{finding.Error: state.Status.Problems, finding.Warning: state.Status.Warnings} {
			for _, p := range list {
				g.Leader = append(g.Leader, finding.Finding{
					ID: p.Reason, Severity: severity, Object: about, Message: p.Message,
					Command: fmt.Sprintf("kubectl -n %s get events --field-selector involvedObject.name=%s", r.Namespace, name),
				})
			}
		}
	}
	u, done = g.read(ctx, leases, "Lease", r.Namespace, install.LeaseName(r.Instance))
	g.Renewed.Done = done
	if u == nil {
		return
	}
	var lease coordinationv1.Lease
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &lease); err != nil {
		g.failed(shown("Lease", r.Namespace, u.GetName()), "", err)
		g.Renewed.Done = false
		return
	}
	if lease.Spec.RenewTime != nil {
		g.Renewed.It = lease.Spec.RenewTime.Time
	}
}

// counted reads what the API server let through because a webhook did not answer. With
// several API servers it is the one that answers.
func (g *gatherer) counted(ctx context.Context) {
	const name = "apiserver_admission_webhook_fail_open_count"
	body, err := g.cluster.raw(ctx, "/metrics")
	if err != nil {
		g.failed("the API server's count of what webhooks let through", "get of the path /metrics", err)
		return
	}
	samples, err := parse(body, name)
	if err != nil {
		g.failed("the API server's count of what webhooks let through", "", err)
		return
	}
	g.FailedOpen = seen[map[string]float64]{It: map[string]float64{}, Done: true}
	for _, s := range samples {
		g.FailedOpen.It[s.labels["name"]] += s.value
	}
}

// replicas asks those of the provider, and its workers, that are ready, by the API
// server's proxy.
func (g *gatherer) replicas(ctx context.Context) {
	what := "the Pods of the provider"
	list, done := g.all(ctx, pods, what, g.Release.Namespace, componentLabel+" in (provider,worker),"+instance+"="+g.Release.Name)
	g.Pods = typed[corev1.Pod](g, what, list, done)
	g.Answers = map[string]answer{}
	for i := range g.Pods.It {
		p := &g.Pods.It[i]
		if isReady(p) == 0 {
			continue // which is said
		}
		a, err := g.ask(ctx, p)
		if err != nil {
			g.failed(shown("Pod", p.Namespace, p.Name)+" (vulnerability data, certificates, parts)", "get pods/proxy in "+p.Namespace, err)
			continue
		}
		g.Answers[p.Name] = a
	}
}

// ask reads /readyz and /metrics of a replica.
func (g *gatherer) ask(ctx context.Context, p *corev1.Pod) (a answer, err error) {
	port := int32(0)
	for _, c := range p.Spec.Containers {
		for _, named := range c.Ports {
			if named.Name == "probes" {
				port = named.ContainerPort
			}
		}
	}
	if port == 0 {
		return a, errors.New("it has no port named probes")
	}
	proxy := fmt.Sprintf("/api/v1/namespaces/%s/pods/http:%s:%d/proxy", p.Namespace, p.Name, port)
	ready, err := g.cluster.raw(ctx, proxy+"/readyz")
	if err != nil {
		return a, err
	}
	a = answer{Parts: map[string]string{}, Databases: map[string]time.Time{}, Ends: map[string]time.Time{}}
	for line := range strings.Lines(string(ready)) {
		if part, says, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && says != "ok" {
			a.Parts[part] = says
		}
	}
	body, err := g.cluster.raw(ctx, proxy+"/metrics")
	if err != nil {
		return a, err
	}
	const built, ends = "imagegate_scanner_database_built_timestamp_seconds", "imagegate_tls_expiry_timestamp_seconds"
	samples, err := parse(body, built, ends)
	if err != nil {
		return a, err
	}
	for _, s := range samples {
		at := time.Unix(int64(s.value), 0)
		if s.name == built {
			a.Databases[s.labels["scanner"]] = at
		} else {
			a.Ends[strings.TrimSpace(s.labels["side"]+" "+s.labels["part"])] = at
		}
	}
	return a, nil
}
