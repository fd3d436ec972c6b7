package templates_test

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-policy-agent/frameworks/constraint/pkg/apis/externaldata/unversioned"
	templatesv1 "github.com/open-policy-agent/frameworks/constraint/pkg/apis/templates/v1"
	"github.com/open-policy-agent/frameworks/constraint/pkg/client"
	"github.com/open-policy-agent/frameworks/constraint/pkg/client/drivers/rego"
	"github.com/open-policy-agent/frameworks/constraint/pkg/client/reviews"
	versionless "github.com/open-policy-agent/frameworks/constraint/pkg/core/templates"
	"github.com/open-policy-agent/frameworks/constraint/pkg/externaldata"
	gatekeeper "github.com/open-policy-agent/gatekeeper/v3/pkg/target"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/util"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// provider answers Gatekeeper's protocol from a table of reports, as the real
// one does: final reports under the key, others under a key nobody asks for.
type provider struct {
	mu      sync.Mutex
	reports map[string]map[string]any
	failure string
	asked   []string
	calls   int
	// stop takes the provider off the network.
	stop func()
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request externaldata.ProviderRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	p.asked = append(p.asked, request.Request.Keys...)
	response := externaldata.Response{Idempotent: true, SystemError: p.failure}
	for _, key := range request.Request.Keys {
		image, _, _ := strings.Cut(key, "?")
		report, known := p.reports[image]
		if !known {
			continue
		}
		if status := report["Status"]; status != "accepted" && status != "rejected" {
			key += "#"
		}
		response.Items = append(response.Items, externaldata.Item{Key: key, Value: report})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(externaldata.ProviderResponse{
		APIVersion: "externaldata.gatekeeper.sh/v1beta1", Kind: "ProviderResponse", Response: response,
	})
}

// images returns what was asked for since the last call, without the context.
func (p *provider) images() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var images []string
	for _, key := range p.asked {
		image, _, _ := strings.Cut(key, "?")
		images = append(images, image)
	}
	p.asked = nil
	slices.Sort(images)
	return images
}

// engine is Gatekeeper's own: the constraint framework with the Rego driver and
// Gatekeeper's target, asking a provider over TLS.
type engine struct {
	*client.Client
	provider *provider
}

func newEngine(t testing.TB, ttl time.Duration) *engine {
	t.Helper()
	answers := &provider{reports: map[string]map[string]any{}}
	server := httptest.NewUnstartedServer(answers)
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	server.StartTLS()
	t.Cleanup(server.Close)
	answers.stop = server.Close
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})

	providers := externaldata.NewCache()
	if err := providers.Upsert(&unversioned.Provider{
		ObjectMeta: metav1.ObjectMeta{Name: "imagegate-provider"},
		Spec: unversioned.ProviderSpec{
			URL: server.URL + "/scan-reports", Timeout: 5, CABundle: base64.StdEncoding.EncodeToString(ca),
		},
	}); err != nil {
		t.Fatal(err)
	}
	driver, err := rego.New(
		rego.AddExternalDataProviderCache(providers),
		rego.AddExternalDataProviderResponseCache(externaldata.NewProviderResponseCache(t.Context(), ttl)),
	)
	if err != nil {
		t.Fatal(err)
	}
	gatekeeperClient, err := client.NewClient(client.Targets(&gatekeeper.K8sValidationTarget{}), client.Driver(driver),
		client.EnforcementPoints(util.WebhookEnforcementPoint))
	if err != nil {
		t.Fatal(err)
	}
	return &engine{Client: gatekeeperClient, provider: answers}
}

func (e *engine) addTemplate(t testing.TB, text []byte) {
	t.Helper()
	template := versionlessTemplate(t, text)
	if _, err := e.AddTemplate(t.Context(), template); err != nil {
		t.Fatalf("adding %s: %v", template.Name, err)
	}
}

func versionlessTemplate(t testing.TB, text []byte) *versionless.ConstraintTemplate {
	t.Helper()
	var template templatesv1.ConstraintTemplate
	if err := yaml.UnmarshalStrict(text, &template); err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := templatesv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	var plain versionless.ConstraintTemplate
	if err := scheme.Convert(&template, &plain, nil); err != nil {
		t.Fatal(err)
	}
	return &plain
}

func (e *engine) addConstraint(t testing.TB, kind, name string, parameters any) {
	t.Helper()
	if _, err := e.AddConstraint(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "constraints.gatekeeper.sh/v1beta1",
		"kind":       kind,
		"metadata":   map[string]any{"name": name},
		"spec":       map[string]any{"parameters": plainJSON(t, parameters)},
	}}); err != nil {
		t.Fatal(err)
	}
}

// review returns the sorted messages of an admission request's violations.
func (e *engine) review(t testing.TB, request admissionv1.AdmissionRequest) []string {
	t.Helper()
	responses, err := e.Review(t.Context(), gatekeeper.AugmentedReview{AdmissionRequest: &request, IsAdmission: true},
		reviews.EnforcementPoint(util.WebhookEnforcementPoint))
	if err != nil {
		t.Fatal(err)
	}
	var messages []string
	for _, result := range responses.Results() {
		messages = append(messages, result.Msg)
	}
	slices.Sort(messages)
	return messages
}

// creation is the request that creates an object given as YAML.
func creation(t testing.TB, object string) admissionv1.AdmissionRequest {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(object))
	if err != nil {
		t.Fatal(err)
	}
	var meta metav1.PartialObjectMetadata
	if err := json.Unmarshal(raw, &meta); err != nil {
		t.Fatal(err)
	}
	gvk := meta.GroupVersionKind()
	return admissionv1.AdmissionRequest{
		UID: "1", Operation: admissionv1.Create, Name: meta.Name, Namespace: meta.Namespace,
		Kind:   metav1.GroupVersionKind{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind},
		Object: runtime.RawExtension{Raw: raw},
	}
}

func plainJSON(t testing.TB, value any) any {
	t.Helper()
	text, isText := value.(string)
	if !isText {
		raw, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		text = string(raw)
	}
	var out any
	if err := yaml.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func mustQuery(t testing.TB, key string) url.Values {
	t.Helper()
	_, query, _ := strings.Cut(key, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// templateLibs are the libraries that a generated template carries.
func templateLibs(t testing.TB, text []byte) []string {
	t.Helper()
	var template struct {
		Spec struct {
			Targets []struct {
				Code []struct {
					Source struct {
						Libs []string `json:"libs"`
					} `json:"source"`
				} `json:"code"`
			} `json:"targets"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &template); err != nil {
		t.Fatal(err)
	}
	return template.Spec.Targets[0].Code[0].Source.Libs
}
