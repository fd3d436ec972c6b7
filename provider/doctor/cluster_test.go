package doctor

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/provider/install"
	"github.com/imagegate/imagegate/provider/install/trust"
)

// now is the time of testdata.
func now() time.Time { return time.Date(2026, 11, 27, 12, 0, 10, 0, time.UTC) }

const (
	caLife    = 90 * 24 * time.Hour
	namespace = "imagegate-system"
	proxy     = "/api/v1/namespaces/imagegate-system/pods/http:gate-imagegate-0:8081/proxy"
)

// objects is a cluster of objects in YAML.
type objects struct {
	t     *testing.T
	all   []unstructured.Unstructured
	paths map[string]string
	// gone are groups without their kinds, forbidden resources that may not be read.
	gone      map[string]bool
	forbidden map[string]bool
}

// authority is one for all tests: making it takes a while.
var authority = sync.OnceValues(func() (trust.Material, error) {
	m, _, err := trust.Issuer{Names: []string{"localhost"}, CAValidity: caLife, LeafValidity: caLife}.Step(trust.Plan{}, trust.Material{}, trust.Record{}, now())
	return m, err
})

func right(t *testing.T) *objects {
	t.Helper()
	m, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	state, err := json.Marshal(install.State{
		Ours:   trust.Record{Authorities: []trust.Authority{{PEM: string(m.CACert), Published: now()}}},
		Status: install.Status{Mode: install.ModeProcess, Enforcing: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/right.yaml")
	if err != nil {
		t.Fatal(err)
	}
	o := &objects{t: t, gone: map[string]bool{}, forbidden: map[string]bool{}, paths: map[string]string{
		proxy + "/readyz": "ready\nstore: ok\nscanner: ok\ninstallation: ok\n",
		proxy + "/metrics": fmt.Sprintf("# TYPE imagegate_scanner_database_built_timestamp_seconds gauge\nimagegate_scanner_database_built_timestamp_seconds{scanner=\"bundled\"} %d\n"+
			"# TYPE imagegate_tls_expiry_timestamp_seconds gauge\nimagegate_tls_expiry_timestamp_seconds{part=\"certificate\",side=\"server\"} %d\n",
			now().Add(-24*time.Hour).Unix(), now().Add(30*24*time.Hour).Unix()),
		"/metrics": "# TYPE apiserver_admission_webhook_fail_open_count counter\napiserver_admission_webhook_fail_open_count{name=\"inject.example.com\",type=\"admit\"} 7\n",
	}}
	replaced := strings.NewReplacer("caBundle: CA", "caBundle: "+base64.StdEncoding.EncodeToString(m.CACert), "STATE", "'"+string(state)+"'").Replace(string(text))
	docs := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(replaced)))
	for {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return o
		}
		if err != nil {
			t.Fatal(err)
		}
		o.add(string(doc))
	}
}

func (o *objects) add(doc string) {
	o.t.Helper()
	text, err := yaml.YAMLToJSON([]byte(doc))
	if err != nil {
		o.t.Fatal(err)
	}
	if bytes.Equal(text, []byte("null")) {
		return
	}
	var u unstructured.Unstructured
	if err := u.UnmarshalJSON(text); err != nil {
		o.t.Fatal(err)
	}
	o.all = append(o.all, u)
}

func resource(u *unstructured.Unstructured) schema.GroupVersionResource {
	gvk := u.GroupVersionKind()
	name := strings.ToLower(gvk.Kind)
	if gvk.Group != "constraints.gatekeeper.sh" {
		name += "s"
	}
	return gvk.GroupVersion().WithResource(name)
}

// change changes the object of that kind and name.
func (o *objects) change(kind, name string, change func(*unstructured.Unstructured)) {
	o.t.Helper()
	for i := range o.all {
		if u := &o.all[i]; u.GetKind() == kind && u.GetName() == name {
			change(u)
			return
		}
	}
	o.t.Fatalf("there is no %s %s", kind, name)
}

// set sets a field by its path; a number in it is an index.
func (o *objects) set(kind, name string, value any, path ...any) {
	o.t.Helper()
	o.change(kind, name, func(u *unstructured.Unstructured) {
		var at any = u.Object
		for i, step := range path {
			last := i == len(path)-1
			switch step := step.(type) {
			case string:
				m, ok := at.(map[string]any)
				if !ok {
					o.t.Fatalf("%s %s has nothing at %v", kind, name, path[:i+1])
				}
				if last {
					m[step] = value
				}
				at = m[step]
			case int:
				at = at.([]any)[step]
			}
		}
	})
}

func (o *objects) remove(kind, name string) {
	o.t.Helper()
	for i := range o.all {
		if u := &o.all[i]; u.GetKind() == kind && u.GetName() == name {
			o.all = append(o.all[:i], o.all[i+1:]...)
			return
		}
	}
	o.t.Fatalf("there is no %s %s", kind, name)
}

func (o *objects) refused(r schema.GroupVersionResource, name string) error {
	switch {
	case o.forbidden[r.Resource]:
		return apierrors.NewForbidden(r.GroupResource(), name, errors.New("by a test"))
	case o.gone[r.Group]:
		return apierrors.NewNotFound(r.GroupResource(), name)
	}
	return nil
}

func (o *objects) get(_ context.Context, r schema.GroupVersionResource, namespace, name string) (*unstructured.Unstructured, error) {
	if err := o.refused(r, name); err != nil {
		return nil, err
	}
	for i := range o.all {
		if u := &o.all[i]; resource(u) == r && u.GetNamespace() == namespace && u.GetName() == name {
			return u.DeepCopy(), nil
		}
	}
	return nil, apierrors.NewNotFound(r.GroupResource(), name)
}

func (o *objects) list(_ context.Context, r schema.GroupVersionResource, namespace, selector string) (list []unstructured.Unstructured, err error) {
	if err := o.refused(r, ""); err != nil {
		return nil, err
	}
	s, err := labels.Parse(selector)
	if err != nil {
		return nil, err
	}
	for i := range o.all {
		u := &o.all[i]
		if resource(u) == r && (namespace == "" || u.GetNamespace() == namespace) && s.Matches(labels.Set(u.GetLabels())) {
			list = append(list, *u.DeepCopy())
		}
	}
	return list, nil
}

func (o *objects) raw(_ context.Context, path string) ([]byte, error) {
	text, ok := o.paths[path]
	if !ok {
		return nil, &apierrors.StatusError{ErrStatus: metav1.Status{Reason: metav1.StatusReasonForbidden, Message: path + " is forbidden"}}
	}
	return []byte(text), nil
}
