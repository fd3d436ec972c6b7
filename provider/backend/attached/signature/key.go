package signature

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // for crypto.SHA384 and crypto.SHA512
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
)

// minRSABits is the least size of an RSA key that is accepted.
const minRSABits = 2048

// Key is a public key that may sign attestations.
type Key struct {
	public crypto.PublicKey
	id     string
}

// ID is the hexadecimal SHA-256 of the key's PKIX form. It names the key in
// logs.
func (k Key) ID() string { return k.id }

// ParseKeys reads the public keys of a PEM file. It must hold at least one and
// nothing else: a private key or a certificate there is a mistake.
func ParseKeys(data []byte) ([]Key, error) {
	const (
		dashes        = "-----"
		dashesOfBlock = 4 // two in each of its boundaries
	)
	all := data
	var keys []Key
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		if block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("it holds a PEM block of type %q; only PUBLIC KEY is read", block.Type)
		}
		k, err := parseKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
		data = rest
	}
	if len(keys) == 0 {
		return nil, errors.New("it holds no PEM block of type PUBLIC KEY")
	}
	// What cannot be decoded is passed over by the decoder: a file that is being
	// written must not read as one of fewer keys.
	if bytes.Count(all, []byte(dashes)) != dashesOfBlock*len(keys) {
		return nil, errors.New("it holds a PEM block that is broken or cut off")
	}
	return keys, nil
}

func parseKey(der []byte) (Key, error) {
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return Key{}, fmt.Errorf("reading a public key: %w", err)
	}
	switch k := public.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSABits {
			return Key{}, fmt.Errorf("an RSA key of %d bits is too short: %d is the least", k.N.BitLen(), minRSABits)
		}
	default:
		return Key{}, fmt.Errorf("keys of type %T cannot be used: ECDSA, Ed25519 and RSA can", public)
	}
	sum := sha256.Sum256(der)
	return Key{public: public, id: hex.EncodeToString(sum[:])}, nil
}

// message is what was signed, with its hashes: it may be large, and there may
// be many keys to try.
type message struct {
	data   []byte
	hashes map[crypto.Hash][]byte
}

func newMessage(data []byte) *message {
	return &message{data: data, hashes: map[crypto.Hash][]byte{}}
}

func (m *message) hash(h crypto.Hash) []byte {
	if sum, ok := m.hashes[h]; ok {
		return sum
	}
	w := h.New()
	w.Write(m.data)
	m.hashes[h] = w.Sum(nil)
	return m.hashes[h]
}

// signedBy reports whether sig is k's signature of the message. Signers differ
// in the hash they pair with the longer curves and in RSA's padding; each pair
// is sound.
func (m *message) signedBy(k Key, sig []byte) bool {
	switch public := k.public.(type) {
	case *ecdsa.PublicKey:
		for _, h := range hashesOf(public) {
			if ecdsa.VerifyASN1(public, m.hash(h), sig) {
				return true
			}
		}
	case ed25519.PublicKey:
		return ed25519.Verify(public, m.data, sig)
	case *rsa.PublicKey:
		sum := m.hash(crypto.SHA256)
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, sum, sig) == nil ||
			rsa.VerifyPSS(public, crypto.SHA256, sum, sig, nil) == nil
	}
	return false
}

func hashesOf(k *ecdsa.PublicKey) []crypto.Hash {
	switch k.Curve.Params().BitSize {
	case 384:
		return []crypto.Hash{crypto.SHA384, crypto.SHA256}
	case 521:
		return []crypto.Hash{crypto.SHA512, crypto.SHA256}
	}
	return []crypto.Hash{crypto.SHA256}
}
