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
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	admissionlisters "k8s.io/client-go/listers/admissionregistration/v1"
)

// calls are AdmissionReviews that go straight to the mutator's Service, as the API
// server sends them: verified by the caBundle that the webhook's configuration has when
// the connection is made, and each over one of its own, so that every one meets the
// certificate that is served. The API server itself judges a quarter of what certificates
// have to bear here.
type calls struct {
	webhook admissionlisters.MutatingWebhookConfigurationLister
	service string // namespace of the Service imagegate
	address string
	body    []byte

	cancel context.CancelFunc
	began  time.Time
	done   sync.WaitGroup

	mu    sync.Mutex
	asked int
	lost  map[string]int
}

// startCalls has so many a second sent, for a Pod of that image.
func startCalls(t *testing.T, perSecond int, service, namespace, image string) *calls {
	t.Helper()
	at, err := on.Client.CoreV1().Services(service).Get(t.Context(), "imagegate", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
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
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	factory := informers.NewSharedInformerFactory(on.Client, 0)
	c := &calls{
		webhook: factory.Admissionregistration().V1().MutatingWebhookConfigurations().Lister(),
		service: service, address: net.JoinHostPort(at.Spec.ClusterIP, "443"), body: body,
		cancel: cancel, began: time.Now(), lost: map[string]int{},
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	turns := make(chan struct{}, perSecond)
	c.done.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(perSecond))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			turns <- struct{}{}
			c.done.Go(func() {
				defer func() { <-turns }()
				c.count(c.call(context.WithoutCancel(ctx)))
			})
		}
	})
	t.Cleanup(c.stop)
	return c
}

// call is one, and nil when the Pod was let through and its image pinned.
func (c *calls) call(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	trusted, err := c.trusted()
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: trusted, ServerName: "imagegate." + c.service + ".svc"},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+c.address+"/mutate?timeout=15s", bytes.NewReader(c.body))
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
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(raw, &review); err != nil {
		return fmt.Errorf("status %d: %w", resp.StatusCode, err)
	}
	if r := review.Response; r == nil || !r.Allowed || !bytes.Contains(r.Patch, []byte("@sha256:")) {
		return fmt.Errorf("not pinned: %s", raw)
	}
	return nil
}

// trusted is the caBundle of the webhook.
func (c *calls) trusted() (*x509.CertPool, error) {
	list, err := c.webhook.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	for _, configuration := range list {
		for _, w := range configuration.Webhooks {
			if s := w.ClientConfig.Service; s != nil && s.Namespace == c.service {
				pool := x509.NewCertPool()
				if !pool.AppendCertsFromPEM(w.ClientConfig.CABundle) {
					return nil, errors.New("the webhook has no caBundle")
				}
				return pool, nil
			}
		}
	}
	return nil, errors.New("there is no webhook")
}

func (c *calls) count(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	if err != nil {
		c.lost[err.Error()]++
	}
}

func (c *calls) stop() {
	c.cancel()
	c.done.Wait()
}

// end stops them, prints what they came to, and fails the test for each that failed.
func (c *calls) end(t *testing.T, during string) {
	t.Helper()
	c.stop()
	took, lost := time.Since(c.began).Seconds(), 0
	for message, n := range c.lost {
		lost += n
		t.Errorf("%s: %d calls of the webhook failed: %s", during, n, message)
	}
	fmt.Printf("FIGURE %s: %d calls of the webhook, each over a new connection, in %.0f s (%.0f a second), %d failed\n", //nolint:forbidigo // a figure
		during, c.asked, took, float64(c.asked)/took, lost)
}
