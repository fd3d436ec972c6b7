package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/imagegate/imagegate/e2e/node"
)

// onNode tells the story of an installed imagegate: its images are pulled, its chart
// is installed, its Pods run.
func onNode(keep bool) int {
	return node.Main(func(ctx context.Context, n *node.Node) int {
		s := &installed{voice: voice{run: n.Kubectl.Run, out: os.Stdout}, node: n}
		if err := s.tell(ctx); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, "demo:", err)
			return 1
		}
		if keep {
			s.chapter("It runs until Ctrl-C. In another terminal, as root")
			_, _ = fmt.Fprintf(s.out, "  nsenter -t $(pgrep -o -x kubelet) -a env KUBECONFIG=%s %s get pods -A\n", n.Kubectl.Kubeconfig, n.Kubectl.Path)
			<-ctx.Done()
		}
		return 0
	})
}

type installed struct {
	voice
	node *node.Node
}

func (s *installed) tell(ctx context.Context) error {
	const version, namespace = "0.0.1", "imagegate-system"
	n := s.node
	s.chapter("Images and chart are made of this working tree, and pushed to the registry of a new node")
	if err := n.Publish(ctx, version); err != nil {
		return err
	}
	for name, binary := range map[string]string{"app": n.Programs().App, "vulnerable": n.Programs().Vulnerable} {
		if _, err := n.PushProgram(ctx, binary, "private/"+name, "1"); err != nil {
			return err
		}
	}
	if err := errors.Join(n.Prepare(ctx, namespace), n.Tenant(ctx, "shop")); err != nil {
		return err
	}
	s.chapter("Gatekeeper is installed by its own chart, imagegate by its own")
	if err := n.InstallGatekeeper(ctx, n.Helm(4)); err != nil {
		return err
	}
	install, err := n.Install("imagegate", namespace, version)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(s.out, "\n$ helm %s\n", strings.Join(install, " "))
	began := time.Now()
	if _, err := n.Helm(4).Run(ctx, install...); err != nil {
		return err
	}
	vulnerable := shop("bad", "vulnerable")
	for time.Since(began) < 2*time.Minute {
		out, err := s.run(ctx, nil, append(vulnerable, "--dry-run=server")...)
		if err != nil && strings.Contains(out, "scan result is 'reject'") {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.chapter(fmt.Sprintf("It is installed, and enforces %.1f s after `helm install`", time.Since(began).Seconds()))
	rejected := denied("scan result is 'reject'")
	for _, step := range []struct {
		chapter string
		want    wants
		args    []string
	}{
		{"", ok("imagegate"), []string{"get", "pods", "-A"}},
		{"An image without findings is pinned, admitted, pulled and run", ok("created"), shop("good", "app")},
		{"", ok(), []string{"-n", "shop", "wait", "--for=condition=Ready", "pod/good", "--timeout=60s"}},
		{"", ok("@sha256:"), []string{"-n", "shop", "get", "pod", "good", "-o", "jsonpath={.spec.containers[0].image}"}},
		{"One with findings is not", rejected, vulnerable},
		{"Nor is it beside a container that runs", rejected, []string{"-n", "shop", "debug", "good", "--image=" + node.Registry + "/private/vulnerable:1", "-q", "--", "/vulnerable"}},
		{"What the installation says of itself", ok("installation: ok"), []string{"-n", namespace, "exec", "deployment/imagegate", "-c", "provider", "--", "provider", "health"}},
	} {
		if step.chapter != "" {
			s.chapter(step.chapter)
		}
		if err := s.kubectl(ctx, step.want, step.args...); err != nil {
			return err
		}
	}
	s.chapter("It is taken out, and nobody is in the way")
	out, err := n.Helm(4).Run(ctx, "uninstall", "imagegate", "-n", namespace, "--wait")
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(s.out, "\n$ helm uninstall imagegate -n %s\n%s\n", namespace, out)
	return s.kubectl(ctx, ok("created"), vulnerable...)
}

// shop is a Pod of one container in the shop.
func shop(name, image string) []string {
	return []string{
		"-n", "shop", "run", name, "--image=" + node.Registry + "/private/" + image + ":1",
		`--overrides={"spec":{"imagePullSecrets":[{"name":"pull"}]}}`,
	}
}
