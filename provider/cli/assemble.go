package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/imagegate/imagegate/provider/backend/attached"
	"github.com/imagegate/imagegate/provider/backend/bundled"
	"github.com/imagegate/imagegate/provider/backend/harbor"
	"github.com/imagegate/imagegate/provider/backend/pullthrough"
	"github.com/imagegate/imagegate/provider/backend/route"
	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/filewatch"
	"github.com/imagegate/imagegate/provider/inventory"
	"github.com/imagegate/imagegate/provider/logs"
	"github.com/imagegate/imagegate/provider/overlay"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/registry/transport"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
	"github.com/imagegate/imagegate/provider/store"
	"github.com/imagegate/imagegate/provider/verdict"
	"github.com/imagegate/imagegate/provider/version"
	"github.com/imagegate/imagegate/provider/view"
)

// rememberedFailures bounds the digests whose failures are remembered; each
// takes two kilobytes at the most.
const rememberedFailures = 10000

// generationEvery is how often the scanners are asked for their database's
// age, which changes a few times a day.
const generationEvery = time.Minute

// parts is everything between the command line and the outside, without HTTP.
type parts struct {
	service *service.Service
	judge   *verdict.Judge
	reports service.Store
	// seen is told of each image that was answered about; may be nil.
	seen func(service.Image)
	// names are how images were asked for; nil where no page shows them.
	names  *view.Names
	images *registry.Resolver
	// scanners are the backends, behind one port.
	scanners *route.Router
	// elsewhere says that they are, and scans are not made here.
	elsewhere bool
	// pulls is where adapters read images from; nil when none does.
	pulls *pullthrough.Server
	// hosts is what is configured of registries and their token servers.
	hosts *transport.Hosts
	// followed are the files that a server keeps in step with.
	followed []filewatch.Followed
	// background is what a server runs beside its requests.
	background []func(context.Context) error
	// attachments finds what is attached to images; nil when nothing is trusted.
	attachments *attached.Finder
	closers     []func()
	// inventory knows which images run where; nil where that is off.
	inventory *inventory.Inventory
	// worker is the bundled worker where it is started here, sidecar where it runs
	// in a container of its own.
	worker  *bundled.Worker
	sidecar *bundled.Sidecar
	// shared is what replicas have in common; nil where all is in memory.
	shared *shared
	// grace is how long scans may go on in close.
	grace time.Duration
	// ends says that they are a command's, for which a person waits, and advice what
	// that person can do about an image that no credentials open.
	ends bool
	// one says that one image is asked about, whose platform that person names.
	one     bool
	advice  string
	metrics *prometheus.Registry
	log     *slog.Logger
}

// login has a command use what docker login keeps, where nothing else is configured,
// and returns what to do about an image that this does not open.
func login(c *config.Config, env overlay.Env) string {
	if file := c.Registry.DockerConfig; file != "" {
		return "; the credentials are those in " + file + " (--docker-config)"
	}
	file := config.DockerLogin(env)
	if _, err := os.Stat(file); err != nil {
		return "; `docker login` to the registry, or name a config.json that has its credentials: --docker-config"
	}
	c.Registry.DockerConfig = file
	return "; the credentials are those in " + file + ": `docker login` to the registry, or name another file: --docker-config"
}

func newParts(log *slog.Logger) *parts { return &parts{metrics: prometheus.NewRegistry(), log: log} }

// logger returns the logger that the configuration asks for, on w.
func logger(c config.Log, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return nil, fmt.Errorf("log.level: %w", err)
	}
	return logs.New(w, level, c.Format), nil
}

// dataDir returns the folder for what the provider makes itself.
func dataDir(c *config.Config) (string, error) {
	if c.DataDir != "" {
		return filepath.Abs(c.DataDir)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding a data folder (set dataDir): %w", err)
	}
	return filepath.Join(cache, "imagegate"), nil
}

// assemble starts the parts of a command that ends: nothing is kept, and what is
// to be scanned is scanned here. They run until close. seen is told of each image that
// was answered about, for who scans one image by its name; nil for who asks as a
// cluster would.
func assemble(ctx context.Context, c *config.Config, log *slog.Logger, seen func(service.Image)) (*parts, error) {
	c.Role = config.RoleAll // in a Pod the environment is that of its server
	p := newParts(log)
	p.ends, p.seen, p.one = true, seen, seen != nil
	p.advice = login(c, os.LookupEnv)
	memory, err := store.NewMemory(store.MemoryOptions{Reports: c.Store.Memory.Reports, Bytes: c.Store.Memory.Bytes})
	if err != nil {
		return nil, err
	}
	tags, err := store.NewTags(c.Store.TagBytes)
	if err != nil {
		return nil, err
	}
	return p, p.start(ctx, c, memory, tags)
}

// start starts the parts over their stores. After an error none of them runs.
func (p *parts) start(ctx context.Context, c *config.Config, reports service.Store, tags service.Tags) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close(context.WithoutCancel(ctx)))
		}
	}()
	p.grace, p.reports = c.Scan.Grace.Duration, reports
	if p.hosts, err = transport.NewHosts(c.Registry.CAFiles, c.Registry.TokenHosts, p.log); err != nil {
		return err
	}
	p.followed = append(p.followed, p.hosts.Followed()...)
	p.metrics.MustRegister(version.Of("provider").Metric(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if p.images, err = registry.New(registryOptions(c, p)); err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	if err := p.startScanners(ctx, c); err != nil {
		return err
	}
	if p.judge, err = verdict.New(verdictOptions(c, p)); err != nil {
		return err
	}
	nudger, err := p.nudger(c)
	if err != nil {
		return err
	}
	o := service.Options{
		Nudger:         nudger,
		Trusts:         p.trusts,
		Registry:       p.images,
		Scanner:        p.scanners,
		Store:          reports,
		Tags:           tags,
		Judge:          p.judge,
		Queue:          c.Scan.Queue,
		Deadline:       c.Scan.Deadline.Duration,
		YieldAfter:     c.Scan.YieldAfter.Duration,
		AbandonAfter:   c.Scan.AbandonAfter.Duration,
		Grace:          c.Scan.Grace.Duration,
		Attempts:       c.Scan.Attempts,
		RetryInitial:   c.Scan.Backoff.Initial.Duration,
		RetryMax:       c.Scan.Backoff.Max.Duration,
		TransientFor:   c.Scan.Negative.Transient.Duration,
		FailureInitial: c.Scan.Negative.Initial.Duration,
		FailureMax:     c.Scan.Negative.Max.Duration,
		Failures:       rememberedFailures,
		RefreshAfter:   c.Scan.Refresh.After.Duration,
		MaxAge:         c.Scan.MaxAge.Duration,

		RefreshesPerMinute: c.Scan.Refresh.PerMinute,
		Refreshers:         c.Scan.Refresh.Concurrency,
		GenerationEvery:    generationEvery,
		FindingsBytes:      c.Server.Limits.FullViewBytes,
		AnswerBytes:        c.Server.Limits.AnswerBytes,
		Causes:             p.ends,
		Seen:               p.seen,
		Logger:             p.log,
		Registerer:         p.metrics,
	}
	if c.Role.Scans() {
		o.Workers, o.PerRegistry, o.Generations = p.workers(c), c.Scan.PerRegistry, p.scanners.Generations
	}
	if p.shared != nil {
		o.Shared = p.shared.scan()
		if p.shared.denials != nil {
			o.Denials = p.shared.denials
		}
	}
	if err := p.followInventory(c); err != nil {
		return err
	}
	if p.service, err = service.New(ctx, o); err != nil {
		return err
	}
	if p.shared != nil {
		p.shared.follow(ctx)
	}
	return nil
}

// workers is how many scans are under way at once. Where the bundled worker makes
// all of them it is the number of its slots: what waits in there for a slot that
// hangs would not be seen to wait, and nobody would be made to give one back.
func (p *parts) workers(c *config.Config) int {
	if p.worker == nil {
		return c.Scan.Workers
	}
	return scansAtOnce(c, p.worker.Workers())
}

func scansAtOnce(c *config.Config, bundled int) int {
	if len(c.Scanner.Routes) > 0 {
		return c.Scan.Workers // the worker makes some of them only
	}
	return min(c.Scan.Workers, bundled)
}

func verdictOptions(c *config.Config, p *parts) verdict.Options {
	return verdict.Options{
		Threshold:      c.Verdict.SeverityThreshold,
		OnlyFixed:      c.Verdict.OnlyFixed,
		KEV:            c.Verdict.KEV,
		MinCVEAge:      c.Verdict.MinCVEAge.Duration,
		MinFixAge:      c.Verdict.MinFixAge.Duration,
		ExceptionsFile: c.Verdict.ExceptionsFile,
		VEXFiles:       c.Verdict.VEXFiles,
		Tighten:        c.Verdict.Tighten,
		Loosen:         c.Verdict.Loosen,

		UnmatchedPackages: c.Verdict.UnmatchedPackages,
		NoPackages:        c.Verdict.NoPackages,
		EndOfLife:         c.Verdict.EndOfLife,
		MaxDatabaseAge:    c.Verdict.MaxDatabaseAge.Duration,
		Believed:          believed(c),

		Logger:     p.log,
		Registerer: p.metrics,
	}
}

// trusts says whether a scan counts that was made under the configuration of
// another day, as far as it is made of what others signed.
func (p *parts) trusts(scan *report.Scan) bool {
	if p.attachments == nil {
		return !scan.Attached && len(scan.SignedBy) == 0
	}
	return p.attachments.Trusts(scan)
}

// believed names the scanners that are to be believed when they list nothing and
// do not say what they looked at. Each scan says which of them made it.
func believed(c *config.Config) (names []string) {
	if c.Scanner.Harbor.EmptyReport == harbor.Accept {
		names = append(names, mainName)
	}
	for _, r := range c.Scanner.Routes {
		if r.Harbor.EmptyReport == harbor.Accept {
			names = append(names, routeName(r.Prefix))
		}
	}
	if c.Scanner.Attached.Unstated == config.UnstatedAccept {
		names = append(names, attached.Believed)
	}
	return names
}

func registryOptions(c *config.Config, p *parts) registry.Options {
	return registry.Options{
		Logger:       p.log,
		Advice:       p.advice,
		Platforms:    c.Registry.Platforms,
		ReadPlatform: p.one,
		Insecure:     c.Registry.Insecure,
		Hosts:        p.hosts,
		Allowed:      c.Registry.Allowed,
		DockerConfig: c.Registry.DockerConfig,
		PullSecrets: registry.PullSecrets{
			Enabled:    c.Registry.PullSecrets.Enabled,
			Kubeconfig: c.Registry.PullSecrets.Kubeconfig,
		},
		TagTTL:    c.Registry.TagTTL.Duration,
		PinTTL:    c.Registry.PinTTL.Duration,
		AccessTTL: c.Registry.AccessTTL.Duration,
		Timeout:   c.Registry.Timeout.Duration,
	}
}

// waitReady waits for the bundled worker, whose first start downloads a vulnerability
// database, and shows how that goes on.
func (p *parts) waitReady(ctx context.Context, show *progress) error {
	var err error
	switch {
	case p.worker != nil:
		err = p.worker.WaitReady(ctx, show.detail)
	case p.sidecar != nil:
		err = p.sidecar.WaitReady(ctx, 0)
	}
	if err != nil {
		return fmt.Errorf("the bundled scanner cannot scan: %w", err)
	}
	return nil
}

// closeTimeout bounds the end of scans after scan.grace, and of the worker,
// storeTimeout that of the store after it.
const (
	closeTimeout = 10 * time.Second
	storeTimeout = 5 * time.Second
)

func (p *parts) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout+p.grace)
	defer cancel()
	var errs []error
	if p.service != nil {
		errs = append(errs, p.service.Close(ctx))
	}
	if p.worker != nil {
		errs = append(errs, p.worker.Close(ctx))
	}
	for _, end := range p.closers {
		end()
	}
	if p.images != nil {
		p.images.Close()
	}
	if p.shared != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		errs = append(errs, p.shared.close(ctx))
	}
	return errors.Join(errs...)
}
