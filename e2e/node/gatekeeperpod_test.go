package node_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	"github.com/imagegate/imagegate/e2e/pki"
)

// gatekeeperPod asks the provider as Gatekeeper's Pods do: by the URL and the caBundle
// that the Provider object has when the connection is made, with a certificate that one
// of them can have at that moment. While Gatekeeper's certificate is replaced that is
// the new one in a Pod that begins, and the one before in those that the kubelet has not
// brought it to.
type gatekeeperPod struct {
	provider  cache.GenericLister
	addresses map[string]string // of Services, by the host in the URL
	body      []byte

	shown  atomic.Pointer[[]tls.Certificate]
	serial atomic.Int64
}

// newGatekeeperPod asks for that image. The Service is imagegate's in that namespace.
func newGatekeeperPod(t *testing.T, service, namespace, image string) *gatekeeperPod {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"apiVersion": "externaldata.gatekeeper.sh/v1beta1", "kind": "ProviderRequest",
		"request": map[string]any{"keys": []string{image + "?" + url.Values{"namespace": {namespace}, "pullSecret": {"pull"}}.Encode()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	factory := dynamicinformer.NewDynamicSharedInformerFactory(on.Dynamic, 0)
	g := &gatekeeperPod{
		provider:  factory.ForResource(schema.GroupVersionResource{Group: "externaldata.gatekeeper.sh", Version: "v1beta1", Resource: "providers"}).Lister(),
		addresses: map[string]string{"imagegate." + service + ".svc": clusterIP(t, service)}, body: body,
	}
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())
	return g
}

// published is what the Provider object says of the provider.
func (g *gatekeeperPod) published() (at string, trusted *x509.CertPool, err error) {
	object, err := g.provider.Get("imagegate-provider")
	if err != nil {
		return "", nil, err
	}
	u, ok := object.(*unstructured.Unstructured)
	if !ok {
		return "", nil, fmt.Errorf("the Provider object is a %T", object)
	}
	at, _, _ = unstructured.NestedString(u.Object, "spec", "url")
	text, _, _ := unstructured.NestedString(u.Object, "spec", "caBundle")
	bundle, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", nil, err
	}
	trusted = x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(bundle) {
		return "", nil, fmt.Errorf("the Provider object has no caBundle: %q", text)
	}
	return at, trusted, nil
}

// shows has the calls from now on show these certificates in turn.
func (g *gatekeeperPod) shows(t *testing.T, pairs ...pki.Pair) {
	t.Helper()
	all := make([]tls.Certificate, len(pairs))
	for i, p := range pairs {
		var err error
		if all[i], err = tls.X509KeyPair(p.Cert, p.Key); err != nil {
			t.Fatal(err)
		}
	}
	g.shown.Store(&all)
}

// call is one, and nil when the image was accepted. A replica that has just begun, or
// whose store elects another leader, may not know within its budget: it says so.
func (g *gatekeeperPod) call(ctx context.Context) error {
	at, trusted, err := g.published()
	if err != nil {
		return err
	}
	shown := *g.shown.Load()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		// There is no DNS out here.
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(g.addresses[host], port))
		},
		TLSClientConfig: &tls.Config{RootCAs: trusted, Certificates: []tls.Certificate{shown[g.serial.Add(1)%int64(len(shown))]}},
	}}
	var answer struct {
		Response struct {
			Items []struct {
				Value struct{ Status, Message string }
				Error string
			}
			SystemError string
		}
	}
	if err := post(ctx, client, at, g.body, &answer); err != nil {
		return err
	}
	r := answer.Response
	switch {
	case r.SystemError != "":
		return errors.New(r.SystemError)
	case len(r.Items) == 1 && (r.Items[0].Value.Status == "report_not_available" || strings.HasPrefix(r.Items[0].Value.Message, "the report store ")):
		return fmt.Errorf("%w: %s", errAgain, r.Items[0].Value.Message)
	case len(r.Items) != 1 || r.Items[0].Value.Status != "accepted":
		return fmt.Errorf("not accepted: %+v", r.Items)
	}
	return nil
}
