package node_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	admissionlisters "k8s.io/client-go/listers/admissionregistration/v1"
)

// webhook sends AdmissionReviews straight to the mutator's Service, as the API server
// sends them: verified by the caBundle that the webhook's configuration has when the
// connection is made.
type webhook struct {
	configurations admissionlisters.MutatingWebhookConfigurationLister
	service        string // namespace of the Service imagegate
	address        string
	body           []byte
}

// startWebhookCalls has so many a second made, for a Pod of that image.
func startWebhookCalls(t *testing.T, perSecond int, service, namespace, image string) *calls {
	t.Helper()
	called := pod("called", image)
	called.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	object, err := json.Marshal(called)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: types.UID("called"), Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
			Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"}, Name: "called", Namespace: namespace,
			Operation: admissionv1.Create, UserInfo: authenticationv1.UserInfo{Username: "kubernetes-admin"}, Object: runtime.RawExtension{Raw: object},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	factory := informers.NewSharedInformerFactory(on.Client, 0)
	w := &webhook{
		configurations: factory.Admissionregistration().V1().MutatingWebhookConfigurations().Lister(),
		service:        service, address: net.JoinHostPort(clusterIP(t, service), "443"), body: body,
	}
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())
	return startCalls(t, "the webhook", perSecond, w.call)
}

// clusterIP is the address of imagegate's Service in that namespace.
func clusterIP(t *testing.T, namespace string) string {
	t.Helper()
	s, err := on.Client.CoreV1().Services(namespace).Get(t.Context(), "imagegate", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s.Spec.ClusterIP
}

// call is one, and nil when the Pod was let through and its image pinned.
func (w *webhook) call(ctx context.Context) error {
	trusted, err := w.trusted()
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: trusted, ServerName: "imagegate." + w.service + ".svc"},
	}}
	var review admissionv1.AdmissionReview
	if err := post(ctx, client, "https://"+w.address+"/mutate?timeout=15s", w.body, &review); err != nil {
		return err
	}
	if r := review.Response; r == nil || !r.Allowed || !bytes.Contains(r.Patch, []byte("@sha256:")) {
		return fmt.Errorf("not pinned: %+v", r)
	}
	return nil
}

// trusted is the caBundle of the webhook.
func (w *webhook) trusted() (*x509.CertPool, error) {
	list, err := w.configurations.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	for _, configuration := range list {
		for _, hook := range configuration.Webhooks {
			if s := hook.ClientConfig.Service; s != nil && s.Namespace == w.service {
				pool := x509.NewCertPool()
				if !pool.AppendCertsFromPEM(hook.ClientConfig.CABundle) {
					return nil, errors.New("the webhook has no caBundle")
				}
				return pool, nil
			}
		}
	}
	return nil, errors.New("there is no webhook")
}

// post sends JSON and reads JSON.
func post(ctx context.Context, client *http.Client, url string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("status %d: %w", resp.StatusCode, err)
	}
	return nil
}
