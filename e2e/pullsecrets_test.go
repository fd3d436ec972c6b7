package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/e2e/registry"
	"github.com/imagegate/imagegate/e2e/system"
)

// providerUser is who the provider is to the API server in this test.
const providerUser = "system:serviceaccount:imagegate-system:imagegate-provider"

// pullUser is the user of the private registry.
const pullUser = "team"

// providerRole lets the provider read what names credentials.
const providerRole = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: imagegate-pull-secrets}
rules:
- {apiGroups: [""], resources: [secrets, serviceaccounts], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: imagegate-pull-secrets}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: imagegate-pull-secrets}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: "` + providerUser + `"}
`

// A private image runs in the namespaces whose own credentials open it, named
// by the Pod or by its service account, and nowhere else: not even where it has
// been scanned for another namespace.
func TestPullSecretsOpenPrivateImages(t *testing.T) {
	const password = "only the team knows"
	private, err := registry.Start(pullUser, password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(private.Down)
	img, err := private.Push(t.Context(), image(t, registry.Fixed), "team/app", "v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := shared.Cluster.Apply(t.Context(), providerRole); err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := shared.Cluster.User(providerUser)
	if err != nil {
		t.Fatal(err)
	}
	restart(t, shared.System.Provider, "--pull-secrets", "--kubeconfig="+kubeconfig,
		"--insecure-registries="+shared.Registry.Host()+","+private.Host())

	for _, tc := range []struct {
		name, spec string
		host       string // that the namespace has credentials for
		password   string
		denied     bool
	}{
		{"no secret", "", "", "", true},
		{"secret of the pod", "imagePullSecrets: [{name: pull}]", private.Host(), password, false},
		{"secret of the service account", "serviceAccountName: builder", private.Host(), password, false},
		{"secret that is not named", "", private.Host(), password, true},
		{"secret of another registry", "imagePullSecrets: [{name: pull}]", shared.Registry.Host(), password, true},
		{"secret with a wrong password", "imagePullSecrets: [{name: pull}]", private.Host(), "guessed", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, way := range []struct {
				name   string
				labels []string
			}{{"pinned", nil}, {"unpinned", []string{system.Unpinned}}} {
				t.Run(way.name, func(t *testing.T) {
					ns := namespace(t, denyPolicy, way.labels...)
					if tc.host != "" {
						pullSecret(t, ns, tc.host, tc.password)
					}
					a := settle(t, fmt.Sprintf("%s  %s\n", pod(ns, "app", img.Ref), tc.spec))
					if tc.denied {
						a.denied(t, "registry "+private.Host(), "no pull access")
						return
					}
					a.admitted(t)
				})
			}
		})
	}
}

// pullSecret makes the Secret pull with credentials for a registry, and the
// service account builder that names it.
func pullSecret(t *testing.T, ns, host, password string) {
	t.Helper()
	data, err := json.Marshal(map[string]any{"auths": map[string]any{host: map[string]string{
		"auth": base64.StdEncoding.EncodeToString([]byte(pullUser + ":" + password)),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	core := shared.Cluster.Client.CoreV1()
	if _, err := core.Secrets(ns).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "pull"},
		Type:       corev1.SecretTypeDockerConfigJson,
		Data:       map[string][]byte{corev1.DockerConfigJsonKey: data},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := core.ServiceAccounts(ns).Create(t.Context(), &corev1.ServiceAccount{
		ObjectMeta:       metav1.ObjectMeta{Name: "builder"},
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "pull"}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}
