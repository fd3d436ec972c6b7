package review

import (
	"encoding/json"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
)

func TestManifestsBecomeRequests(t *testing.T) {
	d := Defaults{Namespace: "team", User: authenticationv1.UserInfo{Username: "ann", Groups: []string{"g"}}}
	for name, tt := range map[string]struct {
		manifest, want string
	}{
		"Pod":                    {"{apiVersion: v1, kind: Pod, metadata: {name: a}}", "team/a pods team"},
		"with its namespace":     {"{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: own}}", "own/a pods own"},
		"generated name":         {"{apiVersion: v1, kind: Pod, metadata: {generateName: a-}}", "team/a-* pods team"},
		"cluster-scoped":         {"{apiVersion: v1, kind: Namespace, metadata: {name: a}}", "a namespaces "},
		"wrongly namespaced":     {"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: a, namespace: b}}", "a clusterroles "},
		"custom resource":        {"{apiVersion: example.com/v1, kind: Policy, metadata: {name: a}}", "team/a policies team"},
		"namespaced in RBAC":     {"{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: a}}", "team/a roles team"},
		"constraint":             {"{apiVersion: constraints.gatekeeper.sh/v1beta1, kind: K, metadata: {name: a}}", "a ks "},
		"in JSON":                {`{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}}`, "team/a deployments team"},
		"after an empty one":     {"---\n# nothing\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\n", "team/a pods team"},
		"numbers keep shape":     {"{apiVersion: v1, kind: Pod, metadata: {name: a, generation: 9007199254740993}}", "team/a pods team"},
		"storage with exception": {"{apiVersion: storage.k8s.io/v1, kind: CSIStorageCapacity, metadata: {name: a}}", "team/a csistoragecapacities team"},
	} {
		t.Run(name, func(t *testing.T) {
			o := object(t, tt.manifest, d)
			r := o.request
			if got := o.name() + " " + r.Resource.Resource + " " + r.Namespace; got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if r.Operation != admissionv1.Create || r.UserInfo.Username != "ann" || *r.RequestKind != r.Kind || *r.RequestResource != r.Resource {
				t.Errorf("got %+v", r)
			}
			var sent struct {
				Metadata struct {
					Namespace  string
					Generation json.Number
				}
			}
			if err := json.Unmarshal(r.Object.Raw, &sent); err != nil {
				t.Fatal(err)
			}
			if sent.Metadata.Namespace != r.Namespace {
				t.Errorf("the object says namespace %q, the request %q", sent.Metadata.Namespace, r.Namespace)
			}
			if strings.Contains(tt.manifest, "generation") && sent.Metadata.Generation != "9007199254740993" {
				t.Errorf("generation is %s", sent.Metadata.Generation)
			}
		})
	}
}

func TestDefaultNamespace(t *testing.T) {
	if got := object(t, "{apiVersion: v1, kind: Pod, metadata: {name: a}}", Defaults{}).name(); got != "default/a" {
		t.Errorf("got %s", got)
	}
	one := cluster(t, "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")
	two := cluster(t, "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}", "{apiVersion: v1, kind: Namespace, metadata: {name: b}}")
	given := Options{NamespaceObjects: []string{"ns.yaml"}}
	if got := given.defaults(one).Namespace; got != "shop" {
		t.Errorf("with one Namespace: %q", got)
	}
	if got := given.defaults(two).Namespace; got != "" {
		t.Errorf("with two Namespaces: %q", got)
	}
	given.Namespace = "asked"
	if got := given.defaults(one).Namespace; got != "asked" {
		t.Errorf("with a flag: %q", got)
	}
}

func TestLists(t *testing.T) {
	objects, err := ParseObjects("list", []byte("{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod, metadata: {name: a}}, {apiVersion: v1, kind: Pod, metadata: {name: b}}]}"), Defaults{})
	if err != nil || len(objects) != 2 || objects[1].name() != "default/b" {
		t.Errorf("got %v, %v", objects, err)
	}
	if _, err := ParseObjects("list", []byte("{apiVersion: v1, kind: List, items: [a]}"), Defaults{}); err == nil || !strings.Contains(err.Error(), "item 0: not an object") {
		t.Errorf("got %v", err)
	}
	many, err := ParseObjects("json", []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}} {"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"}}`), Defaults{})
	if err != nil || len(many) != 2 {
		t.Errorf("got %v, %v", many, err)
	}
}

func TestRequestsAreTakenAsTheyAre(t *testing.T) {
	const request = `
uid: u
kind: {group: apps, version: v1, kind: Deployment}
operation: DELETE
name: given
namespace: given
userInfo: {username: ann}
oldObject: {apiVersion: apps/v1, kind: Deployment, metadata: {name: own, namespace: own}}
`
	o := object(t, request, Defaults{Namespace: "x", User: authenticationv1.UserInfo{Username: "other"}})
	if o.name() != "given/given" || o.kind() != "Deployment" || o.request.UserInfo.Username != "ann" || o.content.GetName() != "own" {
		t.Errorf("got %s %s %+v", o.kind(), o.name(), o.request)
	}
	short := object(t, "{operation: CREATE, object: {apiVersion: v1, kind: Pod, metadata: {name: own, namespace: own}}}", Defaults{})
	if short.name() != "own/own" || short.kind() != "Pod" {
		t.Errorf("got %s %s", short.kind(), short.name())
	}
}

func TestDeletionOfAWorkload(t *testing.T) {
	e := newEngine(t, Config{Policies: policies(t, "kind: TestRequest\nmetadata: {name: c}")})
	got := violationsOf(t, e, object(t, "{operation: DELETE, kind: {group: apps, version: v1, kind: Deployment}, oldObject: {apiVersion: apps/v1, kind: Deployment, metadata: {name: a, namespace: b}, spec: {template: {spec: {containers: []}}}}}", Defaults{}))
	if !strings.Contains(got, "DELETE / Deployment b/a of b") || !strings.Contains(got, "[Implied by pods-of-workloads] DELETE / Pod b/a-pod of b") {
		t.Errorf("got %s", got)
	}
}
