package bus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"

	"github.com/imagegate/imagegate/provider/tlsfiles"
)

// peerTLS is for routes, on both sides. Each handshake takes the files as they
// are then, and verifies that the other side's certificate is of the authority
// and names one of the peers.
func peerTLS(files *tlsfiles.Client, c *Cluster) *tls.Config {
	config := servingTLS(files, peerHosts(c))
	config.InsecureSkipVerify = true // VerifyConnection verifies, against the authorities of this moment
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		now, err := files.Config("")
		if err != nil {
			return nil, err
		}
		return &now.Certificates[0], nil
	}
	config.VerifyConnection = verify(files, peerHosts(c), x509.ExtKeyUsageServerAuth)
	return config
}

// clientTLS is for clients.
func clientTLS(files *tlsfiles.Client, c *Cluster) *tls.Config {
	return servingTLS(files, append(peerHosts(c), c.Clients...))
}

// servingTLS is the side that is connected to.
func servingTLS(files *tlsfiles.Client, names []string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequireAnyClientCert,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			now, err := files.Config("")
			if err != nil {
				return nil, err
			}
			return &tls.Config{
				MinVersion:             tls.VersionTLS13,
				Certificates:           now.Certificates,
				ClientAuth:             tls.RequireAndVerifyClientCert,
				ClientCAs:              now.RootCAs,
				VerifyConnection:       verify(files, names, x509.ExtKeyUsageClientAuth),
				SessionTicketsDisabled: true, // a resumed session would skip the check against a new authority
			}, nil
		},
		SessionTicketsDisabled: true,
	}
}

func peerHosts(c *Cluster) []string {
	var hosts []string
	for _, name := range slices.Sorted(maps.Keys(c.Peers)) {
		if host, _, err := net.SplitHostPort(c.Peers[name]); err == nil && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// verify checks that the other side's certificate is signed by the authorities,
// for the usage, and names one of the names.
func verify(files *tlsfiles.Client, names []string, usage x509.ExtKeyUsage) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errors.New("no certificate")
		}
		now, err := files.Config("")
		if err != nil {
			return err
		}
		leaf, others := s.PeerCertificates[0], x509.NewCertPool()
		for _, c := range s.PeerCertificates[1:] {
			others.AddCert(c)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: now.RootCAs, Intermediates: others, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
		}
		for _, name := range names {
			if leaf.VerifyHostname(name) == nil {
				return nil
			}
		}
		return fmt.Errorf("the certificate of %q (%v, %v) names none of %v", leaf.Subject.CommonName, leaf.DNSNames, leaf.IPAddresses, names)
	}
}
