// Package signature opens signed envelopes with configured public keys. It
// knows two forms: the Sigstore bundle
// (github.com/sigstore/protobuf-specs/protos/sigstore_bundle.proto) and the
// bare DSSE envelope (github.com/secure-systems-lab/dsse), which cosign's
// older tag scheme stores.
//
// Trust rests on the keys alone: certificates, transparency log entries and
// timestamps in a bundle are not looked at, and key identifiers, which nobody
// signs, choose nothing. How old a statement may be is judged by the time in
// the signed statement itself.
package signature
