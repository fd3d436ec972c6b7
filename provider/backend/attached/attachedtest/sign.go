// Package attachedtest makes signed attachments for tests: keys, in-toto
// statements, DSSE envelopes and Sigstore bundles, put together here by hand
// so that what is tested does not vouch for itself.
package attachedtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	_ "crypto/sha256" // for crypto.SHA256
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"testing"

	bundlepb "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	commonpb "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	dssepb "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"google.golang.org/protobuf/encoding/protojson"
)

// The media types of what is attached.
const (
	BundleType    = "application/vnd.dev.sigstore.bundle.v0.3+json"
	EnvelopeType  = "application/vnd.dsse.envelope.v1+json"
	StatementType = "application/vnd.in-toto+json"
)

// Signer is a key that signs a message.
type Signer struct {
	Key  crypto.Signer
	Hash crypto.Hash // zero for Ed25519
	Opts crypto.SignerOpts
}

// NewSigner makes a P-256 key, as cosign does.
func NewSigner(t testing.TB) *Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &Signer{Key: key, Hash: crypto.SHA256}
}

// PEM returns the public key.
func (s *Signer) PEM(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(s.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// Sign signs a payload of a type as DSSE asks for.
func (s *Signer) Sign(t testing.TB, payloadType string, payload []byte) []byte {
	t.Helper()
	data := fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
	if s.Hash != 0 {
		h := s.Hash.New()
		h.Write(data)
		data = h.Sum(nil)
	}
	opts := s.Opts
	if opts == nil {
		opts = s.Hash
	}
	sig, err := s.Key.Sign(rand.Reader, data, opts)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// Bundle puts a payload with signatures in a Sigstore bundle.
func Bundle(t testing.TB, payloadType string, payload []byte, sigs ...[]byte) []byte {
	t.Helper()
	envelope := &dssepb.Envelope{PayloadType: payloadType, Payload: payload}
	for _, sig := range sigs {
		envelope.Signatures = append(envelope.Signatures, &dssepb.Signature{Sig: sig})
	}
	out, err := protojson.Marshal(&bundlepb.Bundle{
		MediaType: BundleType,
		VerificationMaterial: &bundlepb.VerificationMaterial{
			Content: &bundlepb.VerificationMaterial_PublicKey{PublicKey: &commonpb.PublicKeyIdentifier{Hint: "a hint"}},
		},
		Content: &bundlepb.Bundle_DsseEnvelope{DsseEnvelope: envelope},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Envelope puts a payload with signatures in a bare DSSE envelope. The key
// identifiers are nobody's.
func Envelope(t testing.TB, payloadType string, payload []byte, sigs ...[]byte) []byte {
	t.Helper()
	type signature struct {
		KeyID string `json:"keyid"`
		Sig   []byte `json:"sig"`
	}
	var list []signature
	for _, sig := range sigs {
		list = append(list, signature{KeyID: "somebody", Sig: sig})
	}
	return JSON(t, map[string]any{"payloadType": payloadType, "payload": payload, "signatures": list})
}

// SignedBundle is a bundle of a statement.
func (s *Signer) SignedBundle(t testing.TB, statement []byte) []byte {
	t.Helper()
	return Bundle(t, StatementType, statement, s.Sign(t, StatementType, statement))
}

// SignedEnvelope is a bare envelope of a statement.
func (s *Signer) SignedEnvelope(t testing.TB, statement []byte) []byte {
	t.Helper()
	return Envelope(t, StatementType, statement, s.Sign(t, StatementType, statement))
}

// Statement makes an in-toto statement about sha256 digests, given with or
// without their prefix.
func Statement(t testing.TB, predicateType string, predicate any, digests ...string) []byte {
	t.Helper()
	var subjects []any
	for _, d := range digests {
		if len(d) > len("sha256:") && d[:len("sha256:")] == "sha256:" {
			d = d[len("sha256:"):]
		}
		subjects = append(subjects, map[string]any{"name": "image", "digest": map[string]string{"sha256": d}})
	}
	return JSON(t, map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "subject": subjects, "predicateType": predicateType, "predicate": predicate,
	})
}

// JSON marshals v.
func JSON(t testing.TB, v any) []byte {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
