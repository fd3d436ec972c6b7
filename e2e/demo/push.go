package main

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/docker/cli/cli/config"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/imagegate/imagegate/e2e/registry"
)

const pushUsage = `usage: demo push -credentials FILE FROM TO
FROM is a Linux program, of which an image is made, an archive that docker save
wrote, or an image of another registry. make up prints the line with its own FILE.`

// pushed stores an image in the registry of a demo that runs: with Docker or
// without, which a machine that has Go need not have.
func pushed(args []string) (code int) {
	flags := flag.NewFlagSet("push", flag.ExitOnError)
	flags.Usage = func() { _, _ = fmt.Fprintln(flags.Output(), pushUsage) }
	credentials := flags.String("credentials", "", "docker configuration that opens the demo's registry")
	_ = flags.Parse(args)
	if flags.NArg() != 2 || *credentials == "" {
		flags.Usage()
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	digest, err := push(ctx, *credentials, flags.Arg(0), flags.Arg(1))
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "demo push:", err)
		return 1
	}
	_, _ = fmt.Printf("pushed %s\n    is %s\n", flags.Arg(1), digest)
	return 0
}

func push(ctx context.Context, credentials, from, to string) (v1.Hash, error) {
	target, err := name.NewTag(to, name.StrictValidation)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("read where to push to: %w", err)
	}
	auth, err := opens(credentials, target.RegistryStr())
	if err != nil {
		return v1.Hash{}, err
	}
	into := []remote.Option{remote.WithContext(ctx), remote.WithAuth(auth)}
	if _, err := os.Stat(from); err == nil {
		img, err := fromFile(from)
		if err != nil {
			return v1.Hash{}, err
		}
		if err := remote.Write(target, img, into...); err != nil {
			return v1.Hash{}, fmt.Errorf("push %s: %w", target, err)
		}
		return img.Digest()
	}
	source, err := name.ParseReference(from)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("%s is no file, and no image: %w", from, err)
	}
	found, err := remote.Get(source, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
	if err != nil {
		return v1.Hash{}, fmt.Errorf("read %s: %w", source, err)
	}
	if found.MediaType.IsIndex() {
		index, err := found.ImageIndex()
		if err != nil {
			return v1.Hash{}, fmt.Errorf("read %s: %w", source, err)
		}
		if err := remote.WriteIndex(target, index, into...); err != nil {
			return v1.Hash{}, fmt.Errorf("copy %s to %s: %w", source, target, err)
		}
		return found.Digest, nil
	}
	img, err := found.Image()
	if err != nil {
		return v1.Hash{}, fmt.Errorf("read %s: %w", source, err)
	}
	if err := remote.Write(target, img, into...); err != nil {
		return v1.Hash{}, fmt.Errorf("copy %s to %s: %w", source, target, err)
	}
	return found.Digest, nil
}

// fromFile makes an image of a program, or reads one from an archive.
func fromFile(path string) (v1.Image, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the image: %w", err)
	}
	if !bytes.HasPrefix(data, []byte("\x7fELF")) {
		img, err := tarball.ImageFromPath(path, nil)
		if err != nil {
			return nil, fmt.Errorf("%s is neither a Linux program nor an archive of docker save: %w", path, err)
		}
		return img, nil
	}
	arch := "amd64"
	if file, err := elf.NewFile(bytes.NewReader(data)); err != nil {
		return nil, fmt.Errorf("make an image of %s: %w", path, err)
	} else if file.Machine == elf.EM_AARCH64 {
		arch = "arm64"
	}
	program := filepath.Base(path)
	img, err := registry.Of(arch, map[string][]byte{program: data}, v1.Config{Entrypoint: []string{"/" + program}})
	if err != nil {
		return nil, fmt.Errorf("make an image of %s: %w", path, err)
	}
	return img, nil
}

// opens returns what a docker configuration has for a registry, be it in the file or
// with a credential helper that it names.
func opens(path, host string) (authn.Authenticator, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there: does make up run? Take the line that it printed", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the credentials: %w", err)
	}
	defer func() { _ = file.Close() }()
	docker, err := config.LoadFromReader(file)
	if err != nil {
		return nil, fmt.Errorf("read the credentials in %s: %w", path, err)
	}
	found, err := docker.GetAuthConfig(host)
	if err != nil {
		return nil, fmt.Errorf("read the credentials in %s: %w", path, err)
	}
	auth := authn.AuthConfig{
		Username: found.Username, Password: found.Password, Auth: found.Auth,
		IdentityToken: found.IdentityToken, RegistryToken: found.RegistryToken,
	}
	if auth == (authn.AuthConfig{}) {
		return nil, fmt.Errorf("%s does not open %s, only the registry that make up named", path, host)
	}
	return authn.FromConfig(auth), nil
}
