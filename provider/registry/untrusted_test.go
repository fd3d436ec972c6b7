package registry

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
)

// The operator reads in the log which setting a certificate is in want of; a Pod's
// author does not read that there is one.
func TestACertificateThatIsNotTrustedNamesTheSetting(t *testing.T) {
	ref, err := name.ParseReference("registry.example.com/team/app:1")
	if err != nil {
		t.Fatal(err)
	}
	cause := &url.Error{Op: "Get", URL: "https://registry.example.com/v2/", Err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}
	f := target{reference: "registry.example.com/team/app:1", ref: ref, tag: "1"}.failure(cause, credential{})
	if f.Err == nil || !strings.Contains(f.Err.Error(), "registry.caFiles") || strings.Contains(f.Message, "certificate") {
		t.Errorf("%s: %v", f.Message, f.Err)
	}
}
