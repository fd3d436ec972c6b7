package config

import (
	"crypto/tls"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/imagegate/imagegate/mutator/admit"
	"github.com/imagegate/imagegate/mutator/pin"
	"github.com/imagegate/imagegate/provider/pattern"
	"github.com/imagegate/imagegate/provider/reference"
	"github.com/imagegate/imagegate/provider/strict"
)

// webhookLimit is the longest timeout that the API server gives a webhook.
const webhookLimit = 30 * time.Second

// Validate reports every mistake at once, each with its field's path.
func (c *Config) Validate() error {
	errs := c.Server.validate(field.NewPath("server"))
	errs = append(errs, c.Provider.validate(field.NewPath("provider"))...)
	errs = append(errs, c.Pin.validate(field.NewPath("pin"))...)
	errs = append(errs, c.Wait.validate(field.NewPath("wait"))...)
	errs = append(errs, c.Log.validate(field.NewPath("log"))...)
	return errs.ToAggregate()
}

func (s *Server) validate(p *field.Path) (errs field.ErrorList) {
	if _, _, err := net.SplitHostPort(s.Listen); err != nil {
		errs = append(errs, field.Invalid(p.Child("listen"), s.Listen, "must be host:port: "+err.Error()))
	}
	if s.TLS.CertFile == "" {
		errs = append(errs, field.Required(p.Child("tls", "certFile"), "the API server calls webhooks over TLS only"))
	}
	if s.TLS.KeyFile == "" {
		errs = append(errs, field.Required(p.Child("tls", "keyFile"), "the API server calls webhooks over TLS only"))
	}
	if _, ok := s.TLS.minVersion(); !ok {
		errs = append(errs, oneOf(p.Child("tls", "minVersion"), s.TLS.MinVersion, "1.2", "1.3")...)
	}
	if s.Concurrency < 1 {
		errs = append(errs, field.Invalid(p.Child("concurrency"), s.Concurrency, "must be greater than zero"))
	}
	if s.BodyBytes < 1 {
		errs = append(errs, field.Invalid(p.Child("bodyBytes"), s.BodyBytes, "must be greater than zero"))
	}
	for name, d := range map[string]time.Duration{"shutdownDelay": s.ShutdownDelay.Duration, "shutdownLimit": s.ShutdownLimit.Duration} {
		if d < 0 {
			errs = append(errs, field.Invalid(p.Child(name), d.String(), "must not be negative"))
		}
	}
	return errs
}

// MinTLS returns MinVersion as crypto/tls has it.
func (t *TLS) MinTLS() uint16 {
	v, _ := t.minVersion()
	return v
}

func (t *TLS) minVersion() (uint16, bool) {
	switch t.MinVersion {
	case "1.2":
		return tls.VersionTLS12, true
	case "1.3":
		return tls.VersionTLS13, true
	}
	return tls.VersionTLS13, false
}

func (v *Provider) validate(p *field.Path) (errs field.ErrorList) {
	u, err := url.Parse(v.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.User != nil {
		errs = append(errs, field.Invalid(p.Child("url"), v.URL, "must be https://host:port"))
	}
	if (v.CertFile == "") != (v.KeyFile == "") {
		errs = append(errs, field.Required(p, "certFile and keyFile must be set together"))
	}
	if d := v.ResolveTimeout.Duration; d <= 0 || d > webhookLimit {
		errs = append(errs, field.Invalid(p.Child("resolveTimeout"), d.String(), "must be longer than zero and at most "+webhookLimit.String()))
	}
	return errs
}

func (v *Pin) validate(p *field.Path) (errs field.ErrorList) {
	for i, kind := range v.Workloads {
		errs = append(errs, oneOf(p.Child("workloads").Index(i), kind, pin.Workloads()...)...)
	}
	for i, prefix := range v.Exempt {
		if _, err := reference.ParsePrefix(prefix); err != nil {
			errs = append(errs, field.Invalid(p.Child("exempt").Index(i), prefix, "no image can match: "+err.Error()))
		}
	}
	errs = append(errs, action(p.Child("onUnresolved"), v.OnUnresolved)...)
	byNamespace := p.Child("onUnresolvedByNamespace")
	for _, namespace := range slices.Sorted(maps.Keys(v.OnUnresolvedByNamespace)) {
		if err := pattern.Namespace(namespace); err != nil {
			errs = append(errs, field.Invalid(byNamespace, namespace, "must be a namespace, or the start of some as in dev-*: "+err.Error()))
		}
		errs = append(errs, action(byNamespace.Key(namespace), v.OnUnresolvedByNamespace[namespace])...)
	}
	return errs
}

func action(p *field.Path, a admit.Action) field.ErrorList {
	return oneOf(p, a, admit.Reject, admit.Keep)
}

func oneOf[S ~string](p *field.Path, v S, allowed ...S) field.ErrorList {
	if err := strict.OneOf(v, allowed...); err != nil {
		return field.ErrorList{field.Invalid(p, v, err.Error())}
	}
	return nil
}

func (w *Wait) validate(p *field.Path) (errs field.ErrorList) {
	if d := w.Duration.Duration; d < 0 || d > webhookLimit {
		errs = append(errs, field.Invalid(p.Child("duration"), d.String(), "must be between zero and "+webhookLimit.String()))
	}
	if w.Max < 1 {
		errs = append(errs, field.Invalid(p.Child("max"), w.Max, "must be greater than zero; to wait never, set duration to zero"))
	}
	return errs
}

func (l *Log) validate(p *field.Path) (errs field.ErrorList) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		errs = append(errs, oneOf(p.Child("level"), l.Level, "debug", "info", "warn", "error")...)
	}
	return append(errs, oneOf(p.Child("format"), l.Format, "json", "text")...)
}
