package signature_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/imagegate/imagegate/provider/backend/attached/attachedtest"
	"github.com/imagegate/imagegate/provider/backend/attached/signature"
)

// The bundles in testdata were made by sigstore-go v1.3.0 (package sign), each
// with a key made for it and thrown away.
func TestBundlesOfSigstoreGo(t *testing.T) {
	for _, name := range []string{"p256", "p384", "ed25519", "rsa"} {
		blob, err := os.ReadFile(filepath.Join("testdata", "sigstore-go-"+name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		pem, err := os.ReadFile(filepath.Join("testdata", "sigstore-go-"+name+".pem"))
		if err != nil {
			t.Fatal(err)
		}
		keys, err := signature.ParseKeys(pem)
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := signature.Keys(keys).Open(t.Context(), attachedtest.BundleType, blob); err != nil || string(got) != statement {
			t.Errorf("%s opens to %q, %v", name, got, err)
		}
	}
}
