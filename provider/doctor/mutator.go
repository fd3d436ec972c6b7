package doctor

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/install/check"
	"github.com/imagegate/imagegate/provider/install/finding"
	"github.com/imagegate/imagegate/provider/install/webhooks"
)

// mutatorPins wants our webhook there, trusted, and waited for.
func mutatorPins(s *snapshot) (found []finding.Finding) {
	r := &s.Release
	if r.Webhook == "" || !s.Pinning.Done {
		return nil
	}
	object := "MutatingWebhookConfiguration " + r.Webhook
	c := s.Pinning.It
	if c == nil || len(c.Hooks) == 0 {
		return []finding.Finding{{
			ID: finding.WebhookNotPatched, Severity: finding.Error, Object: object,
			Message: object + " does not exist: no image is pinned", Command: s.commands().Imagegate,
		}}
	}
	for _, h := range c.Hooks {
		// Without a state nobody knows what should be there, which is said.
		if missing := lacks(h.Bundle, s.Authorities); missing != "" {
			found = append(found, finding.Finding{
				ID: finding.WebhookNotPatched, Severity: finding.Error, Object: object,
				Message: "the caBundle of " + object + " lacks " + missing + ", by which the mutator's certificate is verified: the API server cannot call it",
				Command: s.restart(),
			})
		}
		if least := max(r.Wait, r.ResolveTimeout); least > 0 && time.Duration(h.Timeout)*time.Second <= least {
			found = append(found, finding.Finding{
				ID: finding.MutatorShortTimeout, Severity: finding.Error, Object: object,
				Message: fmt.Sprintf("%s has timeoutSeconds %d, and the mutator may take %s (mutator.wait.duration, mutator.resolveTimeout): the API server does not wait for its answer", object, h.Timeout, least),
				Command: fmt.Sprintf("%s --set webhook.timeoutSeconds=%d", s.commands().Imagegate, min(int(least/time.Second)+5, 30)),
			})
		}
	}
	return append(found, check.Pinning(*c, s.commands())...)
}

// restart has a replica look at everything anew.
func (s *snapshot) restart() string {
	return fmt.Sprintf("kubectl -n %s delete lease %s-install", s.Release.Namespace, s.Release.Instance)
}

// lacks names an authority that the bundle does not have; empty: it has all.
func lacks(bundle, authorities []byte) string {
	have := readCertificates(bundle)
	for _, c := range readCertificates(authorities) {
		if !slices.ContainsFunc(have, c.Equal) {
			return fmt.Sprintf("the CA %s that ends at %s", c.Subject.CommonName, c.NotAfter.UTC().Format(time.RFC3339))
		}
	}
	return ""
}

func readCertificates(bundle []byte) (list []*x509.Certificate) {
	for rest := bundle; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return list
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			list = append(list, c)
		}
	}
}

func mutatorNamespaces(s *snapshot) []finding.Finding {
	if s.Pinning.It == nil || !s.Namespaces.Done {
		return nil
	}
	object := "MutatingWebhookConfiguration " + s.Pinning.It.Name
	return leftOut(s, s.Pinning.It.Hooks, finding.Finding{
		ID: finding.MutatorSkipsNamespaces, Severity: finding.Error, Object: object,
		Message: "no image is pinned in %s, which the namespaceSelector of " + object + " leaves out", Command: s.commands().Imagegate,
	})
}

// mutatorLast wants to be called again after others that may write images: webhooks are
// called in the order of their configurations' names.
func mutatorLast(s *snapshot) []finding.Finding {
	if s.Pinning.It == nil || !slices.ContainsFunc(s.Pinning.It.Hooks, func(h webhooks.Hook) bool { return !h.Reinvoked }) {
		return nil
	}
	var later []string
	for _, c := range s.Mutating.It {
		if c.Name > s.Pinning.It.Name && slices.ContainsFunc(c.Hooks, seesPods) {
			later = append(later, c.Name)
		}
	}
	if len(later) == 0 {
		return nil
	}
	object := "MutatingWebhookConfiguration " + s.Pinning.It.Name
	return []finding.Finding{{
		ID: finding.MutatorOverruled, Severity: finding.Warning, Object: object,
		Message: fmt.Sprintf("%s has reinvocationPolicy Never, and %s changes Pods after it: an image that is written there is not pinned", object, some(later)),
		Command: fmt.Sprintf(`kubectl patch mutatingwebhookconfiguration %s --type=json -p '[%s]'`, s.Pinning.It.Name, strings.Join(reinvoke(s.Pinning.It.Hooks), ",")),
	}}
}

func reinvoke(hooks []webhooks.Hook) (patches []string) {
	for i := range hooks {
		patches = append(patches, fmt.Sprintf(`{"op":"replace","path":"/webhooks/%d/reinvocationPolicy","value":"IfNeeded"}`, i))
	}
	return patches
}

func seesPods(h webhooks.Hook) bool {
	return slices.ContainsFunc(webhooks.PodRequests(), h.Sees)
}
