package registry_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/imagegate/imagegate/e2e/registry"
)

func TestFaults(t *testing.T) {
	reg, err := registry.Start("user", "secret")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reg.Down)
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	pushed, err := reg.Push(t.Context(), img, "team/app", "v1")
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(pushed.Ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	head := func(auth authn.Authenticator) error {
		d, err := remote.Head(ref, remote.WithContext(t.Context()), remote.WithAuth(auth))
		if err == nil && d.Digest.String() != pushed.Digest {
			t.Errorf("registry serves %s, pushed %s", d.Digest, pushed.Digest)
		}
		return err
	}
	old := reg.Auth()
	if err := head(old); err != nil {
		t.Fatal(err)
	}

	reg.SetPassword("changed")
	var answer *transport.Error
	if err := head(old); !errors.As(err, &answer) || answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("with the old password: %v, want 401", err)
	}
	if err := head(reg.Auth()); err != nil {
		t.Errorf("with the new password: %v", err)
	}

	reg.Down()
	if err := head(reg.Auth()); err == nil {
		t.Error("a registry that is down has answered")
	}
	if err := reg.Up(); err != nil {
		t.Fatal(err)
	}
	if err := head(reg.Auth()); err != nil {
		t.Errorf("after the registry came back: %v", err)
	}
}

func TestANameIsAnImage(t *testing.T) {
	reg, err := registry.Start("user", "secret")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reg.Down)
	pushed, err := reg.PushName(t.Context(), "team/app", "v1", "one")
	if err != nil {
		t.Fatal(err)
	}
	other, err := reg.PushName(t.Context(), "team/app", "v2", "two")
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(pushed.Ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(ref, remote.WithContext(t.Context()), remote.WithAuth(reg.Auth()))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if digest.String() != pushed.Digest || pushed.Digest == other.Digest {
		t.Errorf("it is %s, was pushed as %s, and the other is %s", digest, pushed.Digest, other.Digest)
	}
	if config, err := img.ConfigFile(); err != nil || len(config.RootFS.DiffIDs) != 1 {
		t.Errorf("its configuration: %+v, %v", config, err)
	}
}
