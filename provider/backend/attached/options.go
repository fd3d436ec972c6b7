package attached

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/backend/attached/signature"
	"github.com/imagegate/imagegate/provider/filewatch"
	"github.com/imagegate/imagegate/provider/registry/transport"
	"github.com/imagegate/imagegate/provider/report"
)

// Options configure a Finder.
type Options struct {
	// KeyFiles are PEM files of the public keys (ECDSA, Ed25519, RSA) of which
	// any one may sign. Keys are more, as the PEM itself. At least one key and
	// at most MaxKeys are required.
	KeyFiles []string
	Keys     [][]byte
	// MaxAge is the age, by its own signed time, from which a report no longer
	// counts. Default 24h.
	MaxAge time.Duration
	// MaxDatabaseAge is the age of a report's vulnerability data from which it no
	// longer counts; one that does not tell it counts as too old. 0: any age.
	MaxDatabaseAge time.Duration
	// Unstated lets reports count whose format has no room for what was looked at:
	// in-toto's and SARIF. Such a report of an image whose distribution the
	// scanner does not know reads like one of a clean image.
	Unstated bool
	// NeedFixes passes over reports with findings that do not tell whether
	// there is a fix. It must be set where the verdict ignores findings
	// without one, or such reports would be accepted whatever they list.
	NeedFixes bool
	// MaxReferrers bounds the attachments looked at for one image. Default 64.
	MaxReferrers int
	// MaxBytes bounds one attachment. Default 16 MiB.
	MaxBytes int64
	// Timeout bounds one look-up. Default 10s.
	Timeout time.Duration
	// Concurrency bounds the attachments fetched and read at a time, over all
	// look-ups; each takes some times its size in memory. Default 4.
	Concurrency int
	// SkipTags leaves out cosign's tag scheme, one request less for each image.
	SkipTags bool
	// Hosts are the certificate authorities that registries have of their own, and
	// the token servers that may have a private address; nil is none.
	Hosts *transport.Hosts
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Logger is where attachments that are passed over are reported; default
	// slog.Default().
	Logger *slog.Logger
	// Registerer takes the metrics; nil: they are kept to oneself.
	Registerer prometheus.Registerer
}

// MaxKeys bounds the keys: each is tried on each signature.
const MaxKeys = 16

// Defaults of Options.
const (
	DefaultMaxAge       = 24 * time.Hour
	DefaultMaxReferrers = 64
	DefaultMaxBytes     = 16 << 20
	DefaultTimeout      = 10 * time.Second
	DefaultConcurrency  = 4
)

func (o Options) withDefaults() (Options, error) {
	if o.MaxAge < 0 || o.MaxDatabaseAge < 0 || o.MaxReferrers < 0 || o.MaxBytes < 0 || o.Timeout < 0 || o.Concurrency < 0 {
		return o, errors.New("MaxAge, MaxDatabaseAge, MaxReferrers, MaxBytes, Timeout and Concurrency cannot be negative")
	}
	o.MaxAge = cmp.Or(o.MaxAge, DefaultMaxAge)
	o.MaxReferrers = cmp.Or(o.MaxReferrers, DefaultMaxReferrers)
	o.MaxBytes = cmp.Or(o.MaxBytes, DefaultMaxBytes)
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	o.Concurrency = cmp.Or(o.Concurrency, DefaultConcurrency)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o, nil
}

// until is when an attached report stops counting.
func (o Options) until(scan *report.Scan) time.Time {
	end := scan.ScannedAt.Add(o.MaxAge)
	if o.MaxDatabaseAge == 0 {
		return end
	}
	if data := scan.DatabaseBuiltAt.Add(o.MaxDatabaseAge); data.Before(end) {
		return data
	}
	return end
}

// followedKeys are the keys, with those of the files as the files are.
func (o Options) followedKeys() *filewatch.Content[signature.Keys] {
	return filewatch.New("keys (KeyFiles, Keys)", o.KeyFiles, o.parseKeys)
}

// parseKeys reads the contents of the files, and Keys.
func (o Options) parseKeys(contents [][]byte) (signature.Keys, error) {
	var keys signature.Keys
	add := func(what string, pem []byte) error {
		some, err := signature.ParseKeys(pem)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		for _, k := range some {
			if !keys.Has(k.ID()) {
				keys = append(keys, k)
			}
		}
		return nil
	}
	for i, pem := range contents {
		if err := add(fmt.Sprintf("KeyFiles[%d]: %s", i, o.KeyFiles[i]), pem); err != nil {
			return nil, err
		}
	}
	for i, pem := range o.Keys {
		if err := add(fmt.Sprintf("Keys[%d]", i), pem); err != nil {
			return nil, err
		}
	}
	switch {
	case len(keys) == 0:
		return nil, errors.New("no key is configured: without one no attachment can count")
	case len(keys) > MaxKeys:
		return nil, fmt.Errorf("%d keys are configured, more than %d", len(keys), MaxKeys)
	}
	return keys, nil
}
