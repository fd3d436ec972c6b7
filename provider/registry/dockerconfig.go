package registry

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/hashicorp/golang-lru/v2/expirable"
)

// dockerConfig reads credentials from a docker config.json, through the
// credential helpers it names as well.
type dockerConfig struct {
	path string

	mu     sync.Mutex
	info   os.FileInfo
	parsed *configfile.ConfigFile
	// answers saves running a credential helper for every question.
	answers *expirable.LRU[string, types.AuthConfig]
}

const (
	helperTTL      = time.Minute
	helperAnswers  = 1024
	dockerHubEntry = "https://" + name.DefaultRegistry + "/v1/"
)

func newDockerConfig(path string) (*dockerConfig, error) {
	d := &dockerConfig{path: path, answers: expirable.NewLRU[string, types.AuthConfig](helperAnswers, nil, helperTTL)}
	return d, d.refresh()
}

// refresh reads the file again when it is another one than last time. The
// caller holds mu, or is the constructor.
func (d *dockerConfig) refresh() error {
	info, err := os.Stat(d.path)
	if err != nil {
		return fmt.Errorf("looking for the docker configuration: %w", err)
	}
	if d.parsed != nil && os.SameFile(info, d.info) && info.ModTime().Equal(d.info.ModTime()) && info.Size() == d.info.Size() {
		return nil
	}
	f, err := os.Open(d.path)
	if err != nil {
		return fmt.Errorf("opening the docker configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	parsed, err := config.LoadFromReader(f)
	if err != nil {
		return fmt.Errorf("reading the docker configuration %s: %w", d.path, err)
	}
	d.info, d.parsed = info, parsed
	d.answers.Purge()
	return nil
}

func (d *dockerConfig) credential(repo name.Repository) (credential, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.refresh(); err != nil {
		return credential{}, false, err
	}
	for _, key := range []string{repo.String(), repo.RegistryStr()} {
		if key == name.DefaultRegistry {
			key = dockerHubEntry
		}
		got, err := d.lookup(key)
		if err != nil {
			return credential{}, false, err
		}
		if got != (types.AuthConfig{}) {
			return credential{source: "the provider's docker configuration", config: authn.AuthConfig{
				Username:      got.Username,
				Password:      got.Password,
				Auth:          got.Auth,
				IdentityToken: got.IdentityToken,
				RegistryToken: got.RegistryToken,
			}}, true, nil
		}
	}
	return credential{}, false, nil
}

func (d *dockerConfig) lookup(key string) (types.AuthConfig, error) {
	if got, ok := d.answers.Get(key); ok {
		return got, nil
	}
	got, err := d.parsed.GetAuthConfig(key)
	if err != nil {
		return got, fmt.Errorf("finding credentials for %s: %w", key, err)
	}
	// It is the question repeated, and set even when there is no answer.
	got.ServerAddress = ""
	d.answers.Add(key, got)
	return got, nil
}
