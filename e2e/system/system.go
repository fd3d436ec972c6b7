// Package system runs imagegate on a test cluster: scanner, provider and
// mutator as the real programs with real certificates, registered with the API
// server and Gatekeeper the way an installation would. It exists so that tests
// and the demo exercise what users run, and can break each part on its own.
package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/imagegate/imagegate/e2e/build"
	"github.com/imagegate/imagegate/e2e/cluster"
	"github.com/imagegate/imagegate/e2e/process"
	"github.com/imagegate/imagegate/e2e/registry"
)

// Options of a system. All but Progress are required.
type Options struct {
	Root     string // of the repository
	Dir      string // for certificates, configuration, caches and logs
	Programs build.Programs
	Cluster  *cluster.Cluster
	Registry *registry.Registry
	Progress io.Writer // nil: silent
	// Inventory has the provider follow which images run, and remember which were not
	// let in.
	Inventory bool
}

// System is imagegate running on a cluster.
type System struct {
	Scanner, Provider, Mutator *Part
	// Pages is where the provider shows people what it knows: http://host:port.
	Pages string

	opts         Options
	dockerConfig string
}

// MutatorWait is how long the mutator waits for a scan in this system, a
// little more than its default, so that a scan of 8 s fits on a busy machine.
const MutatorWait = 13 * time.Second

// Names of the folders, under Options.Dir, that hold each part's certificate.
const (
	providerCerts = "certs/provider"
	mutatorCerts  = "certs/mutator"
)

// Start runs the three programs and registers them. On an error nothing is
// left running.
func Start(ctx context.Context, opts Options) (_ *System, err error) {
	if opts.Progress == nil {
		opts.Progress = io.Discard
	}
	s := &System{opts: opts, dockerConfig: filepath.Join(opts.Dir, "docker", "config.json")}
	defer func() {
		if err != nil {
			s.Stop()
		}
	}()
	if err := s.prepare(); err != nil {
		return nil, err
	}
	for _, p := range s.parts() {
		began := time.Now()
		if err := p.Start(ctx); err != nil {
			return nil, err
		}
		_, _ = fmt.Fprintf(opts.Progress, "start  %-24s %.1f s\n", p.spec.Name, time.Since(began).Seconds())
	}
	began := time.Now()
	if err := s.register(ctx); err != nil {
		return nil, err
	}
	_, _ = fmt.Fprintf(opts.Progress, "start  %-24s %.1f s\n", "templates, webhook", time.Since(began).Seconds())
	return s, nil
}

// Stop ends the programs.
func (s *System) Stop() {
	for _, p := range []*Part{s.Mutator, s.Provider, s.Scanner} {
		if p != nil {
			p.Stop()
		}
	}
}

// Dead returns an error that names the programs that have ended though nobody
// stopped them, or nil.
func (s *System) Dead() error {
	var errs []error
	for _, p := range s.parts() {
		if p.proc != nil {
			errs = append(errs, p.proc.Dead())
		}
	}
	return errors.Join(errs...)
}

func (s *System) parts() []*Part { return []*Part{s.Scanner, s.Provider, s.Mutator} }

// LogFiles returns the log file of each program.
func (s *System) LogFiles() []string {
	parts := s.parts()
	files := make([]string, 0, len(parts))
	for _, p := range parts {
		files = append(files, filepath.Join(p.spec.Logs, p.spec.Name+".log"))
	}
	return files
}

// prepare issues certificates, writes configuration and decides the command
// lines. Ports are chosen once: a part that is started again is found where it
// was.
func (s *System) prepare() error {
	ports, err := process.FreePorts(4)
	if err != nil {
		return err
	}
	for dir, name := range map[string]string{providerCerts: "imagegate-provider", mutatorCerts: "imagegate-mutator"} {
		if err := s.opts.Cluster.Webhooks.WriteDir(filepath.Join(s.opts.Dir, dir), name); err != nil {
			return err
		}
	}
	if err := s.WriteCredentials(); err != nil {
		return err
	}
	s.Pages = "http://" + address(ports[3])
	config, err := s.writeProviderConfig(ports)
	if err != nil {
		return err
	}
	settings, err := s.writeMutatorConfig()
	if err != nil {
		return err
	}
	scanner, provider, mutator := address(ports[0]), address(ports[1]), address(ports[2])
	s.Scanner = s.part("scanner", s.opts.Programs.Scanner, "http://"+scanner,
		"serve", "--listen="+scanner, "--cache-dir="+filepath.Join(s.opts.Dir, "scanner-cache"),
		"--db-sample", "--insecure-registries="+s.opts.Registry.Host())
	s.Provider = s.part("provider", s.opts.Programs.Provider, "https://"+provider,
		"serve", "--config="+config)
	certs := filepath.Join(s.opts.Dir, mutatorCerts)
	s.Mutator = s.part("mutator", s.opts.Programs.Mutator, "https://"+mutator,
		"--listen="+mutator, "--tls-cert="+certs+"/tls.crt", "--tls-key="+certs+"/tls.key",
		"--provider-url=https://"+provider, "--provider-ca="+certs+"/ca.crt",
		"--provider-client-cert="+certs+"/tls.crt", "--provider-client-key="+certs+"/tls.key",
		"--wait="+MutatorWait.String(), "--shutdown-delay=0s", "--config="+settings)
	return nil
}

// DockerConfig is the path of the docker configuration with the registry's
// credentials.
func (s *System) DockerConfig() string { return s.dockerConfig }

// WriteCredentials writes the registry's present credentials to the docker
// configuration that the provider reads.
func (s *System) WriteCredentials() error {
	data, err := s.opts.Registry.DockerConfig()
	if err != nil {
		return fmt.Errorf("write registry credentials: %w", err)
	}
	return writeFile(s.dockerConfig, data)
}

func (s *System) writeProviderConfig(ports []int) (string, error) {
	certs := filepath.Join(s.opts.Dir, providerCerts)
	data, err := json.Marshal(map[string]any{ // JSON is YAML
		"dataDir": filepath.Join(s.opts.Dir, "provider-data"),
		"server": map[string]any{
			"listen": address(ports[1]),
			// Tests that stop the provider mean now.
			"shutdownDelay": "0s",
			"tls": map[string]any{
				"certFile": certs + "/tls.crt", "keyFile": certs + "/tls.key",
				"clientCAFile": certs + "/ca.crt", "clientAuth": "require",
			},
		},
		"registry": map[string]any{
			"dockerConfig": s.dockerConfig,
			"insecure":     []string{s.opts.Registry.Host()},
			// Those who move a tag and look should not wait for long.
			"tagTTL": "3s",
		},
		"inventory": map[string]any{"enabled": s.opts.Inventory, "kubeconfig": s.opts.Cluster.Kubeconfig},
		"view":      map[string]any{"listen": address(ports[3])},
		"scanner":   map[string]any{"harbor": map[string]any{"url": "http://" + address(ports[0])}},
		"log":       map[string]any{"level": "debug"},
	})
	if err != nil {
		return "", fmt.Errorf("write the provider's configuration: %w", err)
	}
	path := filepath.Join(s.opts.Dir, "provider.yaml")
	return path, writeFile(path, data)
}

// writeMutatorConfig writes what the mutator has no flags for.
func (s *System) writeMutatorConfig() (string, error) {
	data, err := json.Marshal(map[string]any{"provider": map[string]any{"attempts": s.opts.Inventory}})
	if err != nil {
		return "", fmt.Errorf("write the mutator's configuration: %w", err)
	}
	path := filepath.Join(s.opts.Dir, "mutator.yaml")
	return path, writeFile(path, data)
}

func writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	// Renamed into place: the provider may be reading.
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func address(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }
