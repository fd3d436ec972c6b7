package tests

import (
	"maps"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/pod-security-admission/api"
	pss "k8s.io/pod-security-admission/policy"
)

// pods are all that the chart makes, tests included.
func pods(t *testing.T, list []*unstructured.Unstructured) map[string]corev1.PodTemplateSpec {
	t.Helper()
	all := map[string]corev1.PodTemplateSpec{}
	for _, w := range workloads(t, list) {
		all[w.name] = w.pod
	}
	for _, u := range list {
		if u.GetKind() == "Pod" {
			p := as[corev1.Pod](t, u)
			all[p.Name] = corev1.PodTemplateSpec{ObjectMeta: p.ObjectMeta, Spec: p.Spec}
		}
	}
	return all
}

func TestEachPodIsRestrictedAndNobodyInParticular(t *testing.T) {
	t.Parallel()
	checks, err := pss.NewEvaluator(pss.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	eachSet(t, func(t *testing.T, name string, values map[string]any) {
		for pod, p := range pods(t, objects(t, values)) {
			for _, r := range checks.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, &p.ObjectMeta, &p.Spec) {
				host := p.Spec.HostNetwork && (strings.Contains(r.ForbiddenReason, "host"))
				if !r.Allowed && !host {
					t.Errorf("%s: %s (%s)", pod, r.ForbiddenReason, r.ForbiddenDetail)
				}
			}
			s := p.Spec.SecurityContext
			if s.RunAsUser != nil || s.RunAsGroup != nil {
				t.Errorf("%s chooses its user", pod)
			}
			if s.FSGroup != nil && (name == "openshift" || name == "default") {
				t.Errorf("%s chooses its group", pod)
			}
			if p.Spec.EnableServiceLinks == nil || *p.Spec.EnableServiceLinks || p.Spec.AutomountServiceAccountToken == nil || *p.Spec.AutomountServiceAccountToken {
				t.Errorf("%s has Services' addresses or a token that nobody asked for", pod)
			}
			for _, c := range p.Spec.Containers {
				if c.Name == "beside" {
					continue
				}
				if c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
					t.Errorf("%s: %s can write to its root", pod, c.Name)
				}
				if c.Resources.Requests == nil && name != "demo" {
					t.Errorf("%s: %s requests nothing", pod, c.Name)
				}
			}
		}
	})
}

func TestOnlyTheProviderHasAToken(t *testing.T) {
	t.Parallel()
	eachSet(t, func(t *testing.T, _ string, values map[string]any) {
		pull, _ := values["pullSecrets"].(map[string]any)
		for pod, p := range pods(t, objects(t, values)) {
			for _, c := range p.Spec.Containers {
				has := slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
					return strings.HasPrefix(m.MountPath, "/var/run/secrets/kubernetes.io")
				})
				want := c.Name == "provider" && !strings.HasSuffix(pod, "-test") && (!strings.HasSuffix(pod, "-worker") || pull["enabled"] == true)
				if has != want {
					t.Errorf("%s: %s has a token: %v, want %v", pod, c.Name, has, want)
				}
			}
		}
	})
}

func TestImagesAreOursAndFollowTheValues(t *testing.T) {
	t.Parallel()
	eachSet(t, func(t *testing.T, name string, values map[string]any) {
		for pod, p := range pods(t, objects(t, values)) {
			for _, c := range p.Spec.Containers {
				if c.Name == "beside" {
					continue
				}
				want := "ghcr.io/imagegate/"
				switch name {
				case "platform":
					want = "registry.corp/imagegate/"
				case "successor":
					want = "mirror.example.com/imagegate/"
				}
				if !strings.HasPrefix(c.Image, want+c.Name) {
					t.Errorf("%s: %s, want %s%s", pod, c.Image, want, c.Name)
				}
			}
			var secrets []string
			for _, s := range p.Spec.ImagePullSecrets {
				secrets = append(secrets, s.Name)
			}
			want := map[string]string{"platform": "corp", "successor": "pull-one pull-two"}[name]
			if got := strings.Join(secrets, " "); got != want {
				t.Errorf("%s: imagePullSecrets %q, want %q", pod, got, want)
			}
		}
	})
	digest := "sha256:" + strings.Repeat("a", 64)
	list := objects(t, parse(t, "image: {provider: {digest: '"+digest+"'}, tag: x}"))
	for pod, p := range pods(t, list) {
		if p.Spec.Containers[0].Image != "ghcr.io/imagegate/provider@"+digest {
			t.Errorf("%s: %s does not follow the digest", pod, p.Spec.Containers[0].Image)
		}
	}
}

func TestTheWebhookIsAnOrdinaryObjectThatFailsClosed(t *testing.T) {
	t.Parallel()
	eachSet(t, func(t *testing.T, name string, values map[string]any) {
		list := objects(t, values)
		for _, u := range list {
			if u.GetKind() != "MutatingWebhookConfiguration" {
				continue
			}
			if strings.Contains(toJSON(t, u.Object), "caBundle") {
				t.Error("it has a caBundle, which the provider is to own")
			}
			if u.GetAnnotations()["helm.sh/hook"] != "" {
				t.Error("it is a hook, which stays behind")
			}
			m := as[admissionv1.MutatingWebhookConfiguration](t, u)
			for _, w := range m.Webhooks {
				if (*w.FailurePolicy == admissionv1.Ignore) != (name == "anchore") {
					t.Errorf("failurePolicy %s", *w.FailurePolicy)
				}
				exempt := w.NamespaceSelector.MatchExpressions[0]
				gatekeeper := "gatekeeper-system"
				if name == "cert-manager" {
					gatekeeper = "opa"
				}
				for _, ns := range []string{"kube-system", "kube-node-lease", "kube-public", gatekeeper, serviceOf(t, list, &w)} {
					if exempt.Key != "kubernetes.io/metadata.name" || !slices.Contains(exempt.Values, ns) {
						t.Errorf("%s is not exempt: %v", ns, exempt)
					}
				}
			}
		}
	})
}

// serviceOf checks that the webhook's Service leads to the mutator, and returns its
// namespace.
func serviceOf(t *testing.T, list []*unstructured.Unstructured, w *admissionv1.MutatingWebhook) string {
	t.Helper()
	ref := w.ClientConfig.Service
	s := as[corev1.Service](t, one(t, list, "Service", ref.Name))
	i := slices.IndexFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == *ref.Port })
	if s.Namespace != ref.Namespace || i < 0 || s.Spec.Ports[i].TargetPort.String() != "webhook" {
		t.Errorf("the webhook's Service leads nowhere: %v", s.Spec.Ports)
	}
	return ref.Namespace
}

// The same namespaces are exempt from judging and from pinning.
func TestTheWebhookAndTheConstraintExemptTheSame(t *testing.T) {
	t.Parallel()
	list := objects(t, parse(t, "exemptNamespaces: [cilium, imagegate-system]"))
	m := as[admissionv1.MutatingWebhookConfiguration](t, one(t, list, "MutatingWebhookConfiguration", "gate-imagegate"))
	text := as[corev1.ConfigMap](t, one(t, list, "ConfigMap", "gate-imagegate-policies")).Data["policies.yaml"]
	var judged []string
	for _, v := range parse(t, text)["exemptNamespaces"].([]any) { //nolint:forcetypeassert // a panic fails the test
		judged = append(judged, v.(string)) //nolint:forcetypeassert // the same
	}
	if pinned := m.Webhooks[0].NamespaceSelector.MatchExpressions[0].Values; !slices.Equal(pinned, judged) || !slices.Contains(pinned, "cilium") || len(pinned) != 6 {
		t.Errorf("pinning leaves out %v, judging %v", pinned, judged)
	}
}

func TestEverySelectorFindsItsPods(t *testing.T) {
	t.Parallel()
	eachSet(t, func(t *testing.T, _ string, values map[string]any) {
		list := objects(t, values)
		all := pods(t, list)
		finds := func(what string, selector map[string]string) {
			for key := range selector {
				if strings.Contains(key, "version") || strings.Contains(key, "chart") {
					t.Errorf("%s selects by %s, which changes", what, key)
				}
			}
			for _, p := range all {
				if labels.SelectorFromSet(selector).Matches(labels.Set(p.Labels)) {
					return
				}
			}
			t.Errorf("%s selects nothing: %v", what, selector)
		}
		for _, w := range workloads(t, list) {
			finds(w.kind+" "+w.name, w.selector)
		}
		for _, u := range list {
			what := u.GetKind() + " " + u.GetName()
			switch u.GetKind() {
			case "Service":
				s := as[corev1.Service](t, u)
				finds(what, s.Spec.Selector)
				for _, port := range s.Spec.Ports {
					if !portThere(all, s.Spec.Selector, port.TargetPort.String()) {
						t.Errorf("%s: no container has port %s", what, port.TargetPort.String())
					}
				}
			case "PodDisruptionBudget":
				finds(what, as[policyv1.PodDisruptionBudget](t, u).Spec.Selector.MatchLabels)
			case "NetworkPolicy":
				finds(what, as[networkingv1.NetworkPolicy](t, u).Spec.PodSelector.MatchLabels)
			case "ServiceMonitor", "PodMonitor":
				selector, _, _ := unstructured.NestedStringMap(u.Object, "spec", "selector", "matchLabels")
				finds(what, selector)
			}
		}
	})
}

func portThere(all map[string]corev1.PodTemplateSpec, selector map[string]string, name string) bool {
	for _, p := range all {
		if !labels.SelectorFromSet(selector).Matches(labels.Set(p.Labels)) {
			continue
		}
		for _, c := range p.Spec.Containers {
			if slices.ContainsFunc(c.Ports, func(port corev1.ContainerPort) bool { return port.Name == name }) {
				return true
			}
		}
	}
	return false
}

func TestReplicasAndBudgets(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		values   string
		kind     string
		replicas int32 // 0: not said
		budget   bool
		workers  bool
	}{
		{"{}", "Deployment", 1, false, false},
		{"persistence: {enabled: true}", "StatefulSet", 1, false, false},
		{"replicaCount: 3", "StatefulSet", 3, true, false},
		{"{replicaCount: 3, podDisruptionBudget: {enabled: false}}", "StatefulSet", 3, false, false},
		{"{replicaCount: 2, nats: {url: 'nats://n:1'}}", "Deployment", 2, true, true},
		{"{replicaCount: 1, nats: {url: 'nats://n:1'}}", "Deployment", 1, false, true},
		{"{nats: {url: 'nats://n:1'}, autoscaling: {enabled: true}}", "Deployment", 0, true, true},
	} {
		list := objects(t, parse(t, tc.values))
		all := workloads(t, list)
		i := slices.IndexFunc(all, func(w workload) bool { return w.name == "gate-imagegate" })
		w := all[i]
		if w.kind != tc.kind || tc.replicas == 0 && w.replicas != nil || tc.replicas > 0 && (w.replicas == nil || *w.replicas != tc.replicas) {
			t.Errorf("%s: %s of %v", tc.values, w.kind, w.replicas)
		}
		if (len(all) == 2) != tc.workers {
			t.Errorf("%s: %d workloads", tc.values, len(all))
		}
		budget := slices.ContainsFunc(list, func(u *unstructured.Unstructured) bool {
			return u.GetKind() == "PodDisruptionBudget" && u.GetName() == "gate-imagegate"
		})
		if budget != tc.budget {
			t.Errorf("%s: a PodDisruptionBudget is there: %v", tc.values, budget)
		}
		for _, u := range list {
			if u.GetKind() == "PodDisruptionBudget" {
				if p := as[policyv1.PodDisruptionBudget](t, u).Spec; *p.UnhealthyPodEvictionPolicy != policyv1.AlwaysAllow || p.MaxUnavailable.IntValue() != 1 {
					t.Errorf("%s: %+v", tc.values, p)
				}
			}
		}
	}
}

// A policy, an exception or a VEX document that changes restarts nothing; what is
// read once at start does.
func TestOnlyWhatIsReadOnceRestartsPods(t *testing.T) {
	t.Parallel()
	pod := func(values string) string {
		var w = workloads(t, objects(t, parse(t, values)))[0]
		return toJSON(t, w.pod)
	}
	before := pod("{}")
	for _, values := range []string{
		"scanRules: {defaultPolicy: accept}", "customRules: 'deny_image[\"x\"] { true }'", "exemptNamespaces: [a]", "policies: {enforcementAction: warn}",
		"exceptions: [{cve: CVE-1, images: [a], expires: '2027-01-01', reason: b}]", "commonLabels: {}", "webhook: {timeoutSeconds: 20}", "serviceMonitor: {enabled: true}",
	} {
		if pod(values) != before {
			t.Errorf("%s restarts Pods", values)
		}
	}
	for _, values := range []string{"verdict: {onlyFixed: true}", "mutator: {keepTag: true}", "image: {tag: other}"} {
		if pod(values) == before {
			t.Errorf("%s takes no effect", values)
		}
	}
}

// A proxy is for what is outside: never for loopback, the API server or Services.
func TestAProxyIsForHTTPSTooAndNotForTheCluster(t *testing.T) {
	t.Parallel()
	for _, w := range workloads(t, objects(t, parse(t, "{httpProxy: 'http://p:3128', noProxy: 'kubernetes,10.0.0.0/8,.example.com', clusterDomain: corp.internal}"))) {
		for _, c := range w.pod.Spec.Containers {
			env := map[string]string{}
			for _, e := range c.Env {
				env[e.Name] = e.Value
			}
			if c.Name == "mutator" {
				if env["HTTPS_PROXY"] != "" {
					t.Error("the mutator, which speaks to the provider beside it, has a proxy")
				}
				continue
			}
			if env["HTTP_PROXY"] != "http://p:3128" || env["HTTPS_PROXY"] != "http://p:3128" {
				t.Errorf("%s: %v", c.Name, env)
			}
			for _, host := range []string{"localhost", "127.0.0.1", "::1", "$(KUBERNETES_SERVICE_HOST)", ".svc", ".corp.internal", "kubernetes", "10.0.0.0/8", ".example.com"} {
				if !slices.Contains(strings.Split(env["NO_PROXY"], ","), host) {
					t.Errorf("%s: NO_PROXY lacks %s: %s", c.Name, host, env["NO_PROXY"])
				}
			}
		}
	}
}

func TestTrustedAuthoritiesReachProviderAndScanner(t *testing.T) {
	t.Parallel()
	for _, values := range []string{"trustedCA: {configMap: corporate}", "trustedCA: {secret: corporate}"} {
		reached := 0
		for _, c := range workloads(t, objects(t, parse(t, values)))[0].pod.Spec.Containers {
			mounted := slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == "/trusted-ca" })
			told := slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool {
				return e.Name == "SSL_CERT_DIR" && e.Value == "/etc/ssl/certs:/trusted-ca"
			})
			if mounted && told {
				reached++
			}
		}
		if reached != 2 {
			t.Errorf("%s reaches %d programs", values, reached)
		}
	}
}

func TestTheTestPodsCleanUp(t *testing.T) {
	t.Parallel()
	hooks := 0
	for _, u := range objects(t, parse(t, "{}")) {
		if u.GetAnnotations()["helm.sh/hook"] == "" {
			continue
		}
		hooks++
		if got := u.GetAnnotations()["helm.sh/hook-delete-policy"]; got != "before-hook-creation,hook-succeeded" || u.GetAnnotations()["helm.sh/hook"] != "test" {
			t.Errorf("%s: %v", u.GetName(), u.GetAnnotations())
		}
	}
	if hooks != 1 {
		t.Errorf("%d hooks", hooks)
	}
}

func TestNamesOfCertificatesCoverWhatIsAsked(t *testing.T) {
	t.Parallel()
	list := objects(t, parse(t, "{replicaCount: 3, clusterDomain: corp.internal, certificates: {mode: certManager, certManager: {issuerRef: {name: i}}}}"))
	names, _, err := unstructured.NestedStringSlice(one(t, list, "Certificate", "gate-imagegate").Object, "spec", "dnsNames")
	if err != nil {
		t.Fatal(err)
	}
	own := objects(t, parse(t, "{replicaCount: 3, clusterDomain: corp.internal}"))
	config := parse(t, as[corev1.ConfigMap](t, one(t, own, "ConfigMap", "gate-imagegate-provider")).Data["config.yaml"])
	dns, _, err := unstructured.NestedStringSlice(config, "install", "certificates", "dnsNames")
	if err != nil || !slices.Equal(names, dns) {
		t.Errorf("cert-manager makes %v, the provider %v (%v)", names, dns, err)
	}
	for _, want := range []string{"gate-imagegate", "gate-imagegate.imagegate-system", "gate-imagegate.imagegate-system.svc", "gate-imagegate.imagegate-system.svc.corp.internal", "localhost", "*.gate-imagegate-peers.imagegate-system.svc"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is missing in %v", want, names)
		}
	}
	peers, _, _ := unstructured.NestedStringMap(config, "store", "nats", "cluster", "peers")
	if len(peers) != 3 || peers["gate-imagegate-2"] != "gate-imagegate-2.gate-imagegate-peers.imagegate-system.svc:6222" {
		t.Errorf("peers %v", peers)
	}
}

func TestHostNetworkKeepsTheClustersNames(t *testing.T) {
	t.Parallel()
	w := workloads(t, objects(t, parse(t, "{hostNetwork: true, webhook: {port: 9443}}")))[0]
	if w.pod.Spec.DNSPolicy != corev1.DNSClusterFirstWithHostNet || !w.pod.Spec.HostNetwork {
		t.Errorf("dnsPolicy %s", w.pod.Spec.DNSPolicy)
	}
	if w = workloads(t, objects(t, parse(t, "{}")))[0]; w.pod.Spec.DNSPolicy != corev1.DNSClusterFirst {
		t.Errorf("dnsPolicy %s", w.pod.Spec.DNSPolicy)
	}
	for _, c := range w.pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.Name == "webhook" && p.ContainerPort != 10250 {
				t.Errorf("the webhook's port is %d, which a private GKE does not reach", p.ContainerPort)
			}
		}
	}
}

func TestWhatComesInIsNarrow(t *testing.T) {
	t.Parallel()
	list := objects(t, parse(t, "{networkPolicy: {enabled: true, egress: {enabled: true}}, gatekeeper: {namespace: opa}, httpProxy: 'http://p:3128'}"))
	n := as[networkingv1.NetworkPolicy](t, one(t, list, "NetworkPolicy", "gate-imagegate"))
	from := map[string][]networkingv1.NetworkPolicyPeer{}
	for _, rule := range n.Spec.Ingress {
		for _, p := range rule.Ports {
			from[p.Port.String()] = append(from[p.Port.String()], rule.From...)
		}
	}
	if _, ok := from["webhook"]; !ok || len(from["webhook"]) != 0 {
		t.Errorf("the API server has no label, and the webhook asks for %v", from["webhook"])
	}
	if p := from["provider"]; len(p) != 2 || p[0].NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"] != "opa" ||
		p[1].NamespaceSelector != nil || !maps.Equal(p[1].PodSelector.MatchLabels, n.Spec.PodSelector.MatchLabels) {
		t.Errorf("the provider answers to %v", p)
	}
	var out []string
	for _, rule := range n.Spec.Egress {
		for _, p := range rule.Ports {
			out = append(out, p.Port.String())
		}
	}
	for _, port := range []string{"53", "443", "80", "6443", "3128", "provider"} {
		if !slices.Contains(out, port) {
			t.Errorf("nothing may go out to port %s: %v", port, out)
		}
	}
}

// By this annotation `kubectl imagegate` finds the pages: no Pod without them has it.
func TestPodsWithPagesSayAtWhichPort(t *testing.T) {
	t.Parallel()
	for values, want := range map[string]map[string]string{
		"{}": {"gate-imagegate": ""},
		"view: {enabled: true, port: 8123}\npodAnnotations: {imagegate.dev/view-port: '1'}": {"gate-imagegate": "8123"},
		"view: {enabled: true}\nnats: {url: 'tls://nats:4222'}":                             {"gate-imagegate": "8090", "gate-imagegate-worker": ""},
	} {
		all := pods(t, objects(t, parse(t, values)))
		for name, port := range want {
			p, ok := all[name]
			if is := p.Annotations["imagegate.dev/view-port"]; !ok || is != port {
				t.Errorf("%s: %s (there: %t) says %q, want %q", values, name, ok, is, port)
			}
		}
	}
}
