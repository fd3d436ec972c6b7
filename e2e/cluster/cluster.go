// Package cluster runs a real Kubernetes control plane and a real Gatekeeper
// as processes on 127.0.0.1: etcd, kube-apiserver, kube-controller-manager,
// one node that runs nothing, and Gatekeeper's webhooks and audit. It exists so
// that admission can be tested as it happens, without containers.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/imagegate/imagegate/e2e/build"
	"github.com/imagegate/imagegate/e2e/pki"
	"github.com/imagegate/imagegate/e2e/process"
)

// Options of a cluster. Dir is required: state, logs and certificates go there.
type Options struct {
	Dir        string
	Binaries   build.ControlPlane
	Progress   io.Writer // nil: silent
	Gatekeeper Gatekeeper
	// Plugins is a folder of kubectl's plugins; may be empty.
	Plugins string
	// WithoutGatekeeper leaves Gatekeeper to InstallGatekeeper.
	WithoutGatekeeper bool
}

// Cluster is a running cluster. Its clients act as a cluster administrator.
type Cluster struct {
	Config     *rest.Config
	Client     kubernetes.Interface
	Dynamic    dynamic.Interface
	Kubeconfig string // path of a file for kubectl
	// Webhooks is the authority behind the certificates of all that Gatekeeper
	// and the API server call: webhooks and providers.
	Webhooks *pki.Authority

	opts      Options
	identity  *pki.Authority // signs the API server's clients
	server    string         // URL of the API server
	etcd      string         // URL
	tokenKey  string         // path of the key that signs service account tokens
	processes []*process.Process
	// gatekeeper has those of them that are Gatekeeper's.
	gatekeeper []*process.Process
	stopNode   context.CancelFunc
	nodeDone   chan struct{}
}

// Start brings a cluster up and returns when Gatekeeper's webhooks decide on
// requests. On an error nothing is left running.
func Start(ctx context.Context, opts Options) (_ *Cluster, err error) {
	if opts.Progress == nil {
		opts.Progress = io.Discard
	}
	opts.Gatekeeper = opts.Gatekeeper.withDefaults()
	c := &Cluster{opts: opts}
	defer func() {
		if err != nil {
			c.Stop()
		}
	}()
	if c.identity, err = pki.New("imagegate-e2e-kubernetes"); err != nil {
		return nil, err
	}
	if c.Webhooks, err = pki.New("imagegate-e2e-webhooks"); err != nil {
		return nil, err
	}
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"etcd", c.startEtcd},
		{"kube-apiserver", c.startAPIServer},
		{"kube-controller-manager", c.startControllerManager},
		{"node", c.startNode},
		{"gatekeeper", c.InstallGatekeeper},
	} {
		if step.name == "gatekeeper" && opts.WithoutGatekeeper {
			continue
		}
		began := time.Now()
		if err := step.run(ctx); err != nil {
			return nil, fmt.Errorf("start %s: %w", step.name, err)
		}
		_, _ = fmt.Fprintf(opts.Progress, "start  %-24s %.1f s\n", step.name, time.Since(began).Seconds())
	}
	return c, nil
}

// Stop ends the cluster at once. What it wrote stays in Options.Dir.
func (c *Cluster) Stop() {
	if c.stopNode != nil {
		c.stopNode()
		<-c.nodeDone
	}
	for i := len(c.processes) - 1; i >= 0; i-- {
		c.processes[i].Kill()
	}
	c.processes = nil
}

// LogFiles returns the log file of each process.
func (c *Cluster) LogFiles() []string {
	files := make([]string, 0, len(c.processes))
	for _, p := range c.processes {
		files = append(files, p.Log)
	}
	return files
}

// Dead returns an error that names the processes that have ended though nobody
// stopped them, or nil.
func (c *Cluster) Dead() error {
	var errs []error
	for _, p := range c.processes {
		errs = append(errs, p.Dead())
	}
	return errors.Join(errs...)
}

// run starts a process of the cluster and remembers it for Stop.
func (c *Cluster) run(spec process.Spec) (*process.Process, error) {
	spec.Logs = filepath.Join(c.opts.Dir, "logs")
	p, err := process.Start(spec)
	if err != nil {
		return nil, err
	}
	c.processes = append(c.processes, p)
	return p, nil
}

// path of a file in the cluster's folder.
func (c *Cluster) path(elem ...string) string {
	return filepath.Join(append([]string{c.opts.Dir}, elem...)...)
}

// write puts a file into the cluster's folder and returns its path.
func (c *Cluster) write(name string, data []byte) (string, error) {
	path := c.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, data, 0o600)
}
