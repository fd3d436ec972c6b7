// Package wire is the protocol between Gatekeeper and the provider: the
// externaldata.gatekeeper.sh/v1beta1 ProviderRequest and ProviderResponse of
// frameworks/constraint, what their keys mean here, and which answers
// Gatekeeper may cache.
//
// Source: https://open-policy-agent.github.io/gatekeeper/website/docs/externaldata
package wire
