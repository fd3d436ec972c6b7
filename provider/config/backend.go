package config

import (
	"net/url"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/imagegate/imagegate/provider/backend/anchore"
	"github.com/imagegate/imagegate/provider/backend/harbor"
)

// Backend is one scanner: at most one of its fields has a URL.
type Backend struct {
	Harbor  Harbor  `json:"harbor,omitzero"`
	Anchore Anchore `json:"anchore,omitzero"`
}

// kind is a kind of backend, by the name of its field.
type kind struct {
	name     string
	settings settings
}

// settings are what is configured of a backend of one kind.
type settings interface {
	// address is the scanner's URL; empty: it is not configured.
	address() string
	// none reports whether nothing is set.
	none() bool
	// validate checks what the backend itself cannot: its URL's form, the words of
	// settings that are not its own, and that its files can be read.
	validate(p *field.Path) field.ErrorList
}

// kinds are all kinds of backends.
func (b *Backend) kinds() []kind {
	return []kind{
		{"harbor", &b.Harbor},
		{"anchore", &b.Anchore},
	}
}

// configured is the kind of the backend; its zero value where there is none.
func (b *Backend) configured() kind {
	for _, k := range b.kinds() {
		if k.settings.address() != "" {
			return k
		}
	}
	return kind{}
}

// Kind is the kind of the backend, as its field is called; empty: there is none.
func (b *Backend) Kind() string { return b.configured().name }

// Address is the URL of the backend; empty: there is none.
func (b *Backend) Address() string {
	if k := b.configured(); k.settings != nil {
		return k.settings.address()
	}
	return ""
}

// Configured reports whether the backend is one.
func (b *Backend) Configured() bool { return b.Kind() != "" }

// Kinds are the names of all kinds of backends.
func Kinds() []string {
	var names []string
	for _, k := range new(Backend).kinds() {
		names = append(names, k.name)
	}
	return names
}

// addresses names the fields of which one has to be set.
func (*Backend) addresses() string { return strings.Join(Kinds(), ".url or ") + ".url" }

// validate checks that there is one backend at most, and what is set of it.
func (b *Backend) validate(p *field.Path) (errs field.ErrorList) {
	first := ""
	for _, k := range b.kinds() {
		at := p.Child(k.name)
		switch set := k.settings.address() != ""; {
		case set && first != "":
			errs = append(errs, field.Forbidden(at.Child("url"), "cannot be set beside "+first+".url"))
		case set:
			first = k.name
		case !k.settings.none():
			errs = append(errs, field.Required(at.Child("url"), "must be set when other "+k.name+" settings are"))
		}
		errs = append(errs, k.settings.validate(at)...)
	}
	return errs
}

// Harbor is an adapter of the Harbor Pluggable Scanner API. Settings that are
// left out have the defaults of package harbor.
type Harbor struct {
	URL string `json:"url"`
	// TokenFile holds the adapter's bearer token.
	TokenFile    string          `json:"tokenFile,omitempty"`
	CAFile       string          `json:"caFile,omitempty"`
	Proxy        string          `json:"proxy,omitempty"`
	PollInterval metav1.Duration `json:"pollInterval,omitzero"`
	Verify       Verify          `json:"verify,omitempty"`
	// EmptyReport is what a report counts for that lists nothing, from an adapter
	// that cannot say what it looked at: reject (empty is the same) or accept.
	EmptyReport harbor.EmptyReport `json:"emptyReport,omitempty"`
}

// Verified reports whether the adapter reads images through the provider.
func (h *Harbor) Verified() bool { return h.URL != "" && h.Verify != VerifyOff }

func (h *Harbor) address() string { return h.URL }
func (h *Harbor) none() bool      { return *h == Harbor{} }

func (h *Harbor) validate(p *field.Path) (errs field.ErrorList) {
	if h.URL != "" {
		u, err := url.Parse(h.URL)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			errs = append(errs, field.Invalid(p.Child("url"), h.URL, "must be an http or https URL"))
		}
	}
	errs = append(errs, oneOf(p.Child("verify"), h.Verify, "", VerifyProxy, VerifyOff)...)
	errs = append(errs, readable(p.Child("tokenFile"), h.TokenFile)...)
	errs = append(errs, readable(p.Child("caFile"), h.CAFile)...)
	if h.EmptyReport != "" {
		errs = append(errs, oneOf(p.Child("emptyReport"), h.EmptyReport, harbor.Accept, harbor.Reject)...)
	}
	return errs
}

// Verify says whether an adapter reads images through the provider.
type Verify string

// The settings of Verify; empty is proxy.
const (
	VerifyProxy Verify = "proxy"
	// VerifyOff gives the adapter the registry's address and credentials. What
	// a registry serves to it under another image's digests is not noticed.
	VerifyOff Verify = "off"
)

// Anchore is Anchore Engine, Anchore Enterprise or Sysdig Secure's legacy
// scanner, which judge by policies of their own. Settings that are left out
// have the defaults of package anchore.
type Anchore struct {
	URL string `json:"url"`
	// API is v1, v2 or sysdig; empty finds out.
	API anchore.API `json:"api,omitempty"`
	// TokenFile holds a token, sent in the form TokenForm: basic or bearer.
	TokenFile string            `json:"tokenFile,omitempty"`
	TokenForm anchore.TokenForm `json:"tokenForm,omitempty"`
	// User and PasswordFile are the other way to open the service.
	User         string `json:"user,omitempty"`
	PasswordFile string `json:"passwordFile,omitempty"`
	// Account is the Anchore account to act in.
	Account string `json:"account,omitempty"`
	// Submit names images by digest or by tag.
	Submit anchore.Submit `json:"submit,omitempty"`
	// Findings is optional, required or off.
	Findings          anchore.Findings `json:"findings,omitempty"`
	CAFile            string           `json:"caFile,omitempty"`
	Proxy             string           `json:"proxy,omitempty"`
	PollInterval      metav1.Duration  `json:"pollInterval,omitzero"`
	RequestTimeout    metav1.Duration  `json:"requestTimeout,omitzero"`
	RequestsPerSecond float64          `json:"requestsPerSecond,omitempty"`
	Burst             int              `json:"burst,omitempty"`
}

func (a *Anchore) address() string { return a.URL }
func (a *Anchore) none() bool      { return *a == Anchore{} }

func (a *Anchore) validate(p *field.Path) (errs field.ErrorList) {
	errs = append(errs, readable(p.Child("tokenFile"), a.TokenFile)...)
	errs = append(errs, readable(p.Child("passwordFile"), a.PasswordFile)...)
	return append(errs, readable(p.Child("caFile"), a.CAFile)...)
}
