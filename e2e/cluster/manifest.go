package cluster

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// gatekeeperManifest is Gatekeeper's release manifest, taken apart.
type gatekeeperManifest struct {
	static      string // YAML of what is applied as it is
	deployments []gatekeeperDeployment
	webhooks    []*unstructured.Unstructured
}

// gatekeeperDeployment is one of Gatekeeper's Deployments.
type gatekeeperDeployment struct {
	name   string
	spec   corev1.PodTemplateSpec
	args   []string
	serves bool // the webhooks
}

// unneeded kinds: they only make sense where containers run.
var unneeded = []string{"Service", "PodDisruptionBudget", "Secret", "ResourceQuota"}

func readManifest(path string) (gatekeeperManifest, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return gatekeeperManifest{}, fmt.Errorf("read Gatekeeper's manifest: %w", err)
	}
	var m gatekeeperManifest
	var static bytes.Buffer
	docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			m.static = static.String()
			return m, nil
		}
		if err != nil {
			return m, fmt.Errorf("read Gatekeeper's manifest: %w", err)
		}
		obj := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(doc, &obj.Object); err != nil {
			return m, fmt.Errorf("read Gatekeeper's manifest: %w", err)
		}
		switch kind := obj.GetKind(); {
		case kind == "Deployment":
			d, err := readDeployment(obj)
			if err != nil {
				return m, err
			}
			m.deployments = append(m.deployments, d)
		case strings.HasSuffix(kind, "WebhookConfiguration"):
			m.webhooks = append(m.webhooks, obj)
		case slices.Contains(unneeded, kind):
		default:
			_, _ = fmt.Fprintf(&static, "---\n%s", doc)
		}
	}
}

func readDeployment(obj *unstructured.Unstructured) (gatekeeperDeployment, error) {
	var d appsv1.Deployment
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, &d); err != nil {
		return gatekeeperDeployment{}, fmt.Errorf("read Gatekeeper's Deployment %s: %w", obj.GetName(), err)
	}
	args := d.Spec.Template.Spec.Containers[0].Args
	return gatekeeperDeployment{
		name: d.Name, spec: d.Spec.Template, args: args,
		serves: slices.Contains(args, "--operation=webhook"),
	}, nil
}

// pod returns what the Deployment would have made, without what needs a real
// scheduler.
func (d gatekeeperDeployment) pod() *corev1.Pod {
	spec := *d.spec.Spec.DeepCopy()
	spec.PriorityClassName = ""
	spec.Affinity = nil
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: d.name, Labels: d.spec.Labels},
		Spec:       spec,
	}
}

// installWebhooks applies Gatekeeper's webhook configurations, pointed at the
// process that serves them.
func (c *Cluster) installWebhooks(ctx context.Context, m gatekeeperManifest, url string) error {
	bundle := base64.StdEncoding.EncodeToString(c.Webhooks.PEM)
	var out bytes.Buffer
	for _, obj := range m.webhooks {
		hooks, _, err := unstructured.NestedSlice(obj.Object, "webhooks")
		if err != nil {
			return fmt.Errorf("read Gatekeeper's webhooks: %w", err)
		}
		for _, h := range hooks {
			hook, ok := h.(map[string]any)
			if !ok {
				return fmt.Errorf("read Gatekeeper's webhooks: a webhook of %s is no object", obj.GetName())
			}
			path, _, err := unstructured.NestedString(hook, "clientConfig", "service", "path")
			if err != nil {
				return fmt.Errorf("read Gatekeeper's webhooks: %w", err)
			}
			hook["clientConfig"] = map[string]any{"url": url + path, "caBundle": bundle}
			hook["failurePolicy"] = c.opts.Gatekeeper.FailurePolicy
			timeout := c.opts.Gatekeeper.ValidationTimeout
			if obj.GetKind() == "MutatingWebhookConfiguration" {
				timeout = c.opts.Gatekeeper.MutationTimeout
			}
			hook["timeoutSeconds"] = int64(timeout.Seconds())
		}
		if err := unstructured.SetNestedSlice(obj.Object, hooks, "webhooks"); err != nil {
			return fmt.Errorf("set Gatekeeper's webhooks: %w", err)
		}
		doc, err := yaml.Marshal(obj.Object)
		if err != nil {
			return fmt.Errorf("write Gatekeeper's webhooks: %w", err)
		}
		_, _ = fmt.Fprintf(&out, "---\n%s", doc)
	}
	return c.Apply(ctx, out.String())
}
