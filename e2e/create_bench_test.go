package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/imagegate/imagegate/e2e/cluster"
	"github.com/imagegate/imagegate/e2e/registry"
	"github.com/imagegate/imagegate/e2e/system"
)

// withoutGatekeeper is a label of namespaces that Gatekeeper is not asked about, as long
// as the benchmark runs.
const withoutGatekeeper = "bench.imagegate.dev/without-gatekeeper"

// repos is the policy of namespaces whose Pods are held against a rule of the kind that
// everybody runs.
const repos = "bench-repos"

// BenchmarkCreate creates Pods whose images are known, in namespaces that differ in who
// is asked about them, one namespace after the other in each round. What it says is the
// API server's whole time for a request, as a client sees it.
func BenchmarkCreate(b *testing.B) {
	leaveOutOfGatekeeper(b)
	allowedRepos(b)
	config := rest.CopyConfig(shared.Cluster.Config)
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		b.Fatal(err)
	}
	for _, containers := range []int{1, 5} {
		b.Run(fmt.Sprintf("containers=%d", containers), func(b *testing.B) { createPods(b, client, containers) })
	}
}

// The namespaces of the benchmark, by what their Pods pass.
const (
	benchNothing  = "nothing"
	benchRepos    = "allowed-repos"
	benchValidate = "validate"
	benchMutate   = "mutate"
	benchBoth     = "both"
)

func createPods(b *testing.B, client kubernetes.Interface, containers int) {
	labels := map[string]map[string]string{
		benchNothing:  {withoutGatekeeper: "", system.Unpinned: ""},
		benchRepos:    {policyLabel: repos, system.Unpinned: ""},
		benchValidate: {policyLabel: denyPolicy, system.Unpinned: ""},
		benchMutate:   {withoutGatekeeper: ""},
		benchBoth:     {policyLabel: denyPolicy},
	}
	order := []string{benchNothing, benchRepos, benchValidate, benchMutate, benchBoth}
	spec := corev1.PodSpec{}
	for i := range containers {
		img, err := shared.Images.Image(b.Context(), registry.Fixed, "amd64", fmt.Sprintf("%s %d", b.Name(), i))
		if err != nil {
			b.Fatal(err)
		}
		pushed, err := shared.Registry.Push(b.Context(), img, fmt.Sprintf("bench/%d/%d", containers, i), "v1")
		if err != nil {
			b.Fatal(err)
		}
		spec.Containers = append(spec.Containers, corev1.Container{Name: fmt.Sprintf("c%d", i), Image: pushed.Ref})
	}
	took := map[string][]time.Duration{}
	create := func(mode string) error {
		pods := client.CoreV1().Pods(benchNamespace(mode, containers))
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-"}, Spec: spec}
		began := time.Now()
		p, err := pods.Create(b.Context(), p, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		took[mode] = append(took[mode], time.Since(began))
		now := int64(0)
		return pods.Delete(b.Context(), p.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	}
	for _, mode := range order {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: benchNamespace(mode, containers), Labels: labels[mode]}}
		if _, err := client.CoreV1().Namespaces().Create(b.Context(), ns, metav1.CreateOptions{}); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = client.CoreV1().Namespaces().Delete(context.Background(), ns.Name, metav1.DeleteOptions{}) })
		// The scans, and all that is remembered from the first requests on.
		const warm = 20
		for range warm {
			eventually(b, patience, func() error { return create(mode) })
		}
	}
	clear(took)
	for b.Loop() {
		for _, mode := range order {
			if err := create(mode); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.StopTimer()
	median := map[string]time.Duration{}
	for _, mode := range order {
		slices.Sort(took[mode])
		at := func(q float64) time.Duration { return took[mode][int(q*float64(len(took[mode])-1))] }
		median[mode] = at(0.5)
		b.ReportMetric(float64(at(0.5).Microseconds())/1000, mode+"-p50-ms")
		b.ReportMetric(float64(at(0.99).Microseconds())/1000, mode+"-p99-ms")
	}
	b.ReportMetric(float64(median[benchBoth])/float64(median[benchRepos]), "both/allowed-repos")
}

func benchNamespace(mode string, containers int) string {
	return fmt.Sprintf("bench-%s-%d", mode, containers)
}

// allowedRepos has namespaces with the policy repos judged by an allowed-repositories
// rule with 50 prefixes that do not fit and one that does.
func allowedRepos(b *testing.B) {
	b.Helper()
	template, err := os.ReadFile(filepath.Join(shared.Root, "templates", "testdata", "allowedrepos.yaml"))
	if err != nil {
		b.Fatal(err)
	}
	if err := shared.Cluster.Apply(b.Context(), string(template)); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if out, err := shared.Cluster.Kubectl(context.Background(), "delete", "constrainttemplate", "benchallowedrepos"); err != nil {
			b.Errorf("%v: %s", err, out)
		}
	})
	if err := shared.Cluster.WaitTaken(b.Context(), cluster.Templates, "benchallowedrepos"); err != nil {
		b.Fatal(err)
	}
	var prefixes strings.Builder
	for i := range 50 {
		fmt.Fprintf(&prefixes, "%q, ", fmt.Sprintf("registry-%d.example.com/", i))
	}
	constraint := fmt.Sprintf(`
apiVersion: constraints.gatekeeper.sh/v1beta1
kind: BenchAllowedRepos
metadata: {name: bench}
spec:
  match:
    kinds: [{apiGroups: [""], kinds: [Pod]}]
    namespaceSelector: {matchLabels: {%s: %s}}
  parameters: {repos: [%s%q]}
`, policyLabel, repos, prefixes.String(), shared.Registry.Host()+"/")
	eventually(b, patience, func() error { return shared.Cluster.Apply(b.Context(), constraint) })
	if err := shared.Cluster.WaitTaken(b.Context(), cluster.ConstraintsOf("BenchAllowedRepos"), "bench"); err != nil {
		b.Fatal(err)
	}
}

// leaveOutOfGatekeeper has Gatekeeper not asked about namespaces with the label, until
// the benchmark ends.
func leaveOutOfGatekeeper(b *testing.B) {
	b.Helper()
	out := func(s *metav1.LabelSelector) *metav1.LabelSelector {
		if s == nil {
			s = &metav1.LabelSelector{}
		}
		s = s.DeepCopy()
		s.MatchExpressions = append(s.MatchExpressions, metav1.LabelSelectorRequirement{Key: withoutGatekeeper, Operator: metav1.LabelSelectorOpDoesNotExist})
		return s
	}
	registered := shared.Cluster.Client.AdmissionregistrationV1()
	option := metav1.ListOptions{LabelSelector: "gatekeeper.sh/system=yes"}
	validating, err := registered.ValidatingWebhookConfigurations().List(b.Context(), option)
	if err != nil {
		b.Fatal(err)
	}
	mutating, err := registered.MutatingWebhookConfigurations().List(b.Context(), option)
	if err != nil {
		b.Fatal(err)
	}
	if len(validating.Items) == 0 || len(mutating.Items) == 0 {
		b.Fatal("Gatekeeper has no webhooks")
	}
	update := func(ctx context.Context, change func(*metav1.LabelSelector) *metav1.LabelSelector) error {
		for i := range validating.Items {
			now, err := registered.ValidatingWebhookConfigurations().Get(ctx, validating.Items[i].Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			now.Webhooks = nil
			for _, hook := range validating.Items[i].Webhooks {
				hook.NamespaceSelector = change(hook.NamespaceSelector)
				now.Webhooks = append(now.Webhooks, hook)
			}
			if _, err := registered.ValidatingWebhookConfigurations().Update(ctx, now, metav1.UpdateOptions{}); err != nil {
				return err
			}
		}
		for i := range mutating.Items {
			now, err := registered.MutatingWebhookConfigurations().Get(ctx, mutating.Items[i].Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			now.Webhooks = []admissionregistrationv1.MutatingWebhook{}
			for _, hook := range mutating.Items[i].Webhooks {
				hook.NamespaceSelector = change(hook.NamespaceSelector)
				now.Webhooks = append(now.Webhooks, hook)
			}
			if _, err := registered.MutatingWebhookConfigurations().Update(ctx, now, metav1.UpdateOptions{}); err != nil {
				return err
			}
		}
		return nil
	}
	b.Cleanup(func() {
		same := func(s *metav1.LabelSelector) *metav1.LabelSelector { return s }
		if err := update(context.Background(), same); err != nil {
			b.Error(err)
		}
	})
	if err := update(b.Context(), out); err != nil {
		b.Fatal(err)
	}
}
