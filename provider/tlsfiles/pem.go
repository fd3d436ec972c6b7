package tlsfiles

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// parseCertificates returns the CERTIFICATE blocks of a PEM file, other blocks
// skipped. A file that is only half written is an error, not a shorter one.
func parseCertificates(b []byte) ([]*x509.Certificate, error) {
	begun := bytes.Count(b, []byte("-----BEGIN CERTIFICATE-----"))
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		block, b = pem.Decode(b)
		if block == nil {
			if len(certs) < begun {
				return nil, errors.New("a certificate in it is cut off")
			}
			return certs, nil
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the bundle: %w", len(certs)+1, err)
		}
		certs = append(certs, c)
	}
}
