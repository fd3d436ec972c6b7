package signature

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	bundlepb "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// Why an envelope does not open. Any other error means that it is malformed.
var (
	// ErrUnsigned: it bears no signature.
	ErrUnsigned = errors.New("it is not signed")
	// ErrBadSignature: none of its signatures is of a configured key.
	ErrBadSignature = errors.New("no signature is of a configured key")
	// ErrUnsupported: it is of a form or version that is not read.
	ErrUnsupported = errors.New("not supported")
)

// Media types of what Open reads.
const (
	BundleMediaType   = "application/vnd.dev.sigstore.bundle.v0.3+json"
	EnvelopeMediaType = "application/vnd.dsse.envelope.v1+json"
)

// statementType is the DSSE payload type of in-toto statements.
const statementType = "application/vnd.in-toto+json"

// maxSignatures bounds the work on one envelope.
const maxSignatures = 16

func bundleMediaTypes() []string {
	const old = "application/vnd.dev.sigstore.bundle+json;version="
	return []string{BundleMediaType, old + "0.3", old + "0.2", old + "0.1"}
}

// IsBundle reports whether a media type is that of a Sigstore bundle.
func IsBundle(mediaType string) bool { return slices.Contains(bundleMediaTypes(), mediaType) }

// Keys is the set of public keys of which any one may sign.
type Keys []Key

// Has reports whether a key of the ID is among them.
func (k Keys) Has(id string) bool {
	return slices.ContainsFunc(k, func(key Key) bool { return key.id == id })
}

// Open returns the in-toto statement that blob, of the given media type, holds
// signed, and the ID of the key that signed it. Nothing of the payload is looked
// at before the signature holds.
func (k Keys) Open(ctx context.Context, mediaType string, blob []byte) (payload []byte, key string, err error) {
	var envelope *dsse.Envelope
	switch {
	case IsBundle(mediaType):
		envelope, err = fromBundle(blob)
	case mediaType == EnvelopeMediaType:
		envelope = &dsse.Envelope{}
		err = json.Unmarshal(blob, envelope)
	default:
		err = fmt.Errorf("media type %q: %w", mediaType, ErrUnsupported)
	}
	if err != nil {
		return nil, "", err
	}
	return k.verify(ctx, envelope)
}

func (k Keys) verify(ctx context.Context, envelope *dsse.Envelope) (payload []byte, key string, err error) {
	if len(envelope.Signatures) == 0 {
		return nil, "", ErrUnsigned
	}
	if n := len(envelope.Signatures); n > maxSignatures {
		return nil, "", fmt.Errorf("it bears %d signatures, more than %d: %w", n, maxSignatures, ErrUnsupported)
	}
	if payload, err = envelope.DecodeB64Payload(); err != nil {
		return nil, "", fmt.Errorf("reading the payload: %w", err)
	}
	if key = k.signer(ctx, envelope, payload); key == "" {
		return nil, "", ErrBadSignature
	}
	if envelope.PayloadType != statementType {
		return nil, "", fmt.Errorf("payload type %q: %w", envelope.PayloadType, ErrUnsupported)
	}
	return payload, key, nil
}

// signer returns the ID of a key that signed, or nothing. It tries each signature by itself: one that cannot even be read must not
// hide a good one, nor a key identifier, which nobody signs, the right key.
func (k Keys) signer(ctx context.Context, envelope *dsse.Envelope, payload []byte) string {
	m := newMessage(dsse.PAE(envelope.PayloadType, payload))
	for _, s := range envelope.Signatures {
		sig, err := decodeSignature(s.Sig)
		if err != nil {
			continue
		}
		for _, key := range k {
			if ctx.Err() == nil && m.signedBy(key, sig) {
				return key.id
			}
		}
	}
	return ""
}

func decodeSignature(s string) ([]byte, error) {
	if b, err := base64.StdEncoding.DecodeString(s); err == nil {
		return b, nil
	}
	return base64.URLEncoding.DecodeString(s)
}

// fromBundle takes the envelope out of a bundle.
func fromBundle(blob []byte) (*dsse.Envelope, error) {
	var b bundlepb.Bundle
	if err := protojson.Unmarshal(blob, &b); err != nil {
		return nil, fmt.Errorf("reading the bundle: %w", err)
	}
	if !IsBundle(b.GetMediaType()) {
		return nil, fmt.Errorf("bundle of media type %q: %w", b.GetMediaType(), ErrUnsupported)
	}
	if b.GetMessageSignature() != nil {
		return nil, fmt.Errorf("bundle that signs a file, not a statement: %w", ErrUnsupported)
	}
	in := b.GetDsseEnvelope()
	if in == nil {
		return nil, errors.New("the bundle holds no envelope")
	}
	if n := len(in.GetSignatures()); n > 1 {
		// The bundle's specification asks for this refusal.
		return nil, fmt.Errorf("the bundle's envelope bears %d signatures instead of one", n)
	}
	out := &dsse.Envelope{
		PayloadType: in.GetPayloadType(),
		Payload:     base64.StdEncoding.EncodeToString(in.GetPayload()),
	}
	for _, s := range in.GetSignatures() {
		out.Signatures = append(out.Signatures, dsse.Signature{Sig: base64.StdEncoding.EncodeToString(s.GetSig())})
	}
	return out, nil
}
