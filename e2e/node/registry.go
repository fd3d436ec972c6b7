package node

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// User and Password open what is below private/ in the registry.
const (
	User     = "puller"
	Password = "secret"
)

// startRegistry serves Registry over TLS of an authority of its own.
func (n *Node) startRegistry() error {
	dir := n.path("registry")
	host, _, _ := strings.Cut(Registry, ":")
	if err := n.identity.WriteDirFor(dir, []string{host, address}, "registry"); err != nil {
		return err
	}
	blobs := filepath.Join(dir, "blobs")
	if err := os.MkdirAll(blobs, 0o750); err != nil {
		return err
	}
	quiet := log.New(io.Discard, "", 0)
	// The handler reads a part of a blob under its one lock. Over one HTTP/2 connection
	// the bodies of those who wait for the lock fill the window that all streams share,
	// and the one who has it waits for ever.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	images := registry.New(registry.Logger(quiet), registry.WithBlobHandler(registry.NewDiskBlobHandler(blobs)), registry.WithReferrersSupport(true))
	n.registry = &http.Server{ReadHeaderTimeout: 10 * time.Second, ErrorLog: quiet, Protocols: &protocols,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user, password, _ := r.BasicAuth()
			if strings.HasPrefix(r.URL.Path, "/v2/private/") && subtle.ConstantTimeCompare([]byte(user+":"+password), []byte(User+":"+Password)) != 1 {
				w.Header().Set("WWW-Authenticate", `Basic realm="node"`)
				http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
				return
			}
			images.ServeHTTP(w, r)
		}),
	}
	l, err := net.Listen("tcp", address+":5000") //nolint:noctx // ends at once
	if err != nil {
		return fmt.Errorf("start the registry: %w", err)
	}
	go func() {
		_ = n.registry.ServeTLS(l, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")) // it ends when it is closed
	}()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(n.identity.PEM)
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is one
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	n.pushing = []remote.Option{remote.WithTransport(transport), remote.WithAuth(&authn.Basic{Username: User, Password: Password})}
	return nil
}

// Push pushes an image as repository:tag and returns its reference by digest.
func (n *Node) Push(ctx context.Context, img v1.Image, repository, tag string) (string, error) {
	ref, err := name.NewTag(Registry + "/" + repository + ":" + tag)
	if err != nil {
		return "", err
	}
	if err := remote.Write(ref, img, append([]remote.Option{remote.WithContext(ctx)}, n.pushing...)...); err != nil {
		return "", fmt.Errorf("push %s: %w", ref, err)
	}
	digest, err := img.Digest()
	if err != nil {
		return "", err
	}
	return ref.Context().Digest(digest.String()).String(), nil
}
