package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// ServerFiles says which files make a TLS server.
type ServerFiles struct {
	// CertFile and KeyFile are the server's PEM certificate chain and key.
	CertFile, KeyFile string
	// ClientCAFile is the PEM bundle that signs clients; empty asks clients for
	// no certificate.
	ClientCAFile string
	// RequireClientCert refuses clients without a certificate. When it is false
	// and ClientCAFile is given, a certificate is verified if one is offered.
	RequireClientCert bool
	// MinVersion is a tls.VersionTLS constant; zero is TLS 1.3.
	MinVersion uint16
}

// Server is the TLS side of a server whose files may change. It is a
// prometheus.Collector of the certificates' expiry.
type Server struct {
	watcher
	files    ServerFiles
	pair     *part[*tls.Certificate]
	clientCA *part[*x509.CertPool]
}

// NewServer reads the files once. Files that are missing or broken are not an
// error here, for whoever makes certificates may start later than this
// process: they are logged, handshakes fail and Ready says why until they
// come. Run Start to follow them.
func NewServer(files ServerFiles, log *slog.Logger) *Server {
	if files.MinVersion == 0 {
		files.MinVersion = tls.VersionTLS13
	}
	s := &Server{files: files, pair: keyPair(files.CertFile, files.KeyFile)}
	parts := []follower{s.pair}
	if files.ClientCAFile != "" || files.RequireClientCert {
		s.clientCA = authority(files.ClientCAFile)
		parts = append(parts, s.clientCA)
	}
	s.watcher = newWatcher(log, parts...)
	return s
}

// Config returns the configuration for http.Server.TLSConfig, to be served
// with ServeTLS(listener, "", ""). Every handshake takes the newest files.
func (s *Server) Config() *tls.Config {
	c := s.base()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.current() }
	return c
}

func (s *Server) base() *tls.Config {
	return &tls.Config{
		MinVersion: s.files.MinVersion,
		NextProtos: []string{"h2", "http/1.1"},
		// A resumed session would skip the check against a CA that was replaced.
		SessionTicketsDisabled: true,
	}
}

// current makes the configuration of one handshake.
func (s *Server) current() (*tls.Config, error) {
	cert, err := s.pair.get()
	if err != nil {
		return nil, err
	}
	c := s.base()
	c.Certificates = []tls.Certificate{*cert.value}
	if s.clientCA == nil {
		return c, nil
	}
	// A CA bundle that never loaded fails the handshake: with no ClientCAs
	// crypto/tls would verify clients against the system's CAs.
	ca, err := s.clientCA.get()
	if err != nil {
		return nil, err
	}
	c.ClientCAs = ca.value
	c.ClientAuth = tls.VerifyClientCertIfGiven
	if s.files.RequireClientCert {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, nil
}

// Describe implements prometheus.Collector.
func (s *Server) Describe(ch chan<- *prometheus.Desc) { s.describe("server", ch) }

// Collect implements prometheus.Collector.
func (s *Server) Collect(ch chan<- prometheus.Metric) { s.collect("server", ch) }
