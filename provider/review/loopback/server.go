package loopback

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Server answers the engine's requests until Close.
type Server struct {
	url  string
	ca   []byte
	dir  string
	http *http.Server
	done chan struct{}

	mu        sync.Mutex
	handler   http.Handler
	exchanges []Exchange
}

// Start listens on a free port of 127.0.0.1. The handler may be changed by
// Answer; none means that every request fails.
func Start(ctx context.Context, handler http.Handler) (*Server, error) {
	ca, err := newAuthority()
	if err != nil {
		return nil, fmt.Errorf("starting the external data server: %w", err)
	}
	config, err := ca.serverConfig()
	if err != nil {
		return nil, fmt.Errorf("starting the external data server: %w", err)
	}
	dir, err := writeClient(ca)
	if err != nil {
		return nil, fmt.Errorf("starting the external data server: %w", err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the external data server: %w", err), os.RemoveAll(dir))
	}
	s := &Server{
		url:     "https://" + l.Addr().String(),
		ca:      ca.pem,
		dir:     dir,
		handler: handler,
		done:    make(chan struct{}),
	}
	s.serve(tls.NewListener(l, config))
	return s, nil
}

func (s *Server) serve(l net.Listener) {
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.record),
		ReadHeaderTimeout: 10 * time.Second,
		// A failed handshake is the engine's to report, not the terminal's.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	go func() {
		defer close(s.done)
		// Serve returns when Close is called, and there is nobody to tell
		// about another end but the requests, which fail.
		_ = s.http.Serve(l)
	}()
}

// writeClient puts the engine's client certificate where its certificate
// watcher can read it. Only this user can, and Close removes it.
func writeClient(ca *authority) (dir string, err error) {
	certPEM, keyPEM, err := ca.issue(3, "gatekeeper", x509.ExtKeyUsageClientAuth)
	if err != nil {
		return "", err
	}
	dir, err = os.MkdirTemp("", "imagegate-review-")
	if err != nil {
		return "", fmt.Errorf("making a directory for the client certificate: %w", err)
	}
	for name, content := range map[string][]byte{"tls.crt": certPEM, "tls.key": keyPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return "", errors.Join(fmt.Errorf("writing the client certificate: %w", err), os.RemoveAll(dir))
		}
	}
	return dir, nil
}

// URL is where the server is, without a path.
func (s *Server) URL() string { return s.url }

// CA returns the certificate that signed the server's, PEM encoded.
func (s *Server) CA() []byte { return s.ca }

// ClientFiles names the certificate and key that the server lets in.
func (s *Server) ClientFiles() (cert, key string) {
	return filepath.Join(s.dir, "tls.crt"), filepath.Join(s.dir, "tls.key")
}

// Answer changes the handler.
func (s *Server) Answer(handler http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = handler
}

// Close ends the server and removes the client certificate.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.done
	if err := errors.Join(err, os.RemoveAll(s.dir)); err != nil {
		return fmt.Errorf("closing the external data server: %w", err)
	}
	return nil
}
