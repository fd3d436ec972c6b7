package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/imagegate/imagegate/provider/report"
)

// helper puts the credential helper docker-credential-test, a shell script, on
// the PATH, and returns a docker configuration that names it. The script finds
// the server it is asked for in $server.
func helper(t *testing.T, script string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no shell")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "docker-credential-test")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nserver=$(cat)\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	path := filepath.Join(dir, "config.json")
	if err := os.WriteFile(path, []byte(`{"credsStore":"test"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func runs(t *testing.T, log string) []string {
	t.Helper()
	b, err := os.ReadFile(log)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Fields(string(b))
}

func TestCredentialHelper(t *testing.T) {
	reg, _ := private(t)
	log := filepath.Join(t.TempDir(), "log")
	path := helper(t, `echo "$server" >>`+log+`
case $server in
  `+reg.host()+`) echo '{"ServerURL":"x","Username":"ann","Secret":"secret"}';;
  identity.example) echo '{"Username":"<token>","Secret":"identity"}';;
  *) echo "credentials not found in native keychain"; exit 1;;
esac`)
	r := resolver(t, Options{Insecure: []string{reg.host()}, DockerConfig: path})
	for _, image := range []string{"/team/app:1", "/team/app"} {
		_, err := r.Resolve(t.Context(), reg.host()+image, "", Access{})
		if err != nil && report.FailureOf(err).Reason != report.ReasonNotFound {
			t.Fatal(err)
		}
	}
	if got := runs(t, log); len(got) != 2 || got[0] != reg.host()+"/team/app" || got[1] != reg.host() {
		t.Errorf("asked for %q, want the repository and the registry once", got)
	}
	repo, err := name.NewRepository("identity.example/app")
	if err != nil {
		t.Fatal(err)
	}
	if list, _, err := r.keys.docker.credentials(t.Context(), repo); err != nil || len(list) != 1 || list[0].config.IdentityToken != "identity" || list[0].config.Username != "" {
		t.Errorf("identity token: %+v, %v", list, err)
	}
}

func TestACredentialHelperThatFails(t *testing.T) {
	for want, script := range map[string]string{
		"docker-credential-test failed":                          `echo "the password hunter2 is wrong"; exit 3`,
		"docker-credential-test gave an answer that is not JSON": `echo "hunter2"`,
	} {
		reg, _ := private(t)
		path := helper(t, script)
		r := resolver(t, Options{DockerConfig: path, Insecure: []string{reg.host()}})
		// The helper of all registries: this one turns away who has no credentials.
		_, err := r.Resolve(t.Context(), reg.host()+"/team/app:1", "", Access{})
		f := theFailure(t, err, report.ReasonUnavailable, "docker configuration", want)
		if strings.Contains(f.Message, "hunter2") {
			t.Errorf("message %q repeats what the helper said", f.Message)
		}
		// The helper of one registry: it is not even asked without it.
		if err := os.WriteFile(path, []byte(`{"credHelpers":{"registry.invalid":"test"}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = r.Resolve(t.Context(), "registry.invalid/app:1", "", Access{})
		wantFailure(t, err, report.ReasonUnavailable, "docker configuration", want)
	}
}

func TestACredentialHelperThatFailsBlocksNoOtherRegistry(t *testing.T) {
	open, closed := newRegistry(t, false), newRegistry(t, false)
	open.push("app:1")
	closed.user, closed.pass = "ann", "secret"
	closed.push("app:1")
	path := helper(t, `echo "no keychain here"; exit 1`)
	config := fmt.Sprintf(`{"credsStore":"test","credHelpers":{"other.example":"test"},"auths":{%q:{"auth":%q}}}`,
		closed.host(), strings.TrimPrefix(basic("ann", "secret"), "Basic "))
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	r := resolver(t, Options{DockerConfig: path, Insecure: []string{open.host(), closed.host()}})
	for _, reg := range []*testRegistry{open, closed} {
		if _, err := r.Resolve(t.Context(), reg.host()+"/app:1", "", Access{}); err != nil {
			t.Errorf("%v", err)
		}
	}
}

// A helper that hangs is ended, and whoever asks next is told, until it is
// tried once more.
func TestACredentialHelperThatHangs(t *testing.T) {
	dir := t.TempDir()
	log, well := filepath.Join(dir, "log"), filepath.Join(dir, "well")
	path := helper(t, `echo "$server" >>`+log+`
[ -e `+well+` ] || exec sleep 600
echo '{"Username":"ann","Secret":"secret"}'`)
	reg, digest := private(t)
	r := resolver(t, Options{Insecure: []string{reg.host()}, DockerConfig: path})
	r.keys.docker.patience = time.Second
	ask := func(ctx context.Context) error {
		_, err := r.Resolve(ctx, reg.host()+"/team/app@"+digest, "", Access{})
		return err
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	wantFailure(t, ask(impatient), report.ReasonUnavailable, "has not answered yet")
	wantFailure(t, ask(t.Context()), report.ReasonUnavailable, "credential helper docker-credential-test", "has not answered within 1s")
	// Somebody who cannot wait is told why all the same.
	wantFailure(t, ask(impatient), report.ReasonUnavailable, "has not answered within 1s")
	if got := runs(t, log); len(got) != 1 {
		t.Errorf("the helper was run for %q, want once", got)
	}
	if err := os.WriteFile(well, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.keys.docker.failures.Purge() // as time does
	if err := ask(t.Context()); err != nil {
		t.Errorf("after it recovered: %v", err)
	}
}

// What one state of the file answered is nothing to the next one.
func TestAnotherDockerConfigAsksAgain(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	path := helper(t, `echo "$server" >>`+log+`
echo '{"Username":"ann","Secret":"secret"}'`)
	d, err := newDockerConfig(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	repo, err := name.NewRepository("registry.example/app")
	if err != nil {
		t.Fatal(err)
	}
	answers := d.answers
	for i := range 3 {
		b, err := json.Marshal(map[string]any{"credsStore": "test", "HttpHeaders": map[string]string{"n": strings.Repeat("x", i)}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if list, _, err := d.credentials(t.Context(), repo); err != nil || len(list) != 1 {
				t.Fatalf("%+v, %v", list, err)
			}
		}
	}
	if got := runs(t, log); len(got) != 3 {
		t.Errorf("the helper was run %d times, want once for each state of the file", len(got))
	}
	if d.answers != answers {
		t.Error("a cache, and a goroutine that cleans it, for each state of the file")
	}
}

// kubelets find what is kept under the name that people know Docker Hub by.
func TestDockerHubGoesByItsAlias(t *testing.T) {
	repo, err := name.NewRepository("team/app")
	if err != nil {
		t.Fatal(err)
	}
	other, err := name.NewRepository("ghcr.io/team/app")
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t)
	for key, want := range map[string]bool{
		"docker.io":                   true,
		"docker.io/team":              true,
		"https://docker.io/v1/":       true,
		"index.docker.io":             true,
		"https://index.docker.io/v1/": true,
		"ghcr.io":                     false,
	} {
		c.secret("a", "s", key, "ann", "secret")
		k, err := newKeychain(Options{PullSecrets: c.pullSecrets(t), Timeout: time.Second, CacheSize: 8})
		if err != nil {
			t.Fatal(err)
		}
		creds, err := k.credentials(t.Context(), repo, Access{Namespace: "a", PullSecrets: []string{"s"}})
		if err != nil || (creds.list[0].config.Username == "ann") != want {
			t.Errorf("pull secret for %s: %+v, %v", key, creds.list, err)
		}
		if want {
			creds, err := k.credentials(t.Context(), other, Access{Namespace: "a", PullSecrets: []string{"s"}})
			if err != nil || creds.list[0].source != "" {
				t.Errorf("pull secret for %s opens ghcr.io: %v", key, err)
			}
		}
	}
	for key, want := range map[string]bool{
		"docker.io":                   true,
		"docker.io/team/app":          true,
		"https://docker.io":           true,
		"https://index.docker.io/v1/": true,
		"index.docker.io/team/app":    true,
		"ghcr.io":                     false,
	} {
		path := filepath.Join(t.TempDir(), "config.json")
		writeDockerConfig(t, path, key, "ann", "secret")
		d, err := newDockerConfig(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if list, _, err := d.credentials(t.Context(), repo); err != nil || len(list) > 0 != want {
			t.Errorf("docker configuration for %s: %+v, %v", key, list, err)
		}
	}
}

// Each repository was a process at once: two Pods with a few hundred images ran a
// thousand, and nobody else's were found.
func TestCredentialHelpersAreBoundedAndShared(t *testing.T) {
	running, gate := t.TempDir(), filepath.Join(t.TempDir(), "gate")
	path := helper(t, `case $server in
  good.example*) echo '{"Username":"ann","Secret":"secret"}'; exit;;
esac
touch `+running+`/$$
while [ ! -e `+gate+` ]; do sleep 0.05; done
rm `+running+`/$$
echo "credentials not found in native keychain"; exit 1`)
	d := resolver(t, Options{DockerConfig: path}).keys.docker
	ask := func(namespace, repository string) ([]credential, error) {
		repo, err := name.NewRepository(repository)
		if err != nil {
			t.Error(err)
			return nil, err
		}
		list, _, err := d.credentials(onBehalf(t.Context(), namespace), repo)
		return list, err
	}
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if _, err := ask("evil", fmt.Sprintf("evil-%d.example/app", i)); err != nil {
				t.Error(err)
			}
		})
	}
	for d.turns.Held()+d.turns.Waiting() < 40 {
		time.Sleep(time.Millisecond)
	}
	if list, err := ask("good", "good.example/app"); err != nil || len(list) != 1 {
		t.Errorf("another namespace's: %+v, %v", list, err)
	}
	if files, err := os.ReadDir(running); err != nil || len(files) >= maxHelpers {
		t.Errorf("%d helpers run for one namespace, %v", len(files), err)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
}
