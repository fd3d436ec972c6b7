package replicas

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/imagegate/imagegate/e2e/pki"
	"github.com/imagegate/imagegate/e2e/process"
	"github.com/imagegate/imagegate/e2e/registry"
)

// Role is what a provider does.
type Role string

// The roles.
const (
	All    Role = "all"
	API    Role = "api"
	Worker Role = "worker"
)

// startTimeout bounds the wait until a provider is ready: one of three waits for
// the others, and reads what it has stored.
const startTimeout = 2 * time.Minute

// Options of a fleet. Program is required.
type Options struct {
	// Program is the provider's binary.
	Program string
	// Dir is for configuration, data and logs.
	Dir string
	// Scans is how many each provider makes at once that scans at all; zero: 4.
	Scans int
	// Change has the last word on each provider's configuration; nil: nobody has.
	Change func(n *Node, c Config)
}

// Config is a provider's configuration as it is written. Its sections are Configs.
type Config map[string]any

// Section returns the section of the path, which is made if need be.
func (c Config) Section(path ...string) Config {
	for _, name := range path {
		next, ok := c[name].(Config)
		if !ok {
			next = Config{}
			c[name] = next
		}
		c = next
	}
	return c
}

// Fleet is a registry, a scanner and any number of providers.
type Fleet struct {
	Registry *registry.Registry
	Scanner  *Scanner
	Client   *Client
	Nodes    []*Node

	o         Options
	authority *pki.Authority
	docker    string
	closers   []func()
}

// NewFleet starts what providers need, and no provider yet.
func NewFleet(o Options) (_ *Fleet, err error) {
	if o.Scans == 0 {
		o.Scans = 4
	}
	f := &Fleet{o: o, docker: filepath.Join(o.Dir, "docker.json")}
	defer func() {
		if err != nil {
			f.Stop()
		}
	}()
	if f.authority, err = pki.New("imagegate replicas"); err != nil {
		return nil, err
	}
	if f.Client, err = NewClient(f.authority); err != nil {
		return nil, err
	}
	if f.Registry, err = registry.Start("imagegate", "a password"); err != nil {
		return nil, err
	}
	if f.Scanner, err = StartScanner(Behaviour{Takes: time.Second}); err != nil {
		return nil, err
	}
	auth, err := f.Registry.Auth().Authorization()
	if err != nil {
		return nil, fmt.Errorf("write registry credentials: %w", err)
	}
	return f, writeJSON(f.docker, map[string]any{"auths": map[string]any{f.Registry.Host(): map[string]string{
		"auth": base64.StdEncoding.EncodeToString([]byte(auth.Username + ":" + auth.Password)),
	}}})
}

// Stop ends everything.
func (f *Fleet) Stop() {
	for _, n := range f.Nodes {
		n.Kill()
	}
	for _, c := range f.closers {
		c()
	}
	if f.Client != nil {
		f.Client.Close()
	}
	if f.Scanner != nil {
		f.Scanner.Stop()
	}
	if f.Registry != nil {
		f.Registry.Down()
	}
}

// Node is one provider.
type Node struct {
	Name string
	Role Role
	URL  string
	// Data is the folder of what it keeps.
	Data string

	probes string // base URL
	spec   process.Spec
	proc   *process.Process
}

// Add writes the configuration of one more provider, which shares what it knows
// through the store that section store.nats describes; nil: with nobody.
func (f *Fleet) Add(name string, role Role, nats Config) (*Node, error) {
	ports, err := process.FreePorts(3)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(f.o.Dir, name)
	n := &Node{
		Name: name, Role: role, URL: "https://" + address(ports[0]), Data: filepath.Join(dir, "data"),
		probes: "http://" + address(ports[2]),
	}
	certs := filepath.Join(dir, "tls")
	if err := f.authority.WriteDir(certs, "imagegate-provider"); err != nil {
		return nil, err
	}
	c := Config{}
	c["dataDir"] = n.Data
	c.Section("server")["listen"], c.Section("server")["probes"] = address(ports[0]), address(ports[2])
	c.Section("server")["shutdownDelay"] = "0s" // what is stopped here is meant to stop
	maps.Copy(c.Section("server", "tls"), Config{
		"certFile": certs + "/tls.crt", "keyFile": certs + "/tls.key", "clientCAFile": certs + "/ca.crt", "clientAuth": "require",
	})
	c.Section("registry")["dockerConfig"] = f.docker
	c.Section("registry")["insecure"] = []string{f.Registry.Host()}
	maps.Copy(c.Section("scanner", "harbor"), Config{"url": f.Scanner.URL, "pollInterval": "200ms"})
	c.Section("scanner", "pullThrough")["listen"] = address(ports[1])
	// All images here are of one registry, which would have three workers of four.
	c.Section("scan")["workers"], c.Section("scan")["perRegistry"] = f.o.Scans, f.o.Scans
	c.Section("log")["level"] = "info"
	if role != All {
		c["role"] = string(role)
	}
	if nats != nil {
		c.Section("store")["nats"] = nats
	}
	if f.o.Change != nil {
		f.o.Change(n, c)
	}
	config := filepath.Join(dir, "provider.yaml")
	if err := writeJSON(config, c); err != nil { // JSON is YAML
		return nil, err
	}
	n.spec = process.Spec{Name: name, Path: f.o.Program, Args: []string{"serve", "--config=" + config}, Dir: dir, Logs: filepath.Join(f.o.Dir, "logs")}
	f.Nodes = append(f.Nodes, n)
	return n, nil
}

// Start starts providers at once, and waits until all are ready.
func (f *Fleet) Start(ctx context.Context, nodes ...*Node) error {
	for _, n := range nodes {
		if err := n.Launch(); err != nil {
			return err
		}
	}
	for _, n := range nodes {
		if err := n.Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Providers are the base URLs of those who answer.
func (f *Fleet) Providers() (urls []string) {
	for _, n := range f.Nodes {
		if n.Role != Worker {
			urls = append(urls, n.URL)
		}
	}
	return urls
}

// Launch starts the provider and does not wait.
func (n *Node) Launch() (err error) {
	if n.proc != nil {
		return fmt.Errorf("start %s: it is running already", n.Name)
	}
	n.proc, err = process.Start(n.spec)
	return err
}

// Become makes the provider another program when it is started the next time.
func (n *Node) Become(program string) { n.spec.Path = program }

// Ready waits until the provider says that it is.
func (n *Node) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return n.proc.Ready(ctx, process.Healthy(n.probes+"/readyz"))
}

// Asked returns nil while the provider says that it should be asked.
func (n *Node) Asked(ctx context.Context) error { return process.Healthy(n.probes + "/readyz")(ctx) }

// Probes is where it says how it is, over plain HTTP.
func (n *Node) Probes() string { return n.probes }

// Kill ends the provider as kill -9 does. One that does not run stays so.
func (n *Node) Kill() {
	if n.proc != nil {
		n.proc.Kill()
		n.proc = nil
	}
}

// Stop ends the provider as Kubernetes does, and reports whether it ended by itself
// rather than by being killed.
func (n *Node) Stop() (ended bool) {
	if n.proc == nil {
		return true
	}
	ended = n.proc.Stop(30 * time.Second)
	n.proc = nil
	return ended
}

// Running reports whether it has been started and has not ended by itself.
func (n *Node) Running() bool { return n.proc != nil && n.proc.Dead() == nil }

// Resident returns the provider's resident memory in bytes.
func (n *Node) Resident() (int64, error) {
	if n.proc == nil {
		return 0, errors.New(n.Name + " does not run")
	}
	return n.proc.Resident()
}

// Log returns the end of the provider's log.
func (n *Node) Log(bytes int64) string {
	return process.Tail(filepath.Join(n.spec.Logs, n.spec.Name+".log"), bytes)
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func address(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }
