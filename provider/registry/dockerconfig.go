package registry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	store "github.com/docker/cli/cli/config/credentials"
	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/hashicorp/golang-lru/v2/expirable"
	"golang.org/x/sync/singleflight"

	"github.com/imagegate/imagegate/provider/report"
)

// dockerConfig reads credentials from a docker config.json, through the
// credential helpers it names as well.
type dockerConfig struct {
	path string
	// patience is how long a credential helper may take.
	patience time.Duration

	mu     sync.Mutex
	info   os.FileInfo
	loaded *loadedConfig

	// answers saves running a credential helper for every question.
	answers *expirable.LRU[question, types.AuthConfig]
	// failures of helpers that took so long that nobody may have waited for
	// them: without this each asker would be told to try again, and none why.
	failures *expirable.LRU[question, error]
	// flights has one helper run for a question, however many ask.
	flights singleflight.Group
}

// loadedConfig is one state of the file.
type loadedConfig struct {
	*configfile.ConfigFile
	// generation tells it from the states before.
	generation int
}

// question is what is asked of one state of the file.
type question struct {
	generation int
	key        string
}

const (
	helperTTL        = time.Minute
	helperAnswers    = 1024
	helperPatience   = 30 * time.Second
	helperFailureTTL = 30 * time.Second
	// helperQuick is what every asker waits for a helper's failure.
	helperQuick    = 500 * time.Millisecond
	dockerHubEntry = "https://" + name.DefaultRegistry + "/v1/"
)

// errHelperBusy ends the waiting of an asker, not of the helper.
var errHelperBusy = errors.New("a credential helper has not answered yet")

func newDockerConfig(path string) (*dockerConfig, error) {
	d := &dockerConfig{
		path:     path,
		patience: helperPatience,
		answers:  expirable.NewLRU[question, types.AuthConfig](helperAnswers, nil, helperTTL),
		failures: expirable.NewLRU[question, error](helperAnswers, nil, helperFailureTTL),
	}
	_, err := d.current()
	return d, err
}

// current reads the file again when it is another one than last time.
func (d *dockerConfig) current() (*loadedConfig, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	info, err := os.Stat(d.path)
	if err != nil {
		return nil, fmt.Errorf("looking for the docker configuration: %w", err)
	}
	if d.loaded != nil && os.SameFile(info, d.info) && info.ModTime().Equal(d.info.ModTime()) && info.Size() == d.info.Size() {
		return d.loaded, nil
	}
	f, err := os.Open(d.path)
	if err != nil {
		return nil, fmt.Errorf("opening the docker configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	parsed, err := config.LoadFromReader(f)
	if err != nil {
		return nil, fmt.Errorf("reading the docker configuration %s: %w", d.path, err)
	}
	next := &loadedConfig{ConfigFile: parsed}
	if d.loaded != nil {
		next.generation = d.loaded.generation + 1
	}
	d.info, d.loaded = info, next
	return next, nil
}

func (d *dockerConfig) credential(ctx context.Context, repo name.Repository) (credential, bool, error) {
	loaded, err := d.current()
	if err != nil {
		return credential{}, false, err
	}
	for _, key := range entries(repo) {
		got, err := d.lookup(ctx, loaded, key)
		if err != nil {
			return credential{}, false, fmt.Errorf("finding credentials for %s: %w", key, err)
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

// entries are the names that credentials for a repository are kept under, the
// first one found being the one that counts.
func entries(repo name.Repository) []string {
	if repo.RegistryStr() != name.DefaultRegistry {
		return []string{repo.String(), repo.RegistryStr()}
	}
	alias := hubAlias{repo}
	return []string{repo.String(), dockerHubEntry, alias.String(), alias.RegistryStr()}
}

// lookup answers by ctx's end: a credential helper is a program that may take
// its time, and it goes on for the next asker.
func (d *dockerConfig) lookup(ctx context.Context, loaded *loadedConfig, key string) (types.AuthConfig, error) {
	helper := loaded.helper(key)
	if helper == "" {
		return loaded.entry(key)
	}
	q := question{generation: loaded.generation, key: key}
	if got, ok := d.answers.Get(q); ok {
		return got, nil
	}
	if err, ok := d.failures.Get(q); ok {
		return types.AuthConfig{}, err
	}
	ch := d.flights.DoChan(fmt.Sprintf("%d\n%s", q.generation, key), func() (_ any, err error) {
		defer report.Recover(&err)
		return d.ask(context.WithoutCancel(ctx), helper, q)
	})
	select {
	case found := <-ch:
		got, _ := found.Val.(types.AuthConfig)
		return got, found.Err
	case <-ctx.Done():
		return types.AuthConfig{}, fmt.Errorf("%w: %w", errHelperBusy, ctx.Err())
	}
}

// ask runs the helper and remembers what came of it.
func (d *dockerConfig) ask(ctx context.Context, helper string, q question) (types.AuthConfig, error) {
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	began := time.Now()
	got, err := runHelper(ctx, helper, q.key)
	if ctx.Err() != nil {
		err = &helperError{helper: helper, text: fmt.Sprintf("has not answered within %s", d.patience), err: err}
	}
	switch {
	case err == nil:
		d.answers.Add(q, got)
	case time.Since(began) > helperQuick || ctx.Err() != nil:
		d.failures.Add(q, err)
	}
	return got, err
}

// helper returns the name of the credential helper for an entry, or nothing.
func (l *loadedConfig) helper(key string) string {
	if own, ok := l.CredentialHelpers[key]; ok {
		return own
	}
	return l.CredentialsStore
}

// entry returns what the file itself holds.
func (l *loadedConfig) entry(key string) (types.AuthConfig, error) {
	got, err := store.NewFileStore(l.ConfigFile).Get(key)
	// It is the question repeated, and set even when there is no answer.
	got.ServerAddress = ""
	return got, err
}
