package signature_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/backend/attached/attachedtest"
	"github.com/imagegate/imagegate/provider/backend/attached/signature"
)

func keysOf(t testing.TB, signers ...*attachedtest.Signer) signature.Keys {
	t.Helper()
	var keys signature.Keys
	for _, s := range signers {
		k, err := signature.ParseKeys(s.PEM(t))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k...)
	}
	return keys
}

const statement = `{"_type":"https://in-toto.io/Statement/v1"}`

func TestEveryKindOfKeyOpens(t *testing.T) {
	curve := func(c elliptic.Curve) crypto.Signer {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384 := curve(elliptic.P384())
	for name, s := range map[string]*attachedtest.Signer{
		"P-256":         {Key: curve(elliptic.P256()), Hash: crypto.SHA256},
		"P-384":         {Key: p384, Hash: crypto.SHA384},
		"P-384 SHA-256": {Key: p384, Hash: crypto.SHA256},
		"P-521":         {Key: curve(elliptic.P521()), Hash: crypto.SHA512},
		"Ed25519":       {Key: ed},
		"RSA PKCS1v15":  {Key: rsaKey, Hash: crypto.SHA256},
		"RSA PSS":       {Key: rsaKey, Hash: crypto.SHA256, Opts: &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}},
	} {
		t.Run(name, func(t *testing.T) {
			keys := keysOf(t, attachedtest.NewSigner(t), s)
			for mediaType, blob := range map[string][]byte{
				attachedtest.BundleType:   s.SignedBundle(t, []byte(statement)),
				attachedtest.EnvelopeType: s.SignedEnvelope(t, []byte(statement)),
			} {
				got, _, err := keys.Open(t.Context(), mediaType, blob)
				if err != nil || string(got) != statement {
					t.Errorf("%s opens to %q, %v", mediaType, got, err)
				}
				other := keysOf(t, attachedtest.NewSigner(t))
				if _, key, _ := keys.Open(t.Context(), mediaType, blob); !keys.Has(key) || other.Has(key) {
					t.Errorf("signed with %q", key)
				}
				if got, _, err := other.Open(t.Context(), mediaType, blob); !errors.Is(err, signature.ErrBadSignature) || got != nil {
					t.Errorf("%s opens with another key to %q, %v", mediaType, got, err)
				}
			}
		})
	}
}

func TestWhatDoesNotOpen(t *testing.T) {
	s, stranger := attachedtest.NewSigner(t), attachedtest.NewSigner(t)
	const st = attachedtest.StatementType
	body := []byte(statement)
	good, foreign := s.Sign(t, st, body), stranger.Sign(t, st, body)
	malformed := errors.New("malformed")
	for name, c := range map[string]struct {
		mediaType string
		blob      []byte
		want      error
	}{
		"other payload":          {attachedtest.BundleType, attachedtest.Bundle(t, st, []byte(`{"other":1}`), good), signature.ErrBadSignature},
		"payload type exchanged": {attachedtest.BundleType, attachedtest.Bundle(t, "text/plain", body, good), signature.ErrBadSignature},
		"payload type signed":    {attachedtest.BundleType, attachedtest.Bundle(t, "text/plain", body, s.Sign(t, "text/plain", body)), signature.ErrUnsupported},
		"stranger":               {attachedtest.BundleType, attachedtest.Bundle(t, st, body, foreign), signature.ErrBadSignature},
		"no signature":           {attachedtest.BundleType, attachedtest.Bundle(t, st, body), signature.ErrUnsigned},
		"empty signature":        {attachedtest.BundleType, attachedtest.Bundle(t, st, body, nil), signature.ErrBadSignature},
		"two in a bundle":        {attachedtest.BundleType, attachedtest.Bundle(t, st, body, good, foreign), malformed},
		"raw hash signed":        {attachedtest.BundleType, attachedtest.Bundle(t, st, body, rawSignature(t, s, body)), signature.ErrBadSignature},
		"file signature": {attachedtest.BundleType, []byte(`{"mediaType":"` + attachedtest.BundleType +
			`","messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"AAAA"},"signature":"AAAA"}}`), signature.ErrUnsupported},
		"bundle of the future": {attachedtest.BundleType, bytes.Replace(s.SignedBundle(t, body), []byte("v0.3"), []byte("v0.9"), 1), signature.ErrUnsupported},
		"bundle of nothing":    {attachedtest.BundleType, []byte(`{"mediaType":"` + attachedtest.BundleType + `"}`), malformed},
		"empty":                {attachedtest.BundleType, nil, malformed},
		"null":                 {attachedtest.EnvelopeType, []byte("null"), signature.ErrUnsigned},
		"cut":                  {attachedtest.BundleType, s.SignedBundle(t, body)[:40], malformed},
		"envelope as bundle":   {attachedtest.BundleType, s.SignedEnvelope(t, body), malformed},
		"bundle as envelope":   {attachedtest.EnvelopeType, s.SignedBundle(t, body), signature.ErrUnsigned},
		"bare statement":       {attachedtest.EnvelopeType, body, signature.ErrUnsigned},
		"payload not base64":   {attachedtest.EnvelopeType, []byte(`{"payload":"%","payloadType":"x","signatures":[{"sig":"AAAA"}]}`), malformed},
		"many signatures":      {attachedtest.EnvelopeType, attachedtest.Envelope(t, st, body, bytes.SplitAfter(bytes.Repeat([]byte("x,"), 40), []byte(","))...), signature.ErrUnsupported},
		"other media type":     {"application/json", s.SignedEnvelope(t, body), signature.ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, err := keysOf(t, s).Open(t.Context(), c.mediaType, c.blob)
			if got != nil || err == nil {
				t.Fatalf("opens to %q, %v", got, err)
			}
			if errors.Is(c.want, malformed) {
				for _, known := range []error{signature.ErrUnsigned, signature.ErrBadSignature, signature.ErrUnsupported} {
					if errors.Is(err, known) {
						t.Errorf("error is %v, want a malformed one", err)
					}
				}
			} else if !errors.Is(err, c.want) {
				t.Errorf("error is %v, want %v", err, c.want)
			}
		})
	}
}

// rawSignature signs the payload itself instead of the envelope.
func rawSignature(t *testing.T, s *attachedtest.Signer, payload []byte) []byte {
	t.Helper()
	h := crypto.SHA256.New()
	h.Write(payload)
	sig, err := s.Key.Sign(rand.Reader, h.Sum(nil), crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func TestOneGoodSignatureOfSeveralIsEnough(t *testing.T) {
	s, stranger := attachedtest.NewSigner(t), attachedtest.NewSigner(t)
	const st = attachedtest.StatementType
	good, foreign := s.Sign(t, st, []byte(statement)), stranger.Sign(t, st, []byte(statement))
	unreadable := strings.Replace(
		string(attachedtest.Envelope(t, st, []byte(statement), []byte("first"), good)), `"sig":"Zmlyc3Q="`, `"sig":"%%"`, 1)
	for name, blob := range map[string][]byte{
		"after":      attachedtest.Envelope(t, st, []byte(statement), foreign, good),
		"before":     attachedtest.Envelope(t, st, []byte(statement), good, foreign),
		"unreadable": []byte(unreadable),
	} {
		if _, _, err := keysOf(t, s).Open(t.Context(), attachedtest.EnvelopeType, blob); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestACancelledOpenSaysNotYes(t *testing.T) {
	s := attachedtest.NewSigner(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, _, err := keysOf(t, s).Open(ctx, attachedtest.BundleType, s.SignedBundle(t, []byte(statement))); err == nil {
		t.Errorf("opens to %q", got)
	}
}

func TestParseKeysRefuses(t *testing.T) {
	s := attachedtest.NewSigner(t)
	good := s.PEM(t)
	for want, data := range map[string][]byte{
		"holds no PEM block":       []byte("no key"),
		`"EC PRIVATE KEY"`:         append(bytes.Clone(good), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte{1}})...),
		"broken or cut off":        append(bytes.Clone(good), attachedtest.NewSigner(t).PEM(t)[:60]...),
		"is broken or cut off":     append([]byte("-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----\n"), good...),
		"a PEM block that is":      append(bytes.Clone(good), "-----BE"...),
		"reading a public key":     pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte{1}}),
		"holds a PEM block of typ": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}}),
	} {
		if keys, err := signature.ParseKeys(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d keys, error %v lacks %q", len(keys), err, want)
		}
	}
	if keys, err := signature.ParseKeys(append(bytes.Clone(good), attachedtest.NewSigner(t).PEM(t)...)); err != nil || len(keys) != 2 {
		t.Errorf("%d keys, %v, want 2", len(keys), err)
	}
}

func FuzzOpen(f *testing.F) {
	s := attachedtest.NewSigner(f)
	keys := keysOf(f, attachedtest.NewSigner(f))
	f.Add(true, s.SignedBundle(f, []byte(statement)))
	f.Add(false, s.SignedEnvelope(f, []byte(statement)))
	f.Fuzz(func(t *testing.T, bundle bool, blob []byte) {
		mediaType := attachedtest.EnvelopeType
		if bundle {
			mediaType = attachedtest.BundleType
		}
		if got, _, err := keys.Open(t.Context(), mediaType, blob); err == nil || got != nil {
			t.Errorf("what no key signed opens to %q", got)
		}
	})
}
