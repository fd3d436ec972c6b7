package doctor

import (
	"context"
	"fmt"
	"io"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/imagegate/imagegate/provider/kube"
)

// cluster is what is read. Errors are the API server's.
type cluster interface {
	get(ctx context.Context, r schema.GroupVersionResource, namespace, name string) (*unstructured.Unstructured, error)
	// list lists all namespaces where namespace is empty.
	list(ctx context.Context, r schema.GroupVersionResource, namespace, selector string) ([]unstructured.Unstructured, error)
	// raw returns what is at a path of the API server's.
	raw(ctx context.Context, path string) ([]byte, error)
}

// apiServer is the cluster behind a kubeconfig.
type apiServer struct {
	objects dynamic.Interface
	paths   rest.Interface
}

func newAPIServer(cfg *rest.Config) (*apiServer, error) {
	objects, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("making the API server's client: %w", err)
	}
	typed, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("making the API server's client: %w", err)
	}
	return &apiServer{objects: objects, paths: typed.CoreV1().RESTClient()}, nil
}

func (a *apiServer) get(ctx context.Context, r schema.GroupVersionResource, namespace, name string) (*unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, kube.Timeout)
	defer cancel()
	return a.in(r, namespace).Get(ctx, name, metav1.GetOptions{})
}

// pageSize bounds one answer: a cluster may have thousands of Pods.
const pageSize = 500

func (a *apiServer) list(ctx context.Context, r schema.GroupVersionResource, namespace, selector string) (all []unstructured.Unstructured, err error) {
	o := metav1.ListOptions{LabelSelector: selector, Limit: pageSize}
	for {
		asking, cancel := context.WithTimeout(ctx, kube.Timeout)
		l, err := a.in(r, namespace).List(asking, o)
		cancel()
		if err != nil {
			return nil, err
		}
		all = append(all, l.Items...)
		if o.Continue = l.GetContinue(); o.Continue == "" {
			return all, nil
		}
	}
}

func (a *apiServer) in(r schema.GroupVersionResource, namespace string) dynamic.ResourceInterface {
	if namespace == "" {
		return a.objects.Resource(r)
	}
	return a.objects.Resource(r).Namespace(namespace)
}

// maxRaw bounds an answer: an API server's metrics are some megabytes.
const maxRaw = 64 << 20

func (a *apiServer) raw(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*kube.Timeout)
	defer cancel()
	body, err := a.paths.Get().AbsPath(path).Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	return io.ReadAll(io.LimitReader(body, maxRaw))
}

// absent reports whether the object, or its kind, does not exist.
func absent(err error) bool { return apierrors.IsNotFound(err) || meta.IsNoMatchError(err) }

var (
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	pods       = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	leases     = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
	validating = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}
	mutating   = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}
	configs    = schema.GroupVersionResource{Group: "config.gatekeeper.sh", Version: "v1alpha1", Resource: "configs"}
	providers  = schema.GroupVersionResource{Group: "externaldata.gatekeeper.sh", Version: "v1beta1", Resource: "providers"}
)

// shown is an object as people name it.
func shown(kind, namespace, name string) string {
	return kind + " " + strings.TrimPrefix(namespace+"/"+name, "/")
}
