package images

import (
	"bytes"
	"encoding/pem"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// rootsModule is what the certificate authorities come from.
const rootsModule = "golang.org/x/crypto/x509roots/fallback"

// authorities returns the public certificate authorities as PEM. They are those
// of a version in go.mod, since a build host's bundle is another on each host.
// Authorities that count for older certificates only are left out: PEM cannot say
// that, and without the restriction they would count for everything.
func authorities() ([]byte, error) {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}
