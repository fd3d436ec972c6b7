package config

import (
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/imagegate/imagegate/provider/backend/bundled"
	"github.com/imagegate/imagegate/provider/backend/pullthrough"
	"github.com/imagegate/imagegate/provider/platform"
	"github.com/imagegate/imagegate/provider/reference"
	"github.com/imagegate/imagegate/provider/registry/transport"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/strict"
	"github.com/imagegate/imagegate/provider/verdict"
)

// gatekeeperWait is the longest that a Gatekeeper webhook may wait for
// anything: the API server's limit for webhooks.
const gatekeeperWait = 30 * time.Second

// Validate reports every mistake at once, each with its field's path.
func (c *Config) Validate() error {
	var errs field.ErrorList
	errs = append(errs, c.Server.validate(field.NewPath("server"))...)
	errs = append(errs, c.Registry.validate(field.NewPath("registry"))...)
	errs = append(errs, c.Scan.validate(field.NewPath("scan"))...)
	errs = append(errs, c.Scanner.validate(field.NewPath("scanner"))...)
	errs = append(errs, c.pullThrough(field.NewPath("scanner"))...)
	errs = append(errs, c.Verdict.validate(field.NewPath("verdict"))...)
	errs = append(errs, c.Nudge.validate(field.NewPath("nudge"))...)
	errs = append(errs, c.Inventory.validate(field.NewPath("inventory"))...)
	errs = append(errs, c.Install.validate(field.NewPath("install"), c)...)
	errs = append(errs, c.View.validate(field.NewPath("view"), c.Role)...)
	errs = append(errs, c.Log.validate(field.NewPath("log"))...)
	errs = append(errs, c.Store.validate(field.NewPath("store"))...)
	if keep, most := c.Store.KeepFor.Duration, c.Scan.MaxAge.Duration; keep > 0 && keep < most {
		errs = append(errs, field.Invalid(field.NewPath("store", "keepFor"), keep.String(), "must not be shorter than scan.maxAge, "+most.String()+", for which a report counts"))
	}
	if look, most := c.Registry.Timeout.Duration, c.Scan.Deadline.Duration; look > most {
		errs = append(errs, field.Invalid(field.NewPath("registry", "timeout"), look.String(), "must not be longer than scan.deadline, "+most.String()))
	}
	errs = append(errs, c.Role.validate(c)...)
	return errs.ToAggregate()
}

func (s *Store) validate(p *field.Path) (errs field.ErrorList) {
	errs = append(errs, positive(p.Child("bytes"), s.Bytes)...)
	errs = append(errs, positive(p.Child("cacheBytes"), s.CacheBytes)...)
	errs = append(errs, notNegative(p.Child("keepFor"), s.KeepFor)...)
	errs = append(errs, longer(p.Child("timeout"), s.Timeout)...)
	errs = append(errs, positive(p.Child("tagBytes"), s.TagBytes)...)
	errs = append(errs, positive(p.Child("memory", "reports"), s.Memory.Reports)...)
	errs = append(errs, positive(p.Child("memory", "bytes"), s.Memory.Bytes)...)
	return append(errs, s.NATS.validate(p.Child("nats"))...)
}

func (s *Server) validate(p *field.Path) (errs field.ErrorList) {
	if _, _, err := net.SplitHostPort(s.Listen); err != nil {
		errs = append(errs, field.Invalid(p.Child("listen"), s.Listen, "must be host:port: "+err.Error()))
	}
	errs = append(errs, s.TLS.validate(p.Child("tls"))...)
	errs = append(errs, atMost(p.Child("budget"), s.Budget, gatekeeperWait)...)
	errs = append(errs, atMost(p.Child("maxWait"), s.MaxWait, gatekeeperWait)...)
	if s.Budget.Duration > s.MaxWait.Duration {
		errs = append(errs, field.Invalid(p.Child("budget"), s.Budget.Duration.String(), "must not be longer than server.maxWait, "+s.MaxWait.Duration.String()))
	}
	errs = append(errs, positive(p.Child("concurrency"), s.Concurrency)...)
	errs = append(errs, notNegative(p.Child("shutdownDelay"), s.ShutdownDelay)...)
	errs = append(errs, notNegative(p.Child("shutdownLimit"), s.ShutdownLimit)...)
	l := p.Child("limits")
	errs = append(errs, positive(l.Child("bodyBytes"), s.Limits.BodyBytes)...)
	errs = append(errs, positive(l.Child("keys"), s.Limits.Keys)...)
	errs = append(errs, positive(l.Child("keyBytes"), s.Limits.KeyBytes)...)
	const least = 8192 // two summaries: below, a full view would say less than a summary
	if s.Limits.FullViewBytes < least {
		errs = append(errs, field.Invalid(l.Child("fullViewBytes"), s.Limits.FullViewBytes, "must be at least 8192"))
	}
	if most := s.Limits.AnswerBytes; s.Limits.FullViewBytes > most {
		errs = append(errs, field.Invalid(l.Child("fullViewBytes"), s.Limits.FullViewBytes, fmt.Sprintf("must not be greater than server.limits.answerBytes, %d", most)))
	}
	if most := s.Limits.BodyBytes; int64(s.Limits.KeyBytes) > most {
		errs = append(errs, field.Invalid(l.Child("keyBytes"), s.Limits.KeyBytes, fmt.Sprintf("must not be greater than server.limits.bodyBytes, %d", most)))
	}
	// A summary for every key: less would leave reports out.
	if n := max(s.Limits.Keys, 1) * report.MaxSummaryBytes; s.Limits.AnswerBytes < n {
		errs = append(errs, field.Invalid(l.Child("answerBytes"), s.Limits.AnswerBytes, fmt.Sprintf("must be at least %d, a summary for each of %d keys", n, s.Limits.Keys)))
	}
	if s.Limits.InFlightBytes < int64(s.Limits.AnswerBytes) {
		errs = append(errs, field.Invalid(l.Child("inFlightBytes"), s.Limits.InFlightBytes, "must be at least answerBytes"))
	}
	return errs
}

func (t *TLS) validate(p *field.Path) (errs field.ErrorList) {
	if (t.CertFile == "") != (t.KeyFile == "") {
		errs = append(errs, field.Required(p, "certFile and keyFile must be set together"))
	}
	errs = append(errs, oneOf(p.Child("clientAuth"), t.ClientAuth, ClientAuthRequire, ClientAuthOff)...)
	if t.CertFile != "" && t.ClientCAFile == "" && t.ClientAuth == ClientAuthRequire {
		errs = append(errs, field.Required(p.Child("clientCAFile"),
			"must name the CA of Gatekeeper's client certificate, or clientAuth must be off"))
	}
	// The files may come later, from whoever makes certificates; until then the
	// provider is not ready and says which is missing.
	return errs
}

func (r *Registry) validate(p *field.Path) (errs field.ErrorList) {
	errs = append(errs, readable(p.Child("dockerConfig"), r.DockerConfig)...)
	for _, host := range slices.Sorted(maps.Keys(r.CAFiles)) {
		errs = append(errs, registryHost(p.Child("caFiles").Key(host), host)...)
		errs = append(errs, readable(p.Child("caFiles").Key(host), r.CAFiles[host])...)
	}
	errs = append(errs, readable(p.Child("pullSecrets", "kubeconfig"), r.PullSecrets.Kubeconfig)...)
	for i, host := range r.Insecure {
		errs = append(errs, registryHost(p.Child("insecure").Index(i), host)...)
	}
	for i, host := range r.TokenHosts {
		if _, err := transport.ParseTokenHost(host); err != nil {
			errs = append(errs, field.Invalid(p.Child("tokenHosts").Index(i), host, err.Error()))
		}
	}
	for i, s := range r.Platforms {
		at := p.Child("platforms").Index(i)
		switch set, err := platform.Parse(s); {
		case err != nil:
			errs = append(errs, field.Invalid(at, s, "must be os/architecture[/variant], * for any"))
		case len(set) != 1:
			errs = append(errs, field.Invalid(at, s, "must be one platform"))
		default:
			if err := set[0].Known(); err != nil {
				errs = append(errs, field.Invalid(at, s, err.Error()))
			}
		}
	}
	for i, prefix := range r.Allowed {
		if _, err := reference.ParsePrefix(prefix); err != nil {
			errs = append(errs, field.Invalid(p.Child("allowed").Index(i), prefix, err.Error()))
		}
	}
	if len(r.Platforms) == 0 {
		errs = append(errs, field.Required(p.Child("platforms"), "must list at least one platform"))
	}
	errs = append(errs, longer(p.Child("tagTTL"), r.TagTTL)...)
	errs = append(errs, notNegative(p.Child("pinTTL"), r.PinTTL)...)
	errs = append(errs, longer(p.Child("accessTTL"), r.AccessTTL)...)
	return append(errs, longer(p.Child("timeout"), r.Timeout)...)
}

func (s *Scan) validate(p *field.Path) (errs field.ErrorList) {
	errs = append(errs, positive(p.Child("workers"), s.Workers)...)
	errs = append(errs, positive(p.Child("perRegistry"), s.PerRegistry)...)
	errs = append(errs, positive(p.Child("queue"), s.Queue)...)
	errs = append(errs, positive(p.Child("attempts"), s.Attempts)...)
	errs = append(errs, longer(p.Child("deadline"), s.Deadline)...)
	errs = append(errs, longer(p.Child("yieldAfter"), s.YieldAfter)...)
	errs = append(errs, longer(p.Child("abandonAfter"), s.AbandonAfter)...)
	errs = append(errs, notNegative(p.Child("grace"), s.Grace)...)
	errs = append(errs, positive(p.Child("refresh", "perMinute"), s.Refresh.PerMinute)...)
	errs = append(errs, positive(p.Child("refresh", "concurrency"), s.Refresh.Concurrency)...)
	errs = append(errs, s.ages(p)...)
	errs = append(errs, ordered(p.Child("backoff"), s.Backoff.Initial, s.Backoff.Max)...)
	errs = append(errs, longer(p.Child("negative", "transient"), s.Negative.Transient)...)
	return append(errs, ordered(p.Child("negative"), s.Negative.Initial, s.Negative.Max)...)
}

// ages checks the two ages at which a report is made again and stops counting.
func (s *Scan) ages(p *field.Path) (errs field.ErrorList) {
	errs = append(errs, notNegative(p.Child("refresh", "after"), s.Refresh.After)...)
	errs = append(errs, notNegative(p.Child("maxAge"), s.MaxAge)...)
	after, most := s.Refresh.After.Duration, s.MaxAge.Duration
	if most > 0 && after >= most {
		errs = append(errs, field.Invalid(p.Child("refresh", "after"), after.String(), "must be shorter than maxAge, "+most.String()))
	}
	return errs
}

func (s *Scanner) validate(p *field.Path) (errs field.ErrorList) {
	errs = append(errs, s.Backend.validate(p)...)
	for i := range s.Routes {
		at := p.Child("routes").Index(i)
		r := &s.Routes[i]
		if r.Prefix == "" {
			errs = append(errs, field.Required(at.Child("prefix"), "must be a registry or a repository path"))
		} else if _, err := reference.ParsePrefix(r.Prefix); err != nil {
			errs = append(errs, field.Invalid(at.Child("prefix"), r.Prefix, err.Error()))
		}
		if !r.Configured() {
			errs = append(errs, field.Required(at, "must have "+r.addresses()))
		}
		errs = append(errs, r.validate(at)...)
	}
	if len(s.Attached.KeyFiles) == 0 && !reflect.ValueOf(s.Attached).IsZero() {
		errs = append(errs, field.Required(p.Child("attached", "keyFiles"), "must be set when other attached settings are"))
	}
	for i, f := range s.Attached.KeyFiles {
		errs = append(errs, readable(p.Child("attached", "keyFiles").Index(i), f)...)
	}
	errs = append(errs, oneOf(p.Child("attached", "unstated"), s.Attached.Unstated, "", UnstatedScan, UnstatedAccept)...)
	return append(errs, s.bundled(p)...)
}

func (s *Scanner) bundled(p *field.Path) (errs field.ErrorList) {
	b, at := &s.Bundled, p.Child("bundled")
	errs = append(errs, readable(at.Child("path"), b.Path)...)
	errs = append(errs, oneOf(at.Child("database"), b.Database, DatabaseUpdate, DatabaseSample)...)
	errs = append(errs, readable(at.Child("databaseFile"), b.DatabaseFile)...)
	if u, err := url.Parse(b.DatabaseURL); b.DatabaseURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		errs = append(errs, field.Invalid(at.Child("databaseUrl"), b.DatabaseURL, "must be http(s)://host[:port][/path]"))
	}
	if b.DatabaseFile != "" && (b.Database == DatabaseSample || b.DatabaseURL != "") {
		errs = append(errs, field.Forbidden(at.Child("databaseFile"), "the database is this file's: neither database: sample nor databaseUrl goes with it"))
	}
	for _, size := range []struct {
		name  string
		bytes int64
	}{{"memoryBytes", b.MemoryBytes}, {"diskBytes", b.DiskBytes}, {"layerCacheBytes", b.LayerCacheBytes}, {"listCacheBytes", b.ListCacheBytes}} {
		switch {
		case size.bytes < 0:
			errs = append(errs, field.Invalid(at.Child(size.name), size.bytes, "must not be negative"))
		case size.bytes > 0 && b.URL != "":
			errs = append(errs, field.Forbidden(at.Child(size.name), "the worker at url is told by its own flags"))
		}
	}
	if caches := b.LayerCacheBytes + b.ListCacheBytes; b.DiskBytes > 0 && caches > b.DiskBytes {
		errs = append(errs, field.Invalid(at.Child("diskBytes"), b.DiskBytes, fmt.Sprintf("must not be less than scanner.bundled.layerCacheBytes and listCacheBytes together, %d", caches)))
	}
	if b.URL == "" {
		return errs
	}
	if err := bundled.CheckSocketURL(b.URL); err != nil {
		errs = append(errs, field.Invalid(at.Child("url"), b.URL, err.Error()))
	}
	if b.Path != "" || b.CacheDir != "" || b.DatabaseURL != "" || b.DatabaseFile != "" {
		errs = append(errs, field.Forbidden(at.Child("url"), "path, cacheDir, databaseUrl and databaseFile are of a worker that is started here"))
	}
	if s.Configured() {
		errs = append(errs, field.Forbidden(at.Child("url"), s.addresses()+" scans all images"))
	}
	return errs
}

// pullThrough checks that each adapter that is to read images through the
// provider can reach it.
func (c *Config) pullThrough(p *field.Path) (errs field.ErrorList) {
	o, at := c.Scanner.PullThrough, p.Child("pullThrough")
	used := false
	reach := func(p *field.Path, h *Harbor) {
		used = used || h.Verified()
		if h.Verified() && o.URL == "" && !loopbackURL(h.URL) {
			errs = append(errs, field.Required(at.Child("url"), fmt.Sprintf(
				"must be the address under which the scanner of %s reads verified images from the provider, unless %s is off", p.Child("url"), p.Child("verify"))))
		}
	}
	reach(p.Child("harbor"), &c.Scanner.Harbor)
	for i := range c.Scanner.Routes {
		reach(p.Child("routes").Index(i).Child("harbor"), &c.Scanner.Routes[i].Harbor)
	}
	if o == (PullThrough{}) {
		return errs
	}
	if !used {
		return append(errs, field.Forbidden(at, "no scanner reads images through it"))
	}
	if err := pullthrough.CheckURL(o.URL); err != nil {
		errs = append(errs, field.Invalid(at.Child("url"), o.URL, err.Error()))
	}
	if strings.HasPrefix(o.URL, "https://") && c.Server.TLS.CertFile == "" && !c.Installs() {
		errs = append(errs, field.Required(field.NewPath("server", "tls", "certFile"), "must be set for "+at.Child("url").String()+" to be https"))
	}
	host, _, err := net.SplitHostPort(o.Listen)
	switch {
	case o.Listen == "":
		errs = append(errs, field.Required(at.Child("listen"), "must be the host:port to which "+at.Child("url").String()+" leads"))
	case err != nil:
		errs = append(errs, field.Invalid(at.Child("listen"), o.Listen, "must be host:port: "+err.Error()))
	case o.URL == "" && !loopback(host):
		errs = append(errs, field.Required(at.Child("url"), "must be the address under which scanners reach "+at.Child("listen").String()))
	}
	return errs
}

func loopbackURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && loopback(u.Hostname())
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (v *Verdict) validate(p *field.Path) (errs field.ErrorList) {
	errs = append(errs, readable(p.Child("exceptionsFile"), v.ExceptionsFile)...)
	for i, f := range v.VEXFiles {
		errs = append(errs, readable(p.Child("vexFiles").Index(i), f)...)
	}
	errs = append(errs, oneOf(p.Child("kev"), v.KEV, verdict.KEVReport, verdict.KEVDeny)...)
	errs = append(errs, notNegative(p.Child("minCVEAge"), v.MinCVEAge)...)
	errs = append(errs, notNegative(p.Child("minFixAge"), v.MinFixAge)...)
	errs = append(errs, oneOf(p.Child("unmatchedPackages"), v.UnmatchedPackages, verdict.Accept, verdict.Reject)...)
	errs = append(errs, oneOf(p.Child("noPackages"), v.NoPackages, verdict.Accept, verdict.Reject)...)
	errs = append(errs, oneOf(p.Child("endOfLife"), v.EndOfLife, verdict.Accept, verdict.Reject)...)
	return append(errs, notNegative(p.Child("maxDatabaseAge"), v.MaxDatabaseAge)...)
}

func (n *Nudge) validate(p *field.Path) (errs field.ErrorList) {
	errs = append(errs, readable(p.Child("kubeconfig"), n.Kubeconfig)...)
	return append(errs, positive(p.Child("perSecond"), n.PerSecond)...)
}

// minKeepDenials is the longest pause that a controller makes between two attempts,
// and some.
const minKeepDenials = time.Hour

func (i *Inventory) validate(p *field.Path) (errs field.ErrorList) {
	errs = append(errs, readable(p.Child("kubeconfig"), i.Kubeconfig)...)
	errs = append(errs, positive(p.Child("maxPods"), i.MaxPods)...)
	errs = append(errs, positive(p.Child("denials", "bytes"), i.Denials.Bytes)...)
	if keep := i.Denials.KeepFor.Duration; keep < minKeepDenials {
		errs = append(errs, field.Invalid(p.Child("denials", "keepFor"), keep.String(), fmt.Sprintf("must not be below %s: controllers pause for a part of that between two attempts", minKeepDenials)))
	}
	return errs
}

func (v *View) validate(p *field.Path, role Role) field.ErrorList {
	if v.Listen == "" {
		return nil
	}
	p = p.Child("listen")
	host, _, err := net.SplitHostPort(v.Listen)
	switch {
	case err != nil:
		return field.ErrorList{field.Invalid(p, v.Listen, "must be host:port: "+err.Error())}
	case !loopback(host):
		return field.ErrorList{field.Invalid(p, v.Listen, "must be an address of loopback, such as 127.0.0.1:8090, which kubectl port-forward reaches: the pages show the images of all namespaces and ask nobody who he is")}
	case !role.Answers():
		return field.ErrorList{field.Forbidden(p, "a worker is not asked about images, so it has no pages of them")}
	}
	return nil
}

func (l *Log) validate(p *field.Path) (errs field.ErrorList) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		errs = append(errs, oneOf(p.Child("level"), l.Level, "debug", "info", "warn", "error")...)
	}
	return append(errs, oneOf(p.Child("format"), l.Format, "json", "text")...)
}

func registryHost(p *field.Path, host string) field.ErrorList {
	if _, err := reference.ParseHost(host); err != nil {
		return field.ErrorList{field.Invalid(p, host, err.Error())}
	}
	return nil
}

func positive[N int | int64](p *field.Path, n N) field.ErrorList {
	if n > 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(p, n, "must be greater than zero")}
}

func longer(p *field.Path, d metav1.Duration) field.ErrorList {
	if d.Duration > 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(p, d.Duration.String(), "must be longer than zero")}
}

func notNegative(p *field.Path, d metav1.Duration) field.ErrorList {
	if d.Duration >= 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(p, d.Duration.String(), "must not be negative")}
}

func atMost(p *field.Path, d metav1.Duration, limit time.Duration) field.ErrorList {
	if d.Duration > limit {
		return field.ErrorList{field.Invalid(p, d.Duration.String(), "must be at most "+limit.String())}
	}
	return longer(p, d)
}

func ordered(p *field.Path, initial, limit metav1.Duration) field.ErrorList {
	errs := longer(p.Child("initial"), initial)
	if limit.Duration < initial.Duration {
		errs = append(errs, field.Invalid(p.Child("max"), limit.Duration.String(), "must not be shorter than initial"))
	}
	return errs
}

func oneOf[S ~string](p *field.Path, v S, allowed ...S) field.ErrorList {
	if err := strict.OneOf(v, allowed...); err != nil {
		return field.ErrorList{field.Invalid(p, v, err.Error())}
	}
	return nil
}

func readable(p *field.Path, path string) field.ErrorList {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return field.ErrorList{field.Invalid(p, path, err.Error())}
	}
	_ = f.Close()
	return nil
}
