package node_test

import (
	"strings"
	"testing"
	"time"
)

func TestAPodRuns(t *testing.T) {
	image, err := on.PushProgram(t.Context(), on.Programs().App, "private/app", "1")
	if err != nil {
		t.Fatal(err)
	}
	if err := on.Kubectl.Apply(t.Context(), `
apiVersion: v1
kind: Namespace
metadata: {name: first}
---
apiVersion: v1
kind: Secret
metadata: {name: pull, namespace: first}
type: kubernetes.io/dockerconfigjson
stringData: {.dockerconfigjson: '{"auths": {"registry.example.com:5000": {"username": "puller", "password": "secret"}}}'}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: first}
spec:
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      imagePullSecrets: [{name: pull}]
      terminationGracePeriodSeconds: 1
      containers: [{name: app, image: "`+image+`", securityContext: {runAsUser: 4711}}]
`); err != nil {
		t.Fatal(err)
	}
	if err := on.Rollout(t.Context(), "first", "deployment/app", time.Minute); err != nil {
		t.Fatal(err)
	}
	out, err := on.Kubectl.Run(t.Context(), nil, "-n", "first", "exec", "deployment/app", "--", "/app", "who")
	if err != nil || !strings.Contains(out, "uid 4711") {
		t.Errorf("kubectl exec: %v\n%s", err, out)
	}
}
