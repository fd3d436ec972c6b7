// Package registry runs an image registry on 127.0.0.1 that asks for a
// password and can be made to fail, and builds sample images into it. It exists
// because tests need a registry whose faults and timing they decide.
package registry

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/registry"
)

// Registry is a running registry. All of its methods may be called at any time.
type Registry struct {
	host    string
	handler http.Handler

	mu     sync.Mutex
	server *http.Server // nil while down
	user   string
	pass   string
	slow   map[string]time.Duration // by blob digest
}

// Start runs a registry on a free port that asks for user and password.
func Start(user, password string) (*Registry, error) {
	r := &Registry{
		handler: registry.New(registry.Logger(log.New(io.Discard, "", 0))),
		user:    user, pass: password,
		slow: map[string]time.Duration{},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // ends at once
	if err != nil {
		return nil, fmt.Errorf("start the registry: %w", err)
	}
	r.host = l.Addr().String()
	r.serve(l)
	return r, nil
}

// Host is the registry's part of an image reference, for example
// "127.0.0.1:5000".
func (r *Registry) Host() string { return r.host }

// DockerConfig is a Docker configuration with the present credentials.
func (r *Registry) DockerConfig() ([]byte, error) {
	auth, err := r.Auth().Authorization()
	if err != nil {
		return nil, fmt.Errorf("read the registry's credentials: %w", err)
	}
	return json.Marshal(map[string]any{"auths": map[string]any{
		r.Host(): map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(auth.Username + ":" + auth.Password))},
	}})
}

// Down closes the registry's port, as when its machine is gone. Images stay.
func (r *Registry) Down() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.server != nil {
		_ = r.server.Close()
		r.server = nil
	}
}

// Up undoes Down on the same port.
func (r *Registry) Up() error {
	r.mu.Lock()
	up := r.server != nil
	r.mu.Unlock()
	if up {
		return nil
	}
	l, err := net.Listen("tcp", r.host) //nolint:noctx // ends at once
	if err != nil {
		return fmt.Errorf("start the registry again: %w", err)
	}
	r.serve(l)
	return nil
}

// SetPassword changes the password that the registry asks for.
func (r *Registry) SetPassword(password string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pass = password
}

// Auth returns the credentials that are valid now.
func (r *Registry) Auth() authn.Authenticator {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &authn.Basic{Username: r.user, Password: r.pass}
}

// SlowBlob delays each download of the blob with that digest.
func (r *Registry) SlowBlob(digest string, delay time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slow[digest] = delay
}

func (r *Registry) serve(l net.Listener) {
	srv := &http.Server{Handler: http.HandlerFunc(r.handle), ReadHeaderTimeout: 10 * time.Second}
	r.mu.Lock()
	r.server = srv
	r.mu.Unlock()
	go func() {
		if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Printf("registry: %v", err)
		}
	}()
}

func (r *Registry) handle(w http.ResponseWriter, req *http.Request) {
	if !r.allowed(req) {
		w.Header().Set("WWW-Authenticate", `Basic realm="imagegate-e2e"`)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
		return
	}
	if err := r.delay(req); err != nil {
		return // the client has gone
	}
	r.handler.ServeHTTP(w, req)
}

func (r *Registry) allowed(req *http.Request) bool {
	user, pass, _ := req.BasicAuth()
	r.mu.Lock()
	defer r.mu.Unlock()
	return subtle.ConstantTimeCompare([]byte(user), []byte(r.user))&
		subtle.ConstantTimeCompare([]byte(pass), []byte(r.pass)) == 1
}

// delay holds the download of a slow blob back.
func (r *Registry) delay(req *http.Request) error {
	_, digest, ok := strings.Cut(req.URL.Path, "/blobs/")
	if !ok || req.Method != http.MethodGet {
		return nil
	}
	r.mu.Lock()
	d := r.slow[digest]
	r.mu.Unlock()
	if d == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(req.Context(), d)
	defer cancel()
	<-ctx.Done()
	return req.Context().Err()
}
