package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/imagegate/imagegate/e2e/registry"
)

// standalone is a provider that was given next to no configuration.
type standalone struct {
	cmd   *exec.Cmd
	lines chan map[string]any
	seen  []map[string]any
}

// standAlone runs `provider serve` with the arguments and follows its log.
func standAlone(t *testing.T, args ...string) *standalone {
	t.Helper()
	s := &standalone{
		cmd:   exec.CommandContext(t.Context(), shared.Programs.Provider, append([]string{"serve"}, args...)...),
		lines: make(chan map[string]any, 1000),
	}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			var line map[string]any
			if json.Unmarshal(scanner.Bytes(), &line) == nil {
				s.lines <- line
			}
		}
	}()
	return s
}

// line waits for the log line with that message.
func (s *standalone) line(t *testing.T, message string) map[string]any {
	t.Helper()
	limit := time.After(patience)
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				t.Fatalf("it ended without saying %q: %v", message, s.seen)
			}
			s.seen = append(s.seen, line)
			if line["msg"] == message {
				return line
			}
		case <-limit:
			t.Fatalf("it does not say %q: %v", message, s.seen)
		}
	}
}

// localClient trusts the CA that the provider made, and shows the certificate
// beside it.
func localClient(t *testing.T, dir string) *http.Client {
	t.Helper()
	ca, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "client.crt"), filepath.Join(dir, "client.key"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// TestEmbeddedDefaults runs the provider as a newcomer does: it makes its own
// certificates, starts the bundled worker, says what it chose, and ends with
// all that it started. Only the vulnerability database is not the default one,
// which has to be downloaded.
func TestEmbeddedDefaults(t *testing.T) {
	vulnerable := sample(t, registry.Vulnerable)
	data := t.TempDir()
	s := standAlone(t, "--data-dir="+data, "--listen=127.0.0.1:0", "--shutdown-delay=3s", "--scanner-database=sample",
		"--insecure-registries="+shared.Registry.Host(), "--docker-config="+filepath.Join(shared.Dir, "system", "docker", "config.json"))
	worker := s.line(t, "bundled scanner started")
	serving := s.line(t, "serving")
	if serving["clientAuth"] != "require" || serving["severityThreshold"] != "High" || serving["reports"] != "NATS: the embedded server" ||
		serving["scanner"] != "bundled worker at "+worker["url"].(string) {
		t.Errorf("it says that it chose %v", serving)
	}
	said := fmt.Sprint(s.seen)
	for _, want := range []string{"using a self-signed one", "clients need the certificate made beside the server's", "SAMPLE vulnerability database"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q: %s", want, said)
		}
	}

	url := "https://" + serving["listen"].(string)
	client := localClient(t, filepath.Join(data, "tls"))
	eventually(t, patience, func() error {
		code, body, err := exchange(t.Context(), client, http.MethodGet, url+"/readyz", "")
		if err == nil && code != http.StatusOK {
			err = fmt.Errorf("status %d: %s", code, body)
		}
		return err
	})
	ask := fmt.Sprintf(`{"apiVersion":"externaldata.gatekeeper.sh/v1beta1","kind":"ProviderRequest","request":{"keys":[%q]}}`, vulnerable.Ref)
	code, body, err := exchange(t.Context(), client, http.MethodPost, url+"/scan-reports?wait=25s", ask)
	if err != nil || code != http.StatusOK || !strings.Contains(body, `"Status":"rejected"`) || !strings.Contains(body, advisory[0]) {
		t.Errorf("its answer: %d %s %v", code, body, err)
	}

	pid := int(worker["pid"].(float64))
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("the worker is not there: %v", err)
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	// It answers for a while, and says that it is not to be asked any more.
	s.line(t, "stopping")
	if code, body, err := exchange(t.Context(), client, http.MethodGet, url+"/readyz", ""); err != nil ||
		code != http.StatusServiceUnavailable || !strings.Contains(body, "shutting down") {
		t.Errorf("while it stops: %d %s %v", code, body, err)
	}
	s.line(t, "stopped")
	for range s.lines { // to the end of its output
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("its end: %v", err)
	}
	if err := syscall.Kill(pid, 0); err == nil {
		t.Error("the worker outlived the provider")
	}
}

func exchange(ctx context.Context, client *http.Client, method, url, body string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}
