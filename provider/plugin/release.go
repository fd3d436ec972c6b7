package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

const (
	// viewPort is the chart's annotation of Pods that serve report pages: at which port.
	viewPort = "imagegate.dev/view-port"
	// providers are the chart's labels of these Pods.
	providers = "app.kubernetes.io/component=provider"
)

// release is where imagegate is installed.
type release struct {
	flags *genericclioptions.ConfigFlags
	// namespace is empty: it is looked for in all.
	namespace string
}

func (r *release) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.namespace, "provider-namespace", "", "where imagegate is installed (default: it is looked for in all namespaces)")
}

// tunnel leads from a port of this machine's loopback to the report pages of a provider.
type tunnel struct {
	port  int
	close func()
	// ended has what ended it.
	ended <-chan error
}

// open makes a tunnel that lasts until it is closed. localPort is 0 for any.
func (r *release) open(ctx context.Context, localPort int) (*tunnel, error) {
	if err := configured(r.flags); err != nil {
		return nil, err
	}
	config, err := r.flags.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	pods, err := client.CoreV1().Pods(r.namespace).List(ctx, metav1.ListOptions{LabelSelector: providers})
	if err != nil {
		if r.namespace == "" && apierrors.IsForbidden(err) {
			return nil, fmt.Errorf("looking for imagegate in all namespaces: %w; say where it is by --provider-namespace", err)
		}
		return nil, fmt.Errorf("looking for imagegate: %w", err)
	}
	p, port, err := serving(pods.Items)
	if err != nil {
		return nil, err
	}
	to := client.CoreV1().RESTClient().Post().Resource("pods").Namespace(p.Namespace).Name(p.Name).SubResource("portforward").URL()
	t, err := forward(ctx, config, to, localPort, port)
	if err != nil {
		return nil, fmt.Errorf("forwarding a port to Pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	return t, nil
}

// serving is the Pod whose pages are asked, and their port.
func serving(pods []corev1.Pod) (*corev1.Pod, int, error) {
	if len(pods) == 0 {
		return nil, 0, errors.New("imagegate is not installed there: there is no Pod with the label " + providers)
	}
	namespaces := map[string]bool{}
	var shown, ready []*corev1.Pod
	for i := range pods {
		p := &pods[i]
		if p.Annotations[viewPort] == "" || p.DeletionTimestamp != nil {
			continue
		}
		namespaces[p.Namespace] = true
		shown = append(shown, p)
		if slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		}) {
			ready = append(ready, p)
		}
	}
	switch {
	case len(shown) == 0:
		return nil, 0, errors.New("imagegate serves no report pages: set view.enabled in the values of its chart (and inventory.enabled for what runs)")
	case len(namespaces) > 1:
		return nil, 0, fmt.Errorf("imagegate is in the namespaces %s: choose one by --provider-namespace", strings.Join(slices.Sorted(maps.Keys(namespaces)), ", "))
	case len(ready) == 0:
		return nil, 0, fmt.Errorf("of %d Pods of imagegate none is ready; kubectl get pods -n %s says more", len(shown), shown[0].Namespace)
	}
	p := ready[0]
	port, err := strconv.ParseUint(p.Annotations[viewPort], 10, 16)
	if err != nil {
		return nil, 0, fmt.Errorf("annotation %s of Pod %s/%s: %w", viewPort, p.Namespace, p.Name, err)
	}
	return p, int(port), nil
}

// forward is what `kubectl port-forward` does: by WebSocket, or SPDY where the API server
// or a proxy before it knows no other.
func forward(ctx context.Context, config *rest.Config, to *url.URL, localPort, port int) (*tunnel, error) {
	lasting := rest.CopyConfig(config)
	lasting.Timeout = 0 // it would end what is open
	transport, upgrader, err := spdy.RoundTripperFor(lasting)
	if err != nil {
		return nil, err
	}
	bySPDY := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, to)
	byWebSocket, err := portforward.NewSPDYOverWebsocketDialerForStreaming(to, lasting)
	if err != nil {
		return nil, err
	}
	dialer := portforward.NewFallbackDialerForStreaming(byWebSocket, bySPDY, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	stop, ready, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	f, err := portforward.NewOnAddressesForStreaming(dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("%d:%d", localPort, port)}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		return nil, err
	}
	go func() { ended <- f.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		return nil, err
	case <-ctx.Done():
		close(stop)
		return nil, ctx.Err()
	}
	ports, err := f.GetPorts()
	if err != nil {
		close(stop)
		return nil, err
	}
	return &tunnel{port: int(ports[0].Local), close: func() { close(stop) }, ended: ended}, nil
}
