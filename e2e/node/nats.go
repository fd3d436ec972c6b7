package node

import (
	"context"
	"fmt"
)

// NATS is the address of what InstallNATS installs.
const NATS = "nats://nats.nats.svc:4222"

// InstallNATS installs a NATS server with JetStream of its own, as a cluster has one
// that many share.
func (n *Node) InstallNATS(ctx context.Context) error {
	image, err := n.PushProgram(ctx, n.programs.NATS, "nats", "1")
	if err != nil {
		return err
	}
	if err := n.Kubectl.Apply(ctx, `
apiVersion: v1
kind: Namespace
metadata: {name: nats}
---
apiVersion: v1
kind: Service
metadata: {name: nats, namespace: nats}
spec: {selector: {app: nats}, ports: [{name: client, port: 4222}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: nats, namespace: nats}
spec:
  strategy: {type: Recreate}
  selector: {matchLabels: {app: nats}}
  template:
    metadata: {labels: {app: nats}}
    spec:
      securityContext: {fsGroup: 65532}
      containers:
      - name: nats
        image: `+image+`
        args: [--jetstream, --store_dir=/data, --http_port=8222]
        readinessProbe: {httpGet: {path: /healthz, port: 8222}, periodSeconds: 1}
        volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, emptyDir: {}}]
`); err != nil {
		return fmt.Errorf("install NATS: %w", err)
	}
	if err := n.must(ctx, "-n", "nats", "rollout", "status", "deployment/nats", "--timeout=2m"); err != nil {
		return fmt.Errorf("install NATS: %w\n%s", err, n.Look(ctx, "nats"))
	}
	return nil
}
