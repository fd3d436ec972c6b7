package registry

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/imagegate/imagegate/provider/report"
)

// credential is one way into a registry.
type credential struct {
	config authn.AuthConfig
	// source says where it comes from, for messages; empty means anonymous.
	source string
	// id tells it from others without giving it away.
	id string
}

// public is what may be told of the credential: its id, or nothing for none.
func (c credential) public() string {
	if c.config == (authn.AuthConfig{}) {
		return ""
	}
	return c.id
}

// holder names where the credential was found; it is empty for none.
func (c credential) holder() string {
	if c.public() == "" {
		return ""
	}
	return c.source
}

// bytes is what the secrets of the credential take.
func (c credential) bytes() int {
	return len(c.config.Username) + len(c.config.Password) + len(c.config.Auth) + len(c.config.IdentityToken) + len(c.config.RegistryToken)
}

// credentials are what one access has for one repository, in the order they
// are tried. The list is never empty; anonymous is an entry of its own.
type credentials struct {
	list []credential
	// id stands for the whole list. Two accesses with the same id hold the same
	// secrets, so what one proved holds for the other; change a Secret and the
	// id changes with it.
	id string
	// doubt is why there may be credentials that are not in the list.
	doubt error
}

// keychain finds credentials: first the asker's own, else the provider's
// docker configuration, else none. When the asker has some for the registry
// they are all there is, so that a wrong pull secret shows up as such instead
// of being covered up by the provider's rights.
type keychain struct {
	// secret keys the ids, so that they mean nothing outside this process.
	secret  []byte
	docker  *dockerConfig
	cluster *pullSecrets
}

func newKeychain(o Options) (*keychain, error) {
	k := &keychain{secret: make([]byte, sha256.Size)}
	if _, err := rand.Read(k.secret); err != nil {
		return nil, fmt.Errorf("making a random key: %w", err)
	}
	var err error
	if o.DockerConfig != "" {
		if k.docker, err = newDockerConfig(o.DockerConfig, o.Logger); err != nil {
			return nil, fmt.Errorf("DockerConfig: %w", err)
		}
	}
	if o.PullSecrets.Enabled {
		if k.cluster, err = newPullSecrets(o); err != nil {
			return nil, fmt.Errorf("PullSecrets: %w", err)
		}
	}
	return k, nil
}

func (k *keychain) credentials(ctx context.Context, repo name.Repository, access Access) (credentials, error) {
	var list []credential
	if k.cluster != nil && access.Namespace != "" {
		own, err := k.cluster.credentials(ctx, repo, access)
		if err != nil {
			return credentials{}, err
		}
		list = own
	}
	var doubt error
	if len(list) == 0 && k.docker != nil {
		var err error
		if list, doubt, err = k.docker.credentials(onBehalf(ctx, access.Namespace), repo); err != nil {
			return credentials{}, unreadable(err)
		}
	}
	if len(list) == 0 {
		list = append(list, credential{})
	}
	out := k.identify(list)
	out.doubt = doubt
	return out, nil
}

// unreadable says why the provider's docker configuration gives no answer.
func unreadable(err error) *report.Failure {
	why := ""
	if helper, ok := errors.AsType[*helperError](err); ok {
		why = ": " + helper.sentence()
	} else if entry, ok := errors.AsType[*entryError](err); ok {
		why = ": " + report.Clean(entry.Error(), maxQuote)
	} else if errors.Is(err, errHelperBusy) {
		why = ": " + errHelperBusy.Error()
	}
	return &report.Failure{Reason: report.ReasonUnavailable, Message: "the provider cannot read its docker configuration" + why, Err: err}
}

// identify fills in the ids and drops repetitions.
func (k *keychain) identify(list []credential) credentials {
	var out credentials
	seen := map[string]bool{}
	whole := hmac.New(sha256.New, k.secret)
	for _, c := range list {
		mac := hmac.New(sha256.New, k.secret)
		for _, s := range []string{c.config.Username, c.config.Password, c.config.Auth, c.config.IdentityToken, c.config.RegistryToken} {
			_, _ = fmt.Fprintf(mac, "%d:%s", len(s), s)
		}
		sum := mac.Sum(nil)
		c.id = hex.EncodeToString(sum)
		if seen[c.id] {
			continue
		}
		seen[c.id] = true
		_, _ = whole.Write(sum)
		out.list = append(out.list, c)
	}
	out.id = hex.EncodeToString(whole.Sum(nil))
	return out
}
