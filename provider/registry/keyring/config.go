// Package keyring reads what opens registries, as docker and Kubernetes
// write it: config.json, its older form, and the Secrets that hold either. It
// finds the entries for an image as the kubelet does, so that an image which the
// nodes may pull can be looked up, and by the same credentials.
package keyring

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
)

// Config is one file or Secret. It is not changed once it is read.
type Config struct {
	entries []entry
	// Helpers names the credential helper for a registry, and Store the one for
	// all others. Only files on the provider's own disk can use them.
	Helpers map[string]string
	Store   string
}

// entry is what one key holds.
type entry struct {
	key    key
	name   string // the key as written
	config authn.AuthConfig
	err    error // why config cannot be read
}

type file struct {
	Auths       map[string]json.RawMessage `json:"auths"`
	CredHelpers map[string]string          `json:"credHelpers"`
	CredsStore  string                     `json:"credsStore"`
}

type auth struct {
	Auth          string `json:"auth"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// maxEntries bounds the entries and helpers of one configuration: a Secret may
// hold hundreds of thousands, each larger in memory than in its text.
const maxEntries = 4096

var errMany = fmt.Errorf("it has more than %d entries", maxEntries)

var errJSON = errors.New("it is not a docker configuration in JSON")

// Parse reads a config.json. One entry that cannot be read does not keep the
// others from being used: Broken names it. No error repeats what may be a secret.
func Parse(b []byte) (*Config, error) {
	var f file
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, errJSON
	}
	if len(f.Auths)+len(f.CredHelpers) > maxEntries {
		return nil, errMany
	}
	c := read(f.Auths)
	c.Helpers, c.Store = f.CredHelpers, f.CredsStore
	return c, nil
}

// ParseLegacy reads a .dockercfg, which is the entries alone.
func ParseLegacy(b []byte) (*Config, error) {
	var auths map[string]json.RawMessage
	if err := json.Unmarshal(b, &auths); err != nil {
		return nil, errJSON
	}
	if len(auths) > maxEntries {
		return nil, errMany
	}
	return read(auths), nil
}

func read(auths map[string]json.RawMessage) *Config {
	c := &Config{}
	for name, raw := range auths {
		e := entry{name: name}
		if e.key, e.err = parseKey(name); e.err == nil {
			e.config, e.err = parseAuth(raw)
		}
		if e.err == nil && e.config == (authn.AuthConfig{}) {
			continue // docker leaves such a mark beside a credential helper
		}
		c.entries = append(c.entries, e)
	}
	slices.SortFunc(c.entries, func(a, b entry) int {
		if n := b.key.compare(a.key); n != 0 {
			return n
		}
		return strings.Compare(a.name, b.name)
	})
	return c
}

func parseAuth(raw json.RawMessage) (authn.AuthConfig, error) {
	var a auth
	if err := json.Unmarshal(raw, &a); err != nil {
		return authn.AuthConfig{}, errors.New("it is no object of strings")
	}
	c := authn.AuthConfig{Username: a.Username, Password: a.Password, IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken}
	if a.Auth == "" {
		return c, nil
	}
	// Padded or not, as the kubelet; of the two alphabets it takes the first only.
	decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(a.Auth), "="))
	if err != nil {
		return authn.AuthConfig{}, errors.New("its auth is not base64")
	}
	user, pass, ok := strings.Cut(string(decoded), ":")
	if !ok {
		return authn.AuthConfig{}, errors.New("its auth is not user:password")
	}
	c.Username, c.Password = user, strings.Trim(pass, "\x00")
	return c, nil
}

// Broken says which entries cannot be read and why, in their order.
func (c *Config) Broken() []error {
	var errs []error
	for _, e := range c.entries {
		if e.err != nil {
			errs = append(errs, fmt.Errorf("entry %.200q: %w", e.name, e.err))
		}
	}
	return errs
}

// Bytes is about what the configuration takes in memory; nil takes nothing.
func (c *Config) Bytes() int {
	if c == nil {
		return 0
	}
	n := len(c.Store)
	for k, v := range c.Helpers {
		n += len(k) + len(v) + 100
	}
	for _, e := range c.entries {
		a := e.config
		n += 2*len(e.name) + len(a.Username) + len(a.Password) + len(a.IdentityToken) + len(a.RegistryToken) + 400
	}
	return n
}
