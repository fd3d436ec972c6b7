package review

import (
	"errors"
	"fmt"
	"io"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Object is one admission request to judge.
type Object struct {
	source  string
	request *admissionv1.AdmissionRequest
	content *unstructured.Unstructured
}

// Defaults says about a plain manifest what only a request could.
type Defaults struct {
	// Namespace is where an object goes that names none; "default" when empty.
	Namespace string
	// User is who creates it. An AdmissionReview names its own.
	User authenticationv1.UserInfo
}

// ReadObjects reads the documents of a file, or of stdin when path is "-": see
// ParseObjects.
func ReadObjects(path string, stdin io.Reader, defaults Defaults) ([]Object, error) {
	docs, err := readFile(path, stdin)
	if err != nil {
		return nil, err
	}
	return objects(path, docs, defaults)
}

// ParseObjects reads YAML or JSON documents. Each is an AdmissionReview, an
// AdmissionRequest, or any other object, which becomes the request to create
// it. source names them in errors.
func ParseObjects(source string, b []byte, defaults Defaults) ([]Object, error) {
	docs, err := parseDocuments(source, b, false)
	if err != nil {
		return nil, err
	}
	return objects(source, docs, defaults)
}

func objects(source string, docs []document, defaults Defaults) ([]Object, error) {
	if len(docs) == 0 {
		return nil, fmt.Errorf("%s: no object to judge", source)
	}
	out := make([]Object, 0, len(docs))
	for i, d := range docs {
		o, err := objectOf(d, defaults)
		if err != nil {
			return nil, fmt.Errorf("%s: document %d: %w", source, i+1, err)
		}
		out = append(out, o)
	}
	return out, nil
}

func objectOf(d document, defaults Defaults) (Object, error) {
	switch {
	case isAdmissionRequest(d.object.Object):
		return fromRequest(d)
	case groupOf(d) == admissionv1.GroupName:
		return fromReview(d)
	default:
		return fromManifest(d, defaults)
	}
}

// fromManifest makes the request that the API server would send for the
// creation of an object, without the defaults it would fill into the object.
func fromManifest(d document, defaults Defaults) (Object, error) {
	u := d.object.DeepCopy()
	if err := checkMetadata(u); err != nil {
		return Object{}, fmt.Errorf("%s: %w", u.GetKind(), err)
	}
	place(u, defaults.Namespace)
	raw, err := u.MarshalJSON()
	if err != nil {
		return Object{}, fmt.Errorf("%s: encoding it: %w", d.label(), err)
	}
	gvk := u.GroupVersionKind()
	plural, _ := meta.UnsafeGuessKindToResource(gvk)
	kind := metav1.GroupVersionKind{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind}
	resource := metav1.GroupVersionResource{Group: plural.Group, Version: plural.Version, Resource: plural.Resource}
	dryRun := false
	return Object{source: d.source, content: u, request: &admissionv1.AdmissionRequest{
		Kind:            kind,
		Resource:        resource,
		RequestKind:     &kind,
		RequestResource: &resource,
		Name:            u.GetName(),
		Namespace:       u.GetNamespace(),
		Operation:       admissionv1.Create,
		UserInfo:        defaults.User,
		Object:          runtime.RawExtension{Raw: raw},
		DryRun:          &dryRun,
		Options:         runtime.RawExtension{Raw: []byte(`{"apiVersion":"meta.k8s.io/v1","kind":"CreateOptions"}`)},
	}}, nil
}

// checkMetadata catches what would read as absent further on: YAML takes the
// bare words n, no and 1 for something else than a string.
func checkMetadata(u *unstructured.Unstructured) error {
	for _, field := range []string{"name", "generateName", "namespace"} {
		if _, _, err := unstructured.NestedString(u.Object, "metadata", field); err != nil {
			return fmt.Errorf("field metadata.%s is not a string", field)
		}
	}
	if u.GetName() == "" && u.GetGenerateName() == "" {
		return errors.New("field metadata.name is missing")
	}
	return nil
}

// place gives an object its namespace, as a request to a namespace's URL does.
func place(u *unstructured.Unstructured, namespace string) {
	switch {
	case clusterScoped(u.GroupVersionKind().GroupKind()):
		u.SetNamespace("")
	case u.GetNamespace() != "":
	case namespace == "":
		u.SetNamespace(metav1.NamespaceDefault)
	default:
		u.SetNamespace(namespace)
	}
}

// kind and name say which object it is: ns/name, or name alone outside of
// namespaces. A name that is yet to be made up ends in "*".
func (o Object) kind() string { return o.request.Kind.Kind }

func (o Object) name() string {
	name := o.request.Name
	if name == "" {
		name = o.content.GetName()
	}
	if name == "" {
		name = o.content.GetGenerateName() + "*"
	}
	if o.request.Namespace != "" {
		return o.request.Namespace + "/" + name
	}
	return name
}
