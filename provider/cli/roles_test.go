package cli

import (
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/tlsfiles/tlstest"
)

// TestARestartForgetsNothing: what a process held that was killed is in its
// folder. The folder is copied under it, which is the same and leaves the first
// to be stopped in order.
func TestARestartForgetsNothing(t *testing.T) {
	w := newWorld(t)
	release := w.adapter.hold()
	release()
	one := func(c *config.Config) {
		c.Scan.Workers, c.Scan.Negative.Transient.Duration, c.Scan.Negative.Initial.Duration, c.Scan.Negative.Max.Duration = 1, time.Hour, time.Hour, time.Hour
	}
	c := w.configured(t, one)
	first := start(t, c)
	finished, failed := w.push(t, "finished"), w.push(t, "failed")
	w.adapter.change(func(a *adapter) { a.refused["failed"] = true })
	if a := first.ask(t, finished, "team", 20*time.Second); a.Status != "accepted" {
		t.Fatalf("%+v\n%s", a, first.log)
	}
	if a := first.ask(t, failed, "team", 20*time.Second); a.Status != "scan_failed" {
		t.Fatalf("%+v", a)
	}
	release = w.adapter.hold()
	defer release()
	under, waiting := w.push(t, "under-way"), w.push(t, "waiting")
	for _, image := range []string{under, waiting} {
		if a := first.ask(t, image, "team", 100*time.Millisecond); a.Status != "report_not_available" {
			t.Fatalf("%+v", a)
		}
	}
	eventually(t, func() string {
		if got := w.adapter.scans(); !slices.Equal(got, []string{"finished", "failed", "under-way"}) {
			return fmt.Sprintf("scanned %v", got)
		}
		return ""
	})

	again := w.configured(t, one)
	copyFiles(t, again.DataDir, c.DataDir)
	second := start(t, again)
	if a := second.ask(t, finished, "team", 0); a.Status != "accepted" {
		t.Errorf("what was finished: %+v", a)
	}
	if a := second.ask(t, failed, "team", 0); a.Status != "scan_failed" || !strings.Contains(a.Message, "the next attempt is made when asked in") {
		t.Errorf("what had failed: %+v", a)
	}
	// Nobody asks for the rest again.
	eventually(t, func() string {
		if got := w.adapter.scans(); len(got) != 4 {
			return fmt.Sprintf("after the restart scanned %v", got)
		}
		return ""
	})
	first.end(t)
	release()
	eventually(t, func() string {
		got := slices.Sorted(slices.Values(w.adapter.scans()))
		if !slices.Equal(got, []string{"failed", "finished", "under-way", "under-way", "waiting"}) {
			return fmt.Sprintf("after the restart scanned %v", got)
		}
		return ""
	})
	for _, image := range []string{under, waiting} {
		if a := second.ask(t, image, "team", 20*time.Second); a.Status != "accepted" {
			t.Errorf("%s: %+v", image, a)
		}
	}
}

// copyFiles copies regular files as they are at one moment after another.
func copyFiles(t *testing.T, to, from string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return err
		}
		return os.WriteFile(target, b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTheRoles over one NATS: who answers does not scan, who scans answers
// nothing else, and what is missing is told and told apart.
func TestTheRoles(t *testing.T) {
	w := newWorld(t)
	storage := t.TempDir()
	nats := natsServer(t, storage, -1)
	port := nats.Addr().(*net.TCPAddr).Port
	role := func(r config.Role) func(*config.Config) {
		return func(c *config.Config) {
			c.Role, c.Store.NATS.URL, c.Server.Probes = r, nats.ClientURL(), "127.0.0.1:0"
		}
	}
	api := start(t, w.configured(t, role(config.RoleAPI)))
	front := "https://" + api.listen
	api.ready(t, front, http.StatusOK, "ready\n", "certificate: ok\n", "store: ok\n", "scanner: no scan worker is running; what is asked for waits\n")
	first, second := w.push(t, "first"), w.push(t, "second")
	if a := api.ask(t, first, "team", 100*time.Millisecond); a.Status != "report_not_available" || !strings.Contains(a.Message, "no scan worker is running now") {
		t.Errorf("without a worker: %+v", a)
	}
	if got := w.adapter.scans(); len(got) != 0 {
		t.Errorf("the api has scanned %v", got)
	}

	workerConfig := w.configured(t, role(config.RoleWorker))
	worker := start(t, workerConfig)
	if worker.listen != "" {
		t.Errorf("the worker listens on %s", worker.listen)
	}
	if _, err := os.Stat(filepath.Join(workerConfig.DataDir, "tls")); err == nil {
		t.Error("the worker has made certificates")
	}
	probes := "http://" + worker.probes
	worker.ready(t, probes, http.StatusOK, "ready\nstore: ok\nscanner: ok\n")
	if code, _ := worker.get(t, probes+"/scan-reports"); code != http.StatusNotFound {
		t.Errorf("the worker answers the protocol with %d", code)
	}
	if a := api.ask(t, first, "team", 20*time.Second); a.Status != "accepted" {
		t.Errorf("with a worker: %+v", a)
	}
	api.ready(t, "http://"+api.probes, http.StatusOK, "scanner: ok\n")

	// The scanner fails: the worker is out, the api is not.
	w.adapter.change(func(a *adapter) { a.down = true })
	worker.ready(t, probes, http.StatusServiceUnavailable, "store: ok\n", "scanner: ")
	if _, text := worker.get(t, probes+"/metrics"); !strings.Contains(text, `imagegate_part_ready{part="scanner"} 0`) || !strings.Contains(text, `imagegate_part_ready{part="store"} 1`) {
		t.Errorf("the worker's metrics:\n%s", text)
	}
	api.ready(t, front, http.StatusOK, "store: ok\n")
	w.adapter.change(func(a *adapter) { a.down = false })
	worker.ready(t, probes, http.StatusOK)

	// NATS fails: the api answers from memory and says what it cannot, the worker
	// is out.
	nats.Shutdown()
	nats.WaitForShutdown()
	api.ready(t, front, http.StatusOK, "certificate: ok\n", "store: NATS: not connected", "1 in memory")
	worker.ready(t, probes, http.StatusServiceUnavailable, "store: NATS: not connected")
	if a := api.ask(t, first, "team", time.Second); a.Status != "accepted" {
		t.Errorf("from memory: %+v", a)
	}
	if a := api.ask(t, second, "team", 10*time.Second); a.Status != "scan_failed" && a.Status != "report_not_available" {
		t.Errorf("what is not in memory: %+v", a)
	}
	natsServer(t, storage, port)
	worker.ready(t, probes, http.StatusOK, "store: ok\n")
	api.ready(t, front, http.StatusOK, "store: ok\n")
	eventually(t, func() string {
		if a := api.ask(t, second, "team", time.Second); a.Status != "accepted" {
			return fmt.Sprintf("when NATS is back: %+v", a)
		}
		return ""
	})

	// The last worker goes: what is known is answered.
	worker.end(t)
	api.ready(t, front, http.StatusOK, "scanner: no scan worker is running")
	if a := api.ask(t, second, "team", time.Second); a.Status != "accepted" {
		t.Errorf("without a worker: %+v", a)
	}
}

// TestThreeReplicasOfOneCluster of their embedded servers: the first waits for
// the others and says so, all are one provider, and two of them go on.
func TestThreeReplicasOfOneCluster(t *testing.T) {
	w := newWorld(t)
	authority := tlstest.NewCA(t, "nats")
	peers := map[string]string{}
	for i := range 3 {
		peers[fmt.Sprintf("node-%d", i)] = freeAddress(t)
	}
	node := func(i int) *config.Config {
		name := fmt.Sprintf("node-%d", i)
		dir := authority.Directory(t, name)
		return w.configured(t, func(c *config.Config) {
			c.Server.Probes = freeAddress(t)
			c.Store.NATS.Cluster = config.NATSCluster{Name: name, Peers: peers, Listen: peers[name], TLS: config.NATSTLS{
				CAFile: filepath.Join(dir, "ca.crt"), CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key"),
			}}
		})
	}
	first := node(0)
	waiting := launch(t, first)
	listens(t, first.Server.Probes)
	waiting.ready(t, "http://"+first.Server.Probes, http.StatusServiceUnavailable, "store: NATS: ", "node-1, node-2")
	replicas := []*running{waiting, launch(t, node(1)), launch(t, node(2))}
	for _, p := range replicas {
		p.serving(t)
	}
	image := w.push(t, "app")
	for _, p := range replicas {
		p.ready(t, "https://"+p.listen, http.StatusOK, "store: ok\n")
		if a := p.ask(t, image, "team", 20*time.Second); a.Status != "accepted" {
			t.Errorf("%+v", a)
		}
	}
	if got := w.adapter.scans(); len(got) != 1 {
		t.Errorf("%d scans of one image", len(got))
	}
	replicas[0].end(t)
	for _, p := range replicas[1:] {
		if a := p.ask(t, image, "team", time.Second); a.Status != "accepted" {
			t.Errorf("without the first: %+v", a)
		}
	}
	eventually(t, func() string {
		if a := replicas[1].ask(t, w.push(t, "other"), "team", 20*time.Second); a.Status != "accepted" {
			return fmt.Sprintf("without the first: %+v", a)
		}
		return ""
	})
}

// TestAnAPIWithoutReportsNeedsTheStore: nothing that it could say is known, and
// nothing that it were asked could be written down.
func TestAnAPIWithoutReportsNeedsTheStore(t *testing.T) {
	w := newWorld(t)
	storage := t.TempDir()
	nats := natsServer(t, storage, -1)
	api := start(t, w.configured(t, func(c *config.Config) { c.Role, c.Store.NATS.URL = config.RoleAPI, nats.ClientURL() }))
	api.ready(t, "https://"+api.listen, http.StatusOK)
	nats.Shutdown()
	nats.WaitForShutdown()
	api.ready(t, "https://"+api.listen, http.StatusServiceUnavailable, "not ready\n", "certificate: ok\n", "store: NATS: not connected")
}

// TestAProviderWithoutAScannerIsNeededForItsReports.
func TestAProviderWithoutAScannerIsNeededForItsReports(t *testing.T) {
	w := newWorld(t)
	w.adapter.change(func(a *adapter) { a.down = true })
	p := start(t, w.configured(t))
	front := "https://" + p.listen
	p.ready(t, front, http.StatusServiceUnavailable, "not ready\ncertificate: ok\nstore: ok\nscanner: ")
	w.adapter.change(func(a *adapter) { a.down = false })
	p.ready(t, front, http.StatusOK, "ready\ncertificate: ok\nstore: ok\nscanner: ok\n")
	if a := p.ask(t, w.push(t, "app"), "team", 20*time.Second); a.Status != "accepted" {
		t.Fatalf("%+v", a)
	}
	w.adapter.change(func(a *adapter) { a.down = true })
	p.ready(t, front, http.StatusOK, "ready\n", "scanner: the scanner")
}

// TestWhileTheStoreIsAwayAtTheStart the kubelet is answered, and so is Gatekeeper.
func TestWhileTheStoreIsAwayAtTheStart(t *testing.T) {
	w := newWorld(t)
	c := w.configured(t, func(c *config.Config) {
		c.Store.NATS.URL = "nats://127.0.0.1:1"
		c.Server.Listen, c.Server.Probes = freeAddress(t), freeAddress(t)
	})
	p := launch(t, c)
	p.listen = c.Server.Listen
	listens(t, c.Server.Probes)
	p.ready(t, "http://"+c.Server.Probes, http.StatusServiceUnavailable, "not ready\n", "certificate: ok\n", "store: NATS: not connected", "scanner: it is being started")
	if code, _ := p.get(t, "http://"+c.Server.Probes+"/healthz"); code != http.StatusOK {
		t.Errorf("healthz: %d", code)
	}
	if a := p.ask(t, "nginx", "team", 0); a.Status != "system error" || !strings.Contains(a.Message, "is starting") {
		t.Errorf("%+v", a)
	}
	p.end(t)
}

// listens waits until somebody does.
func listens(t *testing.T, address string) {
	t.Helper()
	eventually(t, func() string {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err.Error()
		}
		_ = conn.Close()
		return ""
	})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// TestTwoProcessesOfOneFolder: with the store elsewhere they may share it, and
// are two replicas all the same; with the store in it the second says why not.
func TestTwoProcessesOfOneFolder(t *testing.T) {
	w := newWorld(t)
	nats := natsServer(t, t.TempDir(), -1)
	c := w.configured(t, func(c *config.Config) { c.Store.NATS.URL = nats.ClientURL() })
	one, two := *c, *c
	first, second := start(t, &one), start(t, &two)
	if !strings.Contains(second.log.String(), "no admin socket") || strings.Contains(first.log.String(), "no admin socket") {
		t.Errorf("the second process says:\n%s", second.log)
	}
	image := w.push(t, "app")
	for _, p := range []*running{first, second} {
		if a := p.ask(t, image, "team", 20*time.Second); a.Status != "accepted" {
			t.Errorf("%+v", a)
		}
	}
	if got := w.adapter.scans(); len(got) != 1 {
		t.Errorf("%d scans", len(got))
	}
	second.end(t)
	if _, err := os.Stat(filepath.Join(c.DataDir, "admin.sock")); err != nil {
		t.Errorf("the second process took the first's socket with it: %v", err)
	}

	own := w.configured(t)
	start(t, own)
	other := *own
	p := launch(t, &other)
	p.stop()
	p.stop = nil
	if err := <-p.returned; err != nil && !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("%v", err)
	}
	p = launch(t, &other)
	if err := <-p.returned; err == nil || !strings.Contains(err.Error(), "in use by another process") || !strings.Contains(err.Error(), own.DataDir) {
		t.Errorf("%v", err)
	}
	p.stop = nil
}

// TestWhatScansCountForElsewhere is what it is where they are made, or reports
// would not be found.
func TestWhatScansCountForElsewhere(t *testing.T) {
	foreign := config.Backend{Harbor: config.Harbor{URL: "http://127.0.0.1:1", Verify: config.VerifyOff}}
	anchore := config.Backend{Anchore: config.Anchore{URL: "http://127.0.0.1:1"}}
	for name, c := range map[string]config.Scanner{
		"an adapter":         {Backend: foreign},
		"a verified adapter": {Backend: config.Backend{Harbor: config.Harbor{URL: "http://127.0.0.1:1"}}},
		"Anchore":            {Backend: anchore},
		"routes":             {Backend: foreign, Routes: []config.ScannerRoute{{Prefix: "ghcr.io", Backend: anchore}}},
	} {
		var keys []string
		for _, role := range []config.Role{config.RoleAPI, config.RoleWorker} {
			p := newParts(discard())
			if err := p.startScanners(t.Context(), &config.Config{Role: role, Scanner: c}); err != nil {
				t.Fatal(err)
			}
			image := scannerImage()
			keys = append(keys, p.scanners.Sharing(image).Key(image))
			if err := p.close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if keys[0] != keys[1] {
			t.Errorf("%s: %v", name, keys)
		}
	}
	p := newParts(discard())
	if err := p.startScanners(t.Context(), &config.Config{Role: config.RoleAPI}); err != nil {
		t.Fatal(err)
	}
	if image := scannerImage(); p.worker != nil || p.scanners.Sharing(image).Key(image) != "sha256-0" {
		t.Errorf("without a scanner: %v, %s", p.worker, p.scanners.Sharing(image).Key(image))
	}
}
