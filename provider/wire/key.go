package wire

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/imagegate/imagegate/provider/owner"
	"github.com/imagegate/imagegate/provider/platform"
	"github.com/imagegate/imagegate/provider/reference"
	"github.com/imagegate/imagegate/provider/report"
)

// Key is one parsed key of a ProviderRequest: an image reference as the Pod
// wrote it, optionally followed by "?" and URL-encoded context. A reference
// cannot contain "?", so a bare reference is a key and anybody's template may
// send one.
type Key struct {
	// Reference is the part before "?", as written.
	Reference string
	// Namespace, ServiceAccount and PullSecrets (names of Secrets in
	// Namespace) are whose credentials open the image.
	Namespace      string
	ServiceAccount string
	PullSecrets    []string
	// Platform is what is known of the platforms the image may run on, as
	// platform.Parse reads it, or empty: the provider goes by those in use.
	Platform string
	// View is how much of the report is wanted.
	View report.View
	// Original is what the sender believes the Pod's author wrote before the
	// image was pinned: a claim, which the provider checks. It is never refused,
	// since the author may have written anything.
	Original string
	// Asker is audit when that is who asks; empty otherwise. It is for the log.
	Asker string
	// Owner is the controller in Namespace that made the Pod and tries again when
	// it is denied; the zero value is none. It says nothing about the image: who
	// asks for the same with another owner is told the same. Gatekeeper, which
	// remembers answers by their whole key, must not be made to send it.
	Owner owner.Reference
	// User is whom the API server knows as the one who wants to run the image, when
	// somebody does: neither in a dry run nor in audit. The provider then remembers
	// what it answers. Pod is the name of the Pod, or what it begins with, when it has
	// no Owner. Like Owner they have no part in the answer, and are the mutator's alone.
	User, Pod string
}

// The names of a key's parameters.
const (
	paramNamespace      = "namespace"
	paramServiceAccount = "serviceAccount"
	paramPullSecret     = "pullSecret"
	paramPlatform       = "platform"
	paramView           = "view"
	paramOriginal       = "original"
	paramOwner          = "owner"
	paramAsker          = "asker"
	paramUser           = "user"
	paramPod            = "pod"
)

// AskerAudit is the Asker of Gatekeeper's audit.
const AskerAudit = "audit"

// ParseKey reads a key. Its errors are sentences for the author of the Pod or
// of the template: an invalid reference, an unknown or repeated parameter, an
// invalid value. A parameter is never ignored, for a misspelled "namespace"
// would silently use other credentials.
func ParseKey(s string) (Key, error) {
	ref, query, _ := strings.Cut(s, "?")
	k := Key{Reference: ref, View: report.ViewSummary}
	if _, err := reference.Parse(ref); err != nil {
		return k, fmt.Errorf("invalid image reference %q: %w", ref, err)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return k, fmt.Errorf("invalid parameters of image reference %q: %w", ref, err)
	}
	for param, vs := range values {
		if err := k.set(param, vs); err != nil {
			return k, fmt.Errorf("image reference %q: %w", ref, err)
		}
	}
	if k.Namespace == "" && (k.ServiceAccount != "" || len(k.PullSecrets) > 0) {
		return k, fmt.Errorf("image reference %q: %s and %s need a %s", ref, paramServiceAccount, paramPullSecret, paramNamespace)
	}
	if k.Namespace == "" && k.Owner != (owner.Reference{}) {
		return k, fmt.Errorf("image reference %q: %s needs a %s", ref, paramOwner, paramNamespace)
	}
	if k.Pod != "" && k.User == "" || k.User != "" && k.Namespace == "" {
		return k, fmt.Errorf("image reference %q: %s needs a %s, and that a %s", ref, paramPod, paramUser, paramNamespace)
	}
	return k, nil
}

func (k *Key) set(param string, vs []string) error {
	if param == paramPullSecret {
		for _, v := range vs {
			if v != "" {
				k.PullSecrets = append(k.PullSecrets, v)
			}
		}
		return nil
	}
	if len(vs) != 1 {
		return fmt.Errorf("parameter %q is given %d times", param, len(vs))
	}
	v := vs[0]
	switch param {
	case paramNamespace:
		k.Namespace = v
	case paramServiceAccount:
		k.ServiceAccount = v
	case paramPlatform:
		if _, err := platform.Parse(v); err != nil {
			return fmt.Errorf("parameter %q: %w", param, err)
		}
		k.Platform = v
	case paramView:
		view, err := report.ParseView(v)
		if err != nil {
			return fmt.Errorf("parameter %q: %w", param, err)
		}
		k.View = view
	case paramOriginal:
		k.Original = v
	case paramAsker:
		if v != AskerAudit {
			return fmt.Errorf("parameter %q: %q must be %s", param, v, AskerAudit)
		}
		k.Asker = v
	case paramUser:
		k.User = v
	case paramPod:
		k.Pod = v
	case paramOwner:
		r, err := owner.Parse(v)
		if err != nil {
			return fmt.Errorf("parameter %q: %w", param, err)
		}
		k.Owner = r
	default:
		return fmt.Errorf("unknown parameter %q", param)
	}
	return nil
}

// String returns the key in its one canonical form, the bare reference when
// there is no context. ParseKey(k.String()) is k.
func (k Key) String() string {
	q := url.Values{}
	for param, v := range map[string]string{
		paramNamespace:      k.Namespace,
		paramServiceAccount: k.ServiceAccount,
		paramPlatform:       k.Platform,
		paramOriginal:       k.Original,
		paramOwner:          k.Owner.String(),
		paramAsker:          k.Asker,
		paramUser:           k.User,
		paramPod:            k.Pod,
	} {
		if v != "" {
			q.Set(param, v)
		}
	}
	for _, s := range k.PullSecrets {
		q.Add(paramPullSecret, s)
	}
	if k.View != "" && k.View != report.ViewSummary {
		q.Set(paramView, string(k.View))
	}
	if len(q) == 0 {
		return k.Reference
	}
	return k.Reference + "?" + q.Encode()
}
