package tests

import (
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	mutator "github.com/imagegate/imagegate/mutator/config"
	provider "github.com/imagegate/imagegate/provider/config"
)

// The programs themselves read what the chart writes: each file that is named has to
// be in a volume that is mounted, each setting has to exist and to go with the others.
func TestTheProgramsTakeTheirConfiguration(t *testing.T) {
	t.Parallel()
	eachSet(t, func(t *testing.T, name string, values map[string]any) {
		list := objects(t, values)
		read := 0
		for _, w := range workloads(t, list) {
			for _, c := range w.pod.Spec.Containers {
				root := rootFS(t, list, &w.pod.Spec, &c)
				switch c.Name {
				case "provider":
					readProvider(t, root, &c, w.name)
					read++
				case "mutator":
					readMutator(t, root, &c)
					read++
				}
			}
		}
		if read == 0 {
			t.Error("there is no program to configure")
		}
		t.Logf("%s: %d configurations", name, read)
	})
}

// What is left of a Pod's time is for answers, unless nobody can take its place
// before its end.
func TestWhoEndsAnswersUntilAnotherDoes(t *testing.T) {
	t.Parallel()
	for values, want := range map[string]string{
		"{}":                                  "40s",
		"{replicaCount: 3}":                   "40s",
		"{terminationGracePeriodSeconds: 22}": "2s",
		"{terminationGracePeriodSeconds: 12}": "0s",
		"{persistence: {enabled: true}}":      "5s",
		"{shutdownDelay: 500ms}":              "45s",
	} {
		list := objects(t, parse(t, values))
		for _, name := range []string{"gate-imagegate-provider", "gate-imagegate-mutator"} {
			c := as[corev1.ConfigMap](t, one(t, list, "ConfigMap", name))
			server, _ := parse(t, c.Data["config.yaml"])["server"].(map[string]any)
			if got := server["shutdownLimit"]; got != want {
				t.Errorf("%s: %s has server.shutdownLimit %v, want %s", values, name, got, want)
			}
		}
	}
}

func readProvider(t *testing.T, root string, c *corev1.Container, workload string) {
	t.Helper()
	flags := pflag.NewFlagSet("provider", pflag.ContinueOnError)
	provider.AddFlags(flags)
	if err := flags.Parse(c.Args[1:]); err != nil {
		t.Fatal(err)
	}
	got, err := provider.Load(flags, environment(root, c, workload+"-0"))
	if err != nil {
		t.Errorf("the provider refuses its configuration: %v", err)
	}
	if got.Role != provider.RoleWorker && !got.Install.Enabled {
		t.Error("the provider would install nothing")
	}
}

func readMutator(t *testing.T, root string, c *corev1.Container) {
	t.Helper()
	flags := pflag.NewFlagSet("mutator", pflag.ContinueOnError)
	mutator.AddFlags(flags)
	args := slices.Clone(c.Args)
	for i := range args {
		args[i] = strings.Replace(args[i], "=/", "="+root+"/", 1)
	}
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	if _, err := mutator.Load(flags, environment(root, c, "")); err != nil {
		t.Errorf("the mutator refuses its configuration: %v", err)
	}
}

// environment is a container's, with its own files for those of the container.
func environment(root string, c *corev1.Container, pod string) func(string) (string, bool) {
	env := map[string]string{}
	for _, e := range c.Env {
		switch {
		case e.ValueFrom == nil:
			env[e.Name] = strings.Replace(e.Value, "/config/", root+"/config/", 1)
		case e.ValueFrom.FieldRef != nil && e.ValueFrom.FieldRef.FieldPath == "metadata.name":
			env[e.Name] = pod
		}
	}
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

// workload is a Deployment or StatefulSet.
type workload struct {
	name, kind string
	replicas   *int32
	selector   map[string]string
	pod        corev1.PodTemplateSpec
	claims     []corev1.PersistentVolumeClaim
}

func workloads(t *testing.T, list []*unstructured.Unstructured) []workload {
	t.Helper()
	var found []workload
	for _, u := range list {
		switch u.GetKind() {
		case "Deployment":
			d := as[appsv1.Deployment](t, u)
			found = append(found, workload{d.Name, u.GetKind(), d.Spec.Replicas, d.Spec.Selector.MatchLabels, d.Spec.Template, nil})
		case "StatefulSet":
			s := as[appsv1.StatefulSet](t, u)
			found = append(found, workload{s.Name, u.GetKind(), s.Spec.Replicas, s.Spec.Selector.MatchLabels, s.Spec.Template, s.Spec.VolumeClaimTemplates})
		}
	}
	if len(found) == 0 {
		t.Fatal("there is no workload")
	}
	return found
}

// rootFS makes what a container sees of its volumes. Whatever configuration says in
// there about paths is made to say where they are here.
func rootFS(t *testing.T, list []*unstructured.Unstructured, pod *corev1.PodSpec, c *corev1.Container) string {
	t.Helper()
	root := t.TempDir()
	texts := map[string]string{}
	for _, m := range c.VolumeMounts {
		files := volumeFiles(t, list, pod, m.Name)
		if err := os.MkdirAll(filepath.Join(root, m.MountPath), 0o750); err != nil {
			t.Fatal(err)
		}
		for name, content := range files {
			texts[path.Join(m.MountPath, name)] = content
		}
	}
	for name, content := range texts {
		if strings.HasPrefix(name, "/config/") {
			for _, m := range c.VolumeMounts {
				content = strings.ReplaceAll(content, ": "+m.MountPath+"/", ": "+root+m.MountPath+"/")
				content = strings.ReplaceAll(content, "- "+m.MountPath+"/", "- "+root+m.MountPath+"/")
			}
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// volumeFiles are those of a volume, as far as they are known when it is rendered.
func volumeFiles(t *testing.T, list []*unstructured.Unstructured, pod *corev1.PodSpec, name string) map[string]string {
	t.Helper()
	i := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == name })
	if i < 0 {
		if name == "data" {
			return nil // a claim's
		}
		t.Fatalf("there is no volume %s", name)
	}
	v := pod.Volumes[i]
	switch {
	case v.ConfigMap != nil && !given(v.ConfigMap.Name):
		data := as[corev1.ConfigMap](t, one(t, list, "ConfigMap", v.ConfigMap.Name)).Data
		return picked(t, data, v.ConfigMap.Items)
	case v.ConfigMap != nil:
		return picked(t, nil, v.ConfigMap.Items)
	case v.Secret != nil:
		if len(v.Secret.Items) == 0 {
			return map[string]string{"ca.crt": "given", "tls.crt": "given", "tls.key": "given"}
		}
		return picked(t, nil, v.Secret.Items)
	}
	return nil
}

// given are objects that are not the chart's.
func given(name string) bool {
	return strings.HasPrefix(name, "gatekeeper") || strings.HasPrefix(name, "corporate")
}

func picked(t *testing.T, data map[string]string, items []corev1.KeyToPath) map[string]string {
	t.Helper()
	if len(items) == 0 {
		return maps.Clone(data)
	}
	out := map[string]string{}
	for _, i := range items {
		content, ok := data[i.Key]
		if data != nil && !ok {
			t.Errorf("there is no key %s", i.Key)
		}
		if data == nil {
			content = "given"
		}
		out[i.Path] = content
	}
	return out
}
