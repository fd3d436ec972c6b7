package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/anchore"
	"github.com/imagegate/imagegate/provider/backend/attached"
	"github.com/imagegate/imagegate/provider/backend/bundled"
	"github.com/imagegate/imagegate/provider/backend/harbor"
	"github.com/imagegate/imagegate/provider/backend/pullthrough"
	"github.com/imagegate/imagegate/provider/backend/route"
	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/filewatch"
	"github.com/imagegate/imagegate/provider/registry/transport"
	"github.com/imagegate/imagegate/provider/tlsfiles"
)

// Scans call the adapter that made them by its place in the configuration, for
// its settings there count when they are judged.
const mainName = "scanner.harbor"

func routeName(prefix string) string { return "scanner.routes " + prefix }

// startScanners connects to the configured backends, or starts the bundled
// worker where none is configured for all images. In a process that does not scan
// they stand for what is known of them.
func (p *parts) startScanners(ctx context.Context, c *config.Config) error {
	wrap, err := p.attached(c)
	if err != nil {
		return err
	}
	p.elsewhere = !c.Role.Scans()
	if err := p.startPulls(ctx, c); err != nil {
		return err
	}
	main, err := p.mainBackend(ctx, c)
	if err != nil {
		return err
	}
	routes := []route.Route{{Backend: wrap(c.Scanner.Backend, main)}}
	for i, r := range c.Scanner.Routes {
		where := fmt.Sprintf("scanner.routes[%d].", i)
		backend, err := p.backend(where, routeName(r.Prefix), r.Backend)
		if err != nil {
			return fmt.Errorf("%s%w", where, err)
		}
		routes = append(routes, route.Route{Prefix: r.Prefix, Backend: wrap(r.Backend, backend)})
	}
	if p.scanners, err = route.New(routes...); err != nil {
		return fmt.Errorf("scanner.routes: %w", err)
	}
	return nil
}

// mainBackend is what scans the images of no route: the configured backend, or
// the bundled worker where there is none.
func (p *parts) mainBackend(ctx context.Context, c *config.Config) (route.Backend, error) {
	main := c.Scanner.Backend
	if main.Configured() {
		backend, err := p.backend("scanner.", mainName, main)
		if err != nil {
			return nil, fmt.Errorf("scanner.%w", err)
		}
		return backend, nil
	}
	if p.elsewhere {
		return elsewhere{backend.ByDigest}, nil
	}
	if c.Scanner.Bundled.URL != "" {
		return p.besideUs(c)
	}
	worker, err := p.startBundled(ctx, c)
	if err != nil {
		return nil, err
	}
	p.worker = worker
	// The worker verifies what it reads by itself.
	main.Harbor.URL, main.Harbor.Verify = worker.URL(), config.VerifyOff
	client, err := p.backend("scanner.", mainName, main)
	if err != nil {
		return nil, fmt.Errorf("the bundled scanner: %w", err)
	}
	return worker.Guard(client), nil
}

// besideUs is the bundled worker in a container of its own.
func (p *parts) besideUs(c *config.Config) (route.Backend, error) {
	client, err := harbor.New(harbor.Options{
		URL:    "http://scanner.bundled",
		Socket: strings.TrimPrefix(c.Scanner.Bundled.URL, bundled.SocketURL),
		Name:   mainName,
	})
	if err != nil {
		return nil, fmt.Errorf("scanner.bundled.%w", err)
	}
	p.closers = append(p.closers, client.Close)
	p.sidecar = bundled.NewSidecar(client, c.Scan.Workers, p.log)
	return p.sidecar, nil
}

// wrapper puts something before the backend of a configuration.
type wrapper func(config.Backend, route.Backend) route.Backend

// attached returns what puts the look-up of attached reports before a backend,
// or nothing where no key is configured. A scanner with a policy of its own
// keeps the last word.
func (p *parts) attached(c *config.Config) (wrapper, error) {
	a := c.Scanner.Attached
	if len(a.KeyFiles) == 0 {
		return func(_ config.Backend, next route.Backend) route.Backend { return next }, nil
	}
	finder, err := attached.New(attached.Options{
		KeyFiles: a.KeyFiles,
		MaxAge:   attachedAge(c),
		Unstated: a.Unstated == config.UnstatedAccept,

		MaxDatabaseAge: c.Verdict.MaxDatabaseAge.Duration,

		NeedFixes:    true, // a Constraint may look at fixed findings only, whatever is configured here
		MaxReferrers: a.MaxReferrers,
		MaxBytes:     a.MaxBytes,
		Timeout:      a.Timeout.Duration,
		Concurrency:  a.Concurrency,
		SkipTags:     a.SkipCosignTags,
		Hosts:        p.hosts,
		Logger:       p.log,
		Registerer:   p.metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("scanner.attached: %w", err)
	}
	p.attachments = finder
	p.closers = append(p.closers, finder.Close)
	return func(b config.Backend, next route.Backend) route.Backend {
		if kindOf(b).judges {
			return finder.WrapVEX(next)
		}
		return finder.Wrap(next)
	}, nil
}

// attachedAge is how old an attached report may be to stand in for a scan: no
// older than any report may be, or it would fail the image in place of a scan.
func attachedAge(c *config.Config) time.Duration {
	age := cmp.Or(c.Scanner.Attached.MaxAge.Duration, attached.DefaultMaxAge)
	if most := c.Scan.MaxAge.Duration; most > 0 {
		age = min(age, most)
	}
	return age
}

// backendKind is a kind of backend, as what asks it has to know it.
type backendKind struct {
	// name is that of its settings.
	name string
	// sharing is what a scan counts for, where no client is there to say so.
	sharing backend.Sharing
	// judges says that it has a policy of its own, which keeps the last word before
	// attached reports.
	judges bool
	// connect makes its client. Errors begin with the field, under the kind's.
	connect func(p *parts, where, name string, b config.Backend) (route.Backend, error)
}

// backendKinds are all of config.Kinds.
func backendKinds() []backendKind {
	return []backendKind{
		{"harbor", backend.ByRepository, false, (*parts).harbor},
		{"anchore", backend.ByName, true, (*parts).anchore},
	}
}

// kindOf is the kind of a backend that is configured; where there is none, it is
// reached as an adapter.
func kindOf(b config.Backend) backendKind {
	kinds := backendKinds()
	return kinds[max(0, slices.IndexFunc(kinds, func(k backendKind) bool { return k.name == b.Kind() }))]
}

// backend makes the client of one backend, whose fields are under where and which
// scans call by name. Its errors begin with the field.
func (p *parts) backend(where, name string, b config.Backend) (route.Backend, error) {
	kind := kindOf(b)
	if p.elsewhere {
		return elsewhere{kind.sharing}, nil
	}
	client, err := kind.connect(p, where+kind.name+".", name, b)
	if err != nil {
		return nil, fmt.Errorf("%s.%w", kind.name, err)
	}
	return client, nil
}

// harbor makes the client of an adapter.
func (p *parts) harbor(where, name string, b config.Backend) (route.Backend, error) {
	h := b.Harbor
	token, err := p.secret(where, "tokenFile", h.TokenFile)
	if err != nil {
		return nil, err
	}
	authorities, err := p.authorities(where, "caFile", h.CAFile)
	if err != nil {
		return nil, err
	}
	client, err := harbor.New(harbor.Options{
		URL:          h.URL,
		Token:        token,
		Authorities:  authorities,
		Proxy:        h.Proxy,
		PollInterval: h.PollInterval.Duration,
		EmptyReport:  h.EmptyReport,
		Name:         name,
	})
	if err != nil {
		return nil, err
	}
	p.closers = append(p.closers, client.Close)
	if !h.Verified() {
		return client, nil
	}
	return p.pulls.Guard(client), nil
}

// pullHeader is how long a registry may take to begin sending a layer, which a
// mirror may have to get first.
const pullHeader = time.Minute

// startPulls serves images to the adapters that read them through the provider,
// where there is one.
func (p *parts) startPulls(ctx context.Context, c *config.Config) error {
	used := c.Scanner.Harbor.Verified()
	for i := range c.Scanner.Routes {
		used = used || c.Scanner.Routes[i].Harbor.Verified()
	}
	if !used || p.elsewhere {
		return nil
	}
	ways := transport.NewSet(p.hosts, pullHeader, c.Scan.Workers)
	p.closers = append(p.closers, ways.CloseIdle)
	o := pullthrough.Options{
		Listen:     c.Scanner.PullThrough.Listen,
		URL:        c.Scanner.PullThrough.URL,
		Ways:       ways,
		Logger:     p.log,
		Registerer: p.metrics,
	}
	if strings.HasPrefix(o.URL, "https://") {
		files := tlsfiles.NewServer(tlsfiles.ServerFiles{
			CertFile: c.Server.TLS.CertFile,
			KeyFile:  c.Server.TLS.KeyFile,
			// Scanners are other people's programs.
			MinVersion: tls.VersionTLS12,
		}, p.log)
		o.TLS = files.Config()
		p.background = append(p.background, files.Start)
	}
	var err error
	if p.pulls, err = pullthrough.New(ctx, o); err != nil {
		return fmt.Errorf("scanner.pullThrough.%w", err)
	}
	p.closers = append(p.closers, p.pulls.Close)
	return nil
}

// anchore makes the client of Anchore or Sysdig, which is called by its own name.
func (p *parts) anchore(where, _ string, b config.Backend) (route.Backend, error) {
	a := b.Anchore
	token, err := p.secret(where, "tokenFile", a.TokenFile)
	if err != nil {
		return nil, err
	}
	password, err := p.secret(where, "passwordFile", a.PasswordFile)
	if err != nil {
		return nil, err
	}
	authorities, err := p.authorities(where, "caFile", a.CAFile)
	if err != nil {
		return nil, err
	}
	client, err := anchore.New(anchore.Options{
		URL:               a.URL,
		API:               a.API,
		Token:             token,
		TokenForm:         a.TokenForm,
		User:              a.User,
		Password:          password,
		Account:           a.Account,
		Submit:            a.Submit,
		Findings:          a.Findings,
		Authorities:       authorities,
		Proxy:             a.Proxy,
		PollInterval:      a.PollInterval.Duration,
		RequestTimeout:    a.RequestTimeout.Duration,
		RequestsPerSecond: a.RequestsPerSecond,
		Burst:             a.Burst,
		Logger:            p.log,
	})
	if err != nil {
		return nil, err
	}
	p.closers = append(p.closers, client.Close)
	return client, nil
}

// secret is the secret in a file, as the file is; no path is no secret.
func (p *parts) secret(where, field, path string) (*filewatch.Secret, error) {
	s, err := filewatch.NewSecret(where+field, path, p.log)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	if s != nil {
		p.followed = append(p.followed, s)
	}
	return s, nil
}

// authorities are the certificate authorities in a file, as the file is; no path
// is none.
func (p *parts) authorities(where, field, path string) (*tlsfiles.Authorities, error) {
	a, err := tlsfiles.NewAuthorities(where+field, path, p.log)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	if a != nil {
		p.followed = append(p.followed, a)
	}
	return a, nil
}

func (p *parts) startBundled(ctx context.Context, c *config.Config) (*bundled.Worker, error) {
	cache := c.Scanner.Bundled.CacheDir
	if cache == "" {
		dir, err := dataDir(c)
		if err != nil {
			return nil, err
		}
		cache = filepath.Join(dir, "scanner")
	}
	worker, err := bundled.Start(ctx, bundled.Options{
		Path:           c.Scanner.Bundled.Path,
		CacheDir:       cache,
		SampleDatabase: c.Scanner.Bundled.Database == config.DatabaseSample,
		Insecure:       c.Registry.Insecure,
		CAFiles:        c.Registry.CAFiles,
		TokenHosts:     c.Registry.TokenHosts,
		Workers:        c.Scan.Workers,
		Memory:         share(c).worker,
		Disk:           c.Scanner.Bundled.DiskBytes,
		LayerCache:     c.Scanner.Bundled.LayerCacheBytes,
		ListCache:      c.Scanner.Bundled.ListCacheBytes,
		DatabaseURL:    c.Scanner.Bundled.DatabaseURL,
		DatabaseFile:   c.Scanner.Bundled.DatabaseFile,
		MaxDatabaseAge: c.Verdict.MaxDatabaseAge.Duration,
		LogLevel:       c.Log.Level,
		Once:           p.ends,
		Logger:         p.log,
	})
	if err != nil {
		return nil, fmt.Errorf("scanner: no scanner.harbor.url is configured, and the bundled worker does not start: %w", err)
	}
	return worker, nil
}
