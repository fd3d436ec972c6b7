package install

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/imagegate/imagegate/provider/install/bypod"
	"github.com/imagegate/imagegate/provider/install/finding"
	"github.com/imagegate/imagegate/provider/install/policy"
	"github.com/imagegate/imagegate/provider/install/trust"
)

// apiServer keeps cluster-scoped objects, with Gatekeeper's Pods at its side: kinds
// come and go with them.
type apiServer struct {
	t *testing.T

	// mu is held while it is asked and put to: each replica looks by itself. The fields
	// are for a test to read and write while none does.
	mu      sync.Mutex
	objects map[settledKey]*unstructured.Unstructured
	serial  int
	// gatekeeper says that its CRDs are there, pods are those that take in.
	gatekeeper bool
	pods       []string
	// refuse says what the API server refuses.
	refuse func(action string, r schema.GroupVersionResource, name string) error
	writes []string
	// prompt has Gatekeeper take in at once.
	prompt bool
}

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	return &apiServer{t: t, objects: map[settledKey]*unstructured.Unstructured{}, pods: []string{"audit", "webhook"}}
}

// exists reports whether there is such a kind.
func (s *apiServer) exists(r schema.GroupVersionResource) bool {
	if !strings.HasSuffix(r.Group, "gatekeeper.sh") {
		return true
	}
	if r.Group != "constraints.gatekeeper.sh" {
		return s.gatekeeper
	}
	t := s.objects[settledKey{policy.Template.GVR(), r.Resource}]
	return s.gatekeeper && t != nil && len(bypod.Read(t)) > 0
}

func (s *apiServer) missing(r schema.GroupVersionResource, name string) error {
	return apierrors.NewNotFound(r.GroupResource(), name)
}

func (s *apiServer) denied(action string, r schema.GroupVersionResource, name string) error {
	if s.refuse == nil {
		return nil
	}
	return s.refuse(action, r, name)
}

func (s *apiServer) get(_ context.Context, r schema.GroupVersionResource, name string) (*unstructured.Unstructured, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.denied("get", r, name); err != nil {
		return nil, err
	}
	if s.prompt {
		s.takenIn()
	}
	if u := s.objects[settledKey{r, name}]; u != nil && s.exists(r) {
		return u.DeepCopy(), nil
	}
	return nil, nil
}

func (s *apiServer) list(_ context.Context, r schema.GroupVersionResource, selector string) (list []unstructured.Unstructured, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	label, value, _ := strings.Cut(selector, "=")
	for k, u := range s.objects {
		if k.resource == r && s.exists(r) && u.GetLabels()[label] == value {
			list = append(list, *u.DeepCopy())
		}
	}
	return list, s.denied("list", r, "")
}

func (s *apiServer) apply(_ context.Context, r schema.GroupVersionResource, u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.denied("apply", r, u.GetName()); err != nil {
		return nil, err
	}
	if !s.exists(r) {
		return nil, s.missing(r, u.GetName())
	}
	merged := map[string]any{}
	if live := s.objects[settledKey{r, u.GetName()}]; live != nil {
		merged = live.DeepCopy().Object
	}
	return s.store(r, &unstructured.Unstructured{Object: merge(merged, u.DeepCopy().Object)}, "apply"), nil
}

func (s *apiServer) replace(_ context.Context, r schema.GroupVersionResource, u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.denied("replace", r, u.GetName()); err != nil {
		return nil, err
	}
	return s.store(r, u.DeepCopy(), "replace"), nil
}

func (s *apiServer) remove(_ context.Context, r schema.GroupVersionResource, name string, uid types.UID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.denied("remove", r, name); err != nil {
		return err
	}
	if u := s.objects[settledKey{r, name}]; u == nil || u.GetUID() != uid {
		s.t.Errorf("%s %s is removed, which is another's", r.Resource, name)
	}
	delete(s.objects, settledKey{r, name})
	s.writes = append(s.writes, "remove "+r.Resource+" "+name)
	return nil
}

// merge is a server-side apply's for what nobody owns beside: maps are merged, the
// webhooks by name, lists replaced.
func merge(live, with map[string]any) map[string]any {
	for k, v := range with {
		below, isMap := v.(map[string]any)
		old, wasMap := live[k].(map[string]any)
		switch {
		case isMap && wasMap:
			live[k] = merge(old, below)
		case k == "webhooks":
			hooks, _ := live[k].([]any)
			given, _ := v.([]any)
			for i, h := range given {
				if i < len(hooks) {
					given[i] = merge(hooks[i].(map[string]any), h.(map[string]any))
				}
			}
			live[k] = given
		default:
			live[k] = v
		}
	}
	return live
}

func (s *apiServer) store(r schema.GroupVersionResource, u *unstructured.Unstructured, action string) *unstructured.Unstructured {
	key := settledKey{r, u.GetName()}
	old := s.objects[key]
	s.serial++
	switch {
	case old == nil:
		u.SetUID(types.UID("uid-" + strconv.Itoa(s.serial)))
		u.SetGeneration(1)
		u.SetCreationTimestamp(metav1.Now())
	case !reflect.DeepEqual(old.Object["spec"], u.Object["spec"]):
		u.SetGeneration(old.GetGeneration() + 1)
	}
	s.objects[key] = u
	s.writes = append(s.writes, action+" "+r.Resource+" "+u.GetName())
	return u.DeepCopy()
}

// takeIn has Gatekeeper's Pods say that they use what there is; a refusal is said of
// objects of that name.
func (s *apiServer) takeIn(refusals ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takenIn(refusals...)
}

// takenIn is takeIn with mu held.
func (s *apiServer) takenIn(refusals ...string) {
	for k, u := range s.objects {
		if !strings.HasSuffix(k.resource.Group, "gatekeeper.sh") {
			continue
		}
		var byPod []any
		for _, id := range s.pods {
			status := map[string]any{"id": id, "observedGeneration": u.GetGeneration()}
			if strings.HasPrefix(k.resource.Group, "constraints") {
				status["enforced"] = true
			}
			for _, name := range refusals {
				if name == u.GetName() {
					status["errors"] = []any{map[string]any{"message": "it does not fit"}}
				}
			}
			byPod = append(byPod, status)
		}
		if err := unstructured.SetNestedSlice(u.Object, byPod, "status", "byPod"); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *apiServer) object(r schema.GroupVersionResource, name string) *unstructured.Unstructured {
	return s.objects[settledKey{r, name}]
}

// put makes an object of YAML's shape.
func (s *apiServer) put(r schema.GroupVersionResource, object map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store(r, &unstructured.Unstructured{Object: object}, "put")
}

// installation is a replica on that API server.
type installation struct {
	*Installer
	t     *testing.T
	api   *apiServer
	core  *fake.Clientset
	tell  *teller
	ready error
}

var ownerResource = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"}

func options(t *testing.T) Options {
	t.Helper()
	return Options{
		Mode: ModeProcess, Instance: "imagegate", Namespace: "imagegate-system", Identity: "a",
		Owner:      Owner{schema.GroupVersionKind{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"}, "clusterroles", "imagegate-install"},
		Policies:   Policies{ConfigMap: "imagegate-policies", Key: "policies.yaml"},
		Provider:   Provider{Name: "imagegate-provider", URL: "https://imagegate.imagegate-system.svc:8443/scan-reports", Timeout: 2},
		Webhook:    "imagegate-mutator",
		Gatekeeper: Gatekeeper{Validating: "gatekeeper-vwc", Mutating: "gatekeeper-mwc"},
		Certificates: Certificates{
			Source: SourceOwn, Secret: "imagegate-tls", Names: []string{"imagegate.imagegate-system.svc", "localhost"},
			CAValidity: 30 * 24 * time.Hour, LeafValidity: 10 * 24 * time.Hour,
			Propagation: 10 * time.Second, Overlap: time.Hour, Dir: filepath.Join(t.TempDir(), "tls"),
		},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

func newInstallation(t *testing.T, api *apiServer, change func(*Options)) *installation {
	t.Helper()
	o := options(t)
	o.Registerer = prometheus.NewRegistry()
	i := &installation{t: t, api: api, core: fake.NewClientset()}
	o.Ready = func(context.Context) error { return i.ready }
	if change != nil {
		change(&o)
	}
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	var err error
	if i.Installer, err = newInstaller(o, i.core, api); err != nil {
		t.Fatal(err)
	}
	i.tell = newTeller(i.core.CoreV1(), o.Namespace, o.Identity, o.Logger)
	t.Cleanup(i.tell.close)
	api.put(ownerResource, map[string]any{"metadata": map[string]any{"name": o.Owner.Name}})
	api.put(mutating, map[string]any{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": map[string]any{"name": o.Webhook},
		"webhooks": []any{map[string]any{"name": "mutation.imagegate.dev", "failurePolicy": "Fail", "rules": podRules(), "clientConfig": map[string]any{"service": map[string]any{"name": "imagegate"}}}},
	})
	return i
}

// gatekeeperComes puts its CRDs and its webhook configuration there.
func (i *installation) gatekeeperComes(ca []byte, failurePolicy string, timeout int64) {
	i.api.gatekeeper = true
	i.api.put(validating, map[string]any{"metadata": map[string]any{"name": "gatekeeper-vwc"}, "webhooks": []any{
		map[string]any{"name": "validation.gatekeeper.sh", "failurePolicy": failurePolicy, "timeoutSeconds": timeout, "rules": podRules(), "clientConfig": map[string]any{
			"caBundle": base64.StdEncoding.EncodeToString(ca), "service": map[string]any{"namespace": "gk", "name": "gatekeeper-webhook-service"},
		}},
		map[string]any{"name": "check-ignore-label.gatekeeper.sh", "failurePolicy": "Fail", "timeoutSeconds": int64(1), "clientConfig": map[string]any{}},
	}})
}

// write writes the policies.
func (i *installation) write(text string) {
	i.t.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: i.o.Namespace, Name: i.o.Policies.ConfigMap}, Data: map[string]string{i.o.Policies.Key: text}}
	api := i.core.CoreV1().ConfigMaps(i.o.Namespace)
	_, err := api.Update(i.t.Context(), cm, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		_, err = api.Create(i.t.Context(), cm, metav1.CreateOptions{})
	}
	if err != nil {
		i.t.Fatal(err)
	}
}

// rounds makes rounds, with Gatekeeper and the replica's look after each, and
// returns the status after the last.
func (i *installation) rounds(n int, refusals ...string) Status {
	i.t.Helper()
	for range n {
		_, _ = i.roundOnce(i.t.Context(), i.tell) // what was refused is in the status
		i.api.takeIn(refusals...)
		_, _ = i.lookOnce(i.t.Context())
	}
	return i.tell.told
}

func (i *installation) has(s Status, r finding.ID, words string) {
	i.t.Helper()
	for _, p := range append(s.Problems, s.Warnings...) {
		if p.Reason == r {
			if !strings.Contains(p.Message, words) {
				i.t.Errorf("%s says %q, which lacks %q", r, p.Message, words)
			}
			return
		}
	}
	i.t.Errorf("%s is not among %v %v", r, s.Problems, s.Warnings)
}

// hasOnly is has for the only problem.
func (i *installation) hasOnly(s Status, r finding.ID, words string) {
	i.t.Helper()
	i.has(s, r, words)
	if len(s.Problems) != 1 {
		i.t.Errorf("there are others: %v", s.Problems)
	}
}

func (i *installation) fine(s Status) {
	i.t.Helper()
	if !s.Enforcing || len(s.Problems) > 0 {
		i.t.Fatalf("enforcing: %t, problems %v", s.Enforcing, s.Problems)
	}
}

// authority makes a CA.
func authority(t *testing.T) trust.Material {
	t.Helper()
	m, _, err := trust.Issuer{Names: []string{"localhost"}, CAValidity: 24 * time.Hour, LeafValidity: 24 * time.Hour}.Step(trust.Plan{}, trust.Material{}, trust.Record{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var errRefused = errors.New("refused by a test")

// names are those of all objects that we installed.
func (s *apiServer) names() map[string]bool {
	found := map[string]bool{}
	for k, u := range s.objects {
		if u.GetLabels()[Label] != "" {
			found[k.resource.Resource+"/"+k.name] = true
		}
	}
	return maps.Clone(found)
}

// podRules are a webhook's rules for all by which images come into a Pod.
func podRules() []any {
	return []any{map[string]any{
		"apiGroups": []any{""}, "apiVersions": []any{"v1"}, "operations": []any{"CREATE", "UPDATE"}, "resources": []any{"pods", "pods/ephemeralcontainers"},
	}}
}
