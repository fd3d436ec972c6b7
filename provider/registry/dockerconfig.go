package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"golang.org/x/sync/singleflight"

	"github.com/imagegate/imagegate/provider/filewatch"
	"github.com/imagegate/imagegate/provider/registry/keyring"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/turns"
)

// dockerConfig reads credentials from a docker config.json, through the
// credential helpers it names as well. A file that cannot be read changes
// nothing: what was read last stays in use.
type dockerConfig struct {
	file *filewatch.Content[*keyring.Config]
	log  *slog.Logger
	// patience is how long a credential helper may take.
	patience time.Duration

	mu         sync.Mutex
	path       string
	info       os.FileInfo
	generation int // of what the file holds

	// answers saves running a credential helper for every question.
	answers *bounded[types.AuthConfig]
	// failures of helpers that took so long that nobody may have waited for
	// them: without this each asker would be told to try again, and none why.
	failures *bounded[error]
	// flights has one helper run for a question of a namespace, however many ask.
	flights singleflight.Group
	// turns share the helpers by namespace. Each is a process, and a Pod's author
	// names as many repositories as he likes.
	turns *turns.Turns
}

// question is what is asked of one state of the file.
type question struct {
	generation int
	key        string
}

const (
	// maxHelpers bounds the helpers that run at once, maxHelpersWaiting the
	// questions that wait for one.
	maxHelpers        = 8
	maxHelpersWaiting = 1024

	helperTTL        = time.Minute
	helperAnswers    = 1024
	helperBytes      = 8 << 20
	helperPatience   = 30 * time.Second
	helperFailureTTL = 30 * time.Second
	// helperQuick is what every asker waits for a helper's failure.
	helperQuick    = 500 * time.Millisecond
	dockerHubEntry = "https://" + name.DefaultRegistry + "/v1/"

	dockerConfigSource = "the provider's docker configuration"
)

// String is the question as a key.
func (q question) String() string { return fmt.Sprintf("%d\n%s", q.generation, q.key) }

// authSize is about what a helper's answer takes.
func authSize(a types.AuthConfig) int {
	const fields = 200
	return fields + len(a.Username) + len(a.Password) + len(a.IdentityToken)
}

// entryError is an entry that cannot be read. Its text repeats nothing secret.
type entryError struct{ error }

// errHelperBusy ends the waiting of an asker, not of the helper.
var errHelperBusy = errors.New("a credential helper has not answered yet")

func newDockerConfig(path string, log *slog.Logger) (*dockerConfig, error) {
	answers, err := newBounded(helperAnswers, helperBytes, helperTTL, authSize)
	if err != nil {
		return nil, fmt.Errorf("making the cache of helpers' answers: %w", err)
	}
	failures, err := newBounded(helperAnswers, helperBytes, helperFailureTTL, func(err error) int { return len(err.Error()) })
	if err != nil {
		return nil, fmt.Errorf("making the cache of helpers' failures: %w", err)
	}
	d := &dockerConfig{path: path, log: log, patience: helperPatience, answers: answers, failures: failures,
		turns: turns.New(turns.Limits{Turns: maxHelpers, Waiting: maxHelpersWaiting})}
	d.file = filewatch.New("docker configuration", []string{path}, func(contents [][]byte) (*keyring.Config, error) {
		return keyring.Parse(contents[0])
	})
	if _, err := d.file.Reload(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	d.tellBroken()
	return d, nil
}

// current reads the file again when it is another one than last time.
func (d *dockerConfig) current() (*keyring.Config, int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	info, err := os.Stat(d.path)
	if err != nil || d.info == nil || !os.SameFile(info, d.info) || !info.ModTime().Equal(d.info.ModTime()) || info.Size() != d.info.Size() {
		changed, err := d.file.Reload()
		if err != nil {
			d.log.Warn("the docker configuration cannot be read; the last good one stays in use", "file", d.path, "error", err)
		}
		if changed {
			d.generation++
			d.tellBroken()
		}
		if !d.file.Failing() {
			d.info = info
		}
	}
	c, err := d.file.Get()
	return c, d.generation, err
}

func (d *dockerConfig) tellBroken() {
	if c, err := d.file.Get(); err == nil {
		for _, err := range c.Broken() {
			d.log.Warn("one entry of the docker configuration cannot be used", "file", d.path, "error", err)
		}
	}
}

// credentials returns what the file has for a repository: its own entries, and
// what its helper for the registry gives. Only without any is the helper asked
// that is for all registries. Its failure is in doubt the fault of somebody
// else's registry: it is returned beside, and does not keep the image from being
// read by whoever needs no credentials.
func (d *dockerConfig) credentials(ctx context.Context, repo name.Repository) (list []credential, doubt error, err error) {
	config, generation, err := d.current()
	if err != nil {
		return nil, nil, err
	}
	own, err := config.For(repo)
	if err != nil {
		err = &entryError{err}
	}
	for _, c := range own {
		list = append(list, credential{source: dockerConfigSource, config: c})
	}
	for _, key := range entries(repo) {
		helper, ok := config.Helpers[key]
		if !ok {
			continue
		}
		got, helperErr := d.lookup(ctx, helper, question{generation: generation, key: key})
		if helperErr != nil {
			err = errors.Join(err, fmt.Errorf("finding credentials for %s: %w", key, helperErr))
		}
		list = appendAuth(list, got)
	}
	if len(list) > 0 {
		return list, nil, nil
	}
	if err != nil || config.Store == "" {
		return nil, nil, err
	}
	for _, key := range entries(repo) {
		got, err := d.lookup(ctx, config.Store, question{generation: generation, key: key})
		switch {
		case errors.Is(err, errHelperBusy):
			return nil, nil, err // the asker has no time left
		case err != nil:
			return nil, fmt.Errorf("finding credentials for %s: %w", key, err), nil
		}
		if list = appendAuth(list, got); len(list) > 0 {
			break
		}
	}
	return list, nil, nil
}

func appendAuth(list []credential, got types.AuthConfig) []credential {
	if got == (types.AuthConfig{}) {
		return list
	}
	return append(list, credential{source: dockerConfigSource, config: authn.AuthConfig{
		Username:      got.Username,
		Password:      got.Password,
		IdentityToken: got.IdentityToken,
	}})
}

// entries are the names that helpers know a repository's credentials by, the
// first one found being the one that counts.
func entries(repo name.Repository) []string {
	if repo.RegistryStr() != name.DefaultRegistry {
		return []string{repo.String(), repo.RegistryStr()}
	}
	alias := hubAlias{repo}
	return []string{repo.String(), dockerHubEntry, repo.RegistryStr(), alias.String(), alias.RegistryStr()}
}

// lookup answers by ctx's end: a credential helper is a program that may take
// its time, and it goes on for the next asker.
func (d *dockerConfig) lookup(ctx context.Context, helper string, q question) (types.AuthConfig, error) {
	if got, err, ok := d.remembered(q); ok {
		return got, err
	}
	ch := d.flights.DoChan(behalf(ctx)+"\n"+q.String(), func() (_ any, err error) {
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

func (d *dockerConfig) remembered(q question) (got types.AuthConfig, err error, ok bool) { //nolint:revive // the error is what is remembered
	if got, ok := d.answers.Get(q.String()); ok {
		return got, nil, true
	}
	err, ok = d.failures.Get(q.String())
	return types.AuthConfig{}, err, ok
}

// ask runs the helper, in a turn of the namespace's, and remembers what came of
// it.
func (d *dockerConfig) ask(ctx context.Context, helper string, q question) (types.AuthConfig, error) {
	waiting, over := context.WithTimeout(ctx, d.patience)
	defer over()
	done, err := d.turns.Take(waiting, turns.Share{Namespace: behalf(ctx)})
	if err != nil {
		return types.AuthConfig{}, fmt.Errorf("%w: %w", errHelperBusy, err)
	}
	defer done()
	if got, err, ok := d.remembered(q); ok { // another namespace may have asked the same
		return got, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	began := time.Now()
	got, err := runHelper(ctx, helper, q.key)
	if ctx.Err() != nil {
		err = &helperError{helper: helper, text: fmt.Sprintf("has not answered within %s", d.patience), err: err}
	}
	switch {
	case err == nil:
		d.answers.Add(q.String(), got)
	case time.Since(began) > helperQuick || ctx.Err() != nil:
		d.failures.Add(q.String(), err)
	}
	return got, err
}
