package imagescan

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/scanner/failure"
)

// The operator reads in the log which setting a certificate is in want of; a Pod's
// author does not read that there is one.
func TestACertificateThatIsNotTrustedNamesTheSetting(t *testing.T) {
	cause := &url.Error{Op: "Get", URL: "https://registry.example.com/v2/", Err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}
	err := registryFailure(cause, "team/app@sha256:0")
	var f *failure.Failure
	if !errors.As(err, &f) || f.Code != failure.Registry || strings.Contains(f.Message, "certificate") {
		t.Fatalf("%v", err)
	}
	if inner := errors.Unwrap(f); inner == nil || !strings.Contains(inner.Error(), "--registry-ca") {
		t.Errorf("the cause is %v", inner)
	}
}
