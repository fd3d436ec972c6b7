package system

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/e2e/cluster"
)

// Unpinned is a label that a namespace carries, with any value, to be left out
// by the mutating webhook: its Pods reach validation as they were written.
const Unpinned = "imagegate.dev/unpinned"

// providerTimeout is the Provider's timeout in seconds: over the provider's
// own budget and under the validating webhook's timeout.
const providerTimeout = 2

// register tells Gatekeeper about the provider and the templates, and the API
// server about the mutating webhook.
func (s *System) register(ctx context.Context) error {
	bundle := base64.StdEncoding.EncodeToString(s.opts.Cluster.Webhooks.PEM)
	if err := s.opts.Cluster.Apply(ctx, fmt.Sprintf(`
apiVersion: externaldata.gatekeeper.sh/v1beta1
kind: Provider
metadata: {name: imagegate-provider}
spec:
  url: %s/scan-reports
  timeout: %d
  caBundle: %s
`, s.Provider.URL, providerTimeout, bundle)); err != nil {
		return fmt.Errorf("register the provider: %w", err)
	}
	if err := s.opts.Cluster.WaitTaken(ctx, cluster.Providers, "imagegate-provider"); err != nil {
		return err
	}
	if err := s.applyTemplates(ctx); err != nil {
		return err
	}
	// The webhook comes last: from here on Pods need all of the above.
	if err := s.opts.Cluster.Apply(ctx, fmt.Sprintf(webhook, s.Mutator.URL, bundle, Unpinned)); err != nil {
		return fmt.Errorf("register the mutating webhook: %w", err)
	}
	return nil
}

// webhook has the order URL, CA bundle, label. The timeout is over what the
// mutator waits for a scan.
const webhook = `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: imagegate-mutator}
webhooks:
- name: mutation.imagegate.dev
  admissionReviewVersions: [v1]
  sideEffects: NoneOnDryRun
  failurePolicy: Fail
  reinvocationPolicy: IfNeeded
  timeoutSeconds: 15
  clientConfig:
    url: %s/mutate
    caBundle: %s
  rules:
  - apiGroups: [""]
    apiVersions: [v1]
    operations: [CREATE, UPDATE]
    resources: [pods, pods/ephemeralcontainers]
  namespaceSelector:
    matchExpressions:
    - {key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system, gatekeeper-system, imagegate-system]}
    - {key: %s, operator: DoesNotExist}
`

// applyTemplates applies every generated ConstraintTemplate of the repository
// and waits until Gatekeeper uses them.
func (s *System) applyTemplates(ctx context.Context) error {
	files, err := filepath.Glob(filepath.Join(s.opts.Root, "templates", "*", "template.yaml"))
	if err != nil {
		return fmt.Errorf("find the templates: %w", err)
	}
	var names []string
	var manifests string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read the templates: %w", err)
		}
		obj := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(data, &obj.Object); err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		names = append(names, obj.GetName())
		manifests += "---\n" + string(data)
	}
	if len(names) == 0 {
		return fmt.Errorf("no template.yaml under %s/templates", s.opts.Root)
	}
	if err := s.opts.Cluster.Apply(ctx, manifests); err != nil {
		return fmt.Errorf("apply the templates: %w", err)
	}
	for _, name := range names {
		if err := s.opts.Cluster.WaitTaken(ctx, cluster.Templates, name); err != nil {
			return err
		}
	}
	return nil
}

// ApplyConstraint applies a ready Constraint, a folder of the repository's
// constraints, after edit (may be nil) has changed it, and waits until
// Gatekeeper enforces it.
func (s *System) ApplyConstraint(ctx context.Context, folder string, edit func(*unstructured.Unstructured) error) error {
	data, err := os.ReadFile(filepath.Join(s.opts.Root, "constraints", folder, "constraint.yaml"))
	if err != nil {
		return fmt.Errorf("read constraint %s: %w", folder, err)
	}
	obj := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(data, &obj.Object); err != nil {
		return fmt.Errorf("read constraint %s: %w", folder, err)
	}
	if edit != nil {
		if err := edit(obj); err != nil {
			return fmt.Errorf("edit constraint %s: %w", folder, err)
		}
	}
	manifest, err := yaml.Marshal(obj.Object)
	if err != nil {
		return fmt.Errorf("write constraint %s: %w", folder, err)
	}
	if err := s.opts.Cluster.Apply(ctx, string(manifest)); err != nil {
		return fmt.Errorf("apply constraint %s: %w", folder, err)
	}
	return s.opts.Cluster.WaitTaken(ctx, cluster.ConstraintsOf(obj.GetKind()), obj.GetName())
}
