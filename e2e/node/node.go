package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/imagegate/imagegate/e2e/build"
	"github.com/imagegate/imagegate/e2e/kubectl"
	"github.com/imagegate/imagegate/e2e/pki"
	"github.com/imagegate/imagegate/e2e/process"
)

// startTimeout bounds the wait for one part; a loaded machine is slow.
const startTimeout = 2 * time.Minute

// Node is a running cluster of one node. Its clients act as an administrator.
type Node struct {
	// Root is the repository's.
	Root    string
	Config  *rest.Config
	Client  kubernetes.Interface
	Dynamic dynamic.Interface
	Kubectl kubectl.Kubectl

	dir         string
	cgroup      string
	controllers build.ControlPlane
	programs    build.NodePrograms
	progress    io.Writer
	identity    *pki.Authority
	registry    *http.Server
	pushing     []remote.Option
	processes   []*process.Process
	kubelet     *process.Process
}

// start brings all of it up inside of the namespaces.
func start(ctx context.Context, s stage, progress io.Writer) (_ *Node, err error) {
	n := &Node{Root: s.Root, dir: filepath.Join(s.Dir, "node"), cgroup: s.Cgroup, controllers: s.Cluster, programs: s.Node, progress: progress}
	defer func() {
		if err != nil {
			n.stop()
		}
	}()
	if err := os.MkdirAll(n.dir, 0o755); err != nil { //nolint:gosec // containers of any user pass through
		return nil, err
	}
	if n.identity, err = pki.New("imagegate-e2e-node"); err != nil {
		return nil, err
	}
	began := time.Now()
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"mounts", func(context.Context) error { return n.mount() }},
		{"network", func(context.Context) error { return n.connect() }},
		{"registry", func(ctx context.Context) error {
			if err := n.startRegistry(); err != nil {
				return err
			}
			_, err := n.PushProgram(ctx, n.programs.Pause, "pause", "1")
			return err
		}},
		{"containerd", n.startContainerd},
		{"etcd", n.startEtcd},
		{"kube-apiserver", n.startAPIServer},
		{"controllers", n.startControllers},
		{"kubelet", func(ctx context.Context) error { return n.StartKubelet(ctx, 2*time.Second) }},
		{"kube-proxy", n.startProxy},
		{"coredns", n.startDNS},
	} {
		if err := step.run(ctx); err != nil {
			return nil, fmt.Errorf("start a node: %s: %w", step.name, err)
		}
		_, _ = fmt.Fprintf(progress, "node   %-24s %.1f s\n", step.name, time.Since(began).Seconds())
	}
	return n, nil
}

// stop ends the processes. What it leaves the end of the namespaces takes.
func (n *Node) stop() {
	for i := len(n.processes) - 1; i >= 0; i-- {
		n.processes[i].Kill()
	}
	if n.registry != nil {
		_ = n.registry.Close()
	}
}

// Dead returns an error that names the processes of the node that have ended, or
// nil.
func (n *Node) Dead() error {
	var errs []error
	for _, p := range n.processes {
		errs = append(errs, p.Dead())
	}
	return errors.Join(errs...)
}

// LogFiles are those of the node's own processes.
func (n *Node) LogFiles() []string {
	files := make([]string, 0, len(n.processes))
	for _, p := range n.processes {
		files = append(files, p.Log)
	}
	return files
}

func (n *Node) path(elem ...string) string { return filepath.Join(append([]string{n.dir}, elem...)...) }

// Programs are those that the node is made of.
func (n *Node) Programs() build.NodePrograms { return n.programs }

func (n *Node) write(name, content string) error {
	if err := os.MkdirAll(filepath.Dir(n.path(name)), 0o755); err != nil { //nolint:gosec // containerd's shims read it
		return err
	}
	return os.WriteFile(n.path(name), []byte(content), 0o600)
}

func (n *Node) run(name, program string, env []string, args ...string) (*process.Process, error) {
	p, err := process.Start(process.Spec{Name: name, Path: program, Args: args, Env: env, Logs: n.path("logs")})
	if err == nil {
		n.processes = append(n.processes, p)
	}
	return p, err
}

func ready(ctx context.Context, p *process.Process, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return p.Ready(ctx, check)
}

// administer makes the administrator's clients.
func (n *Node) administer() error {
	n.Kubectl = kubectl.Kubectl{Path: n.controllers.Kubectl, Kubeconfig: n.path("admin.kubeconfig"), Cache: n.path("kubectl-cache")}
	if err := n.kubeconfig("admin", "kubernetes-admin", "system:masters"); err != nil {
		return err
	}
	var err error
	if n.Config, err = clientcmd.BuildConfigFromFlags("", n.Kubectl.Kubeconfig); err != nil {
		return err
	}
	n.Config.QPS, n.Config.Burst = 500, 1000 // tests poll, and make load
	n.Config.WarningHandler = rest.NoWarnings{}
	if n.Client, err = kubernetes.NewForConfig(n.Config); err != nil {
		return err
	}
	n.Dynamic, err = dynamic.NewForConfig(n.Config)
	return err
}

func (n *Node) kubeconfig(file, user string, groups ...string) error {
	return kubectl.Config(n.path(file+".kubeconfig"), "https://"+address+":6443", n.identity, user, groups...)
}

// nodeReady is whether the API server has the node as one that takes Pods.
func (n *Node) nodeReady(ctx context.Context) error {
	node, err := n.Client.CoreV1().Nodes().Get(ctx, Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return errors.New("the node is not ready")
}
