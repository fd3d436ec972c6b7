// Package config is the provider's configuration: one YAML file, every field
// with a default, checked as a whole at start so that a mistake is an error
// that names its field and never a surprise at the first Pod.
package config

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/store"
	"github.com/imagegate/imagegate/provider/verdict"
)

// Config is the whole file. Durations are written as Go writes them: 800ms,
// 10s, 1h30m.
type Config struct {
	// DataDir holds what the provider makes itself: reports and queued scans
	// where store.nats is not elsewhere, certificates where none are configured,
	// and the bundled worker's cache. Each process needs one of its own. Empty
	// means a folder named imagegate in the user's cache directory.
	DataDir string `json:"dataDir,omitempty"`
	// Role is what provider serve does.
	Role     Role     `json:"role"`
	Server   Server   `json:"server"`
	Registry Registry `json:"registry"`
	Scan     Scan     `json:"scan"`
	Scanner  Scanner  `json:"scanner"`
	Store    Store    `json:"store"`
	Verdict  Verdict  `json:"verdict"`
	Nudge    Nudge    `json:"nudge"`
	// Inventory says which images run where, and which were not let in.
	Inventory Inventory `json:"inventory"`
	Install   Install   `json:"install"`
	View      View      `json:"view,omitzero"`
	Log       Log       `json:"log"`
}

// Server is the HTTPS side.
type Server struct {
	// Listen is host:port.
	Listen string `json:"listen"`
	// Probes is host:port of /healthz, /readyz and /metrics over plain HTTP, which
	// Listen has as well; empty: nothing listens there.
	Probes string `json:"probes,omitempty"`
	TLS    TLS    `json:"tls"`
	// Budget is the time within which every key of a request is answered. It
	// must fit into the Provider object's timeout.
	Budget metav1.Duration `json:"budget"`
	// MaxWait caps the longer wait that the mutator may ask for.
	MaxWait metav1.Duration `json:"maxWait"`
	// Concurrency bounds the requests under way at once.
	Concurrency int    `json:"concurrency"`
	Limits      Limits `json:"limits"`
	// ShutdownDelay is how long requests are still answered after the signal to
	// end, until the cluster has heard that this address is gone.
	ShutdownDelay metav1.Duration `json:"shutdownDelay"`
	// ShutdownLimit is for how much longer they are at most: while there are some, and
	// until another replica answers.
	ShutdownLimit metav1.Duration `json:"shutdownLimit"`
}

// TLS names the server's certificate and whose clients it serves.
type TLS struct {
	// CertFile and KeyFile are PEM. Without them the provider makes a CA and
	// certificates of its own in DataDir.
	CertFile string `json:"certFile,omitempty"`
	KeyFile  string `json:"keyFile,omitempty"`
	// ClientCAFile is the PEM bundle that client certificates must verify
	// against: Gatekeeper's CA and the mutator's.
	ClientCAFile string     `json:"clientCAFile,omitempty"`
	ClientAuth   ClientAuth `json:"clientAuth"`
}

// ClientAuth says whether clients need a certificate.
type ClientAuth string

// The settings of ClientAuth.
const (
	ClientAuthRequire ClientAuth = "require"
	ClientAuthOff     ClientAuth = "off"
)

// Limits bounds one request.
type Limits struct {
	BodyBytes int64 `json:"bodyBytes"`
	Keys      int   `json:"keys"`
	KeyBytes  int   `json:"keyBytes"`
	// FullViewBytes bounds a report in the findings and full views.
	FullViewBytes int `json:"fullViewBytes"`
	// AnswerBytes bounds the reports of one answer together, InFlightBytes all
	// answers that are made and sent at once.
	AnswerBytes   int   `json:"answerBytes"`
	InFlightBytes int64 `json:"inFlightBytes"`
}

// Registry is how images are looked up.
type Registry struct {
	// DockerConfig is a docker config.json with the provider's own credentials.
	DockerConfig string `json:"dockerConfig,omitempty"`
	// Insecure lists the registries, as host:port, that are spoken to in plain
	// HTTP. All others are HTTPS, loopback included.
	Insecure []string `json:"insecure,omitempty"`
	// Allowed lists the registries, or repository paths of them, whose images are
	// looked up at all: ghcr.io, ghcr.io/team. Empty means all.
	Allowed []string `json:"allowed,omitempty"`
	// CAFiles names for a registry, as host:port, a PEM bundle that is trusted
	// for it beside the system's.
	CAFiles map[string]string `json:"caFiles,omitempty"`
	// TokenHosts lists the token servers, as ip[:port], that registries may name
	// although their address is private, loopback or link-local.
	TokenHosts []string `json:"tokenHosts,omitempty"`
	// TagTTL is how long a tag's digest is remembered for reports.
	TagTTL metav1.Duration `json:"tagTTL"`
	// PinTTL is the same for pinning, where the digest is kept for good; zero,
	// the default, asks the registry each time.
	PinTTL metav1.Duration `json:"pinTTL"`
	// AccessTTL is how long a proof of pull access counts.
	AccessTTL metav1.Duration `json:"accessTTL"`
	// Timeout bounds one look-up.
	Timeout metav1.Duration `json:"timeout"`
	// Platforms are judged of an index when the key names none; the worst
	// verdict of those present counts.
	Platforms   []string    `json:"platforms"`
	PullSecrets PullSecrets `json:"pullSecrets"`
}

// PullSecrets lets keys name credentials in the cluster.
type PullSecrets struct {
	// Enabled makes the provider read the Secrets and ServiceAccounts that keys
	// name. It needs RBAC to get them.
	Enabled bool `json:"enabled"`
	// Kubeconfig is empty inside a cluster.
	Kubeconfig string `json:"kubeconfig,omitempty"`
}

// Scan bounds the scans.
type Scan struct {
	Workers int `json:"workers"`
	// PerRegistry bounds the scans under way of one registry's images, so that
	// a registry that hangs leaves workers to the others. One namespace never has
	// the last worker that is free, nor the last of a registry's, if it has
	// another already.
	PerRegistry int `json:"perRegistry"`

	Queue    int             `json:"queue"`
	Deadline metav1.Duration `json:"deadline"`
	// YieldAfter is how long a scan may keep a worker that its namespace holds
	// beyond an equal share while others wait for one.
	YieldAfter metav1.Duration `json:"yieldAfter"`
	// AbandonAfter is how long a scan goes on that nobody asks for any more.
	AbandonAfter metav1.Duration `json:"abandonAfter"`
	// Grace is how long a process that is told to stop lets its scans go on before
	// it hands them back to the queue.
	Grace    metav1.Duration `json:"grace"`
	Attempts int             `json:"attempts"`
	Backoff  Backoff         `json:"backoff"`
	Negative Negative        `json:"negative"`
	Refresh  Refresh         `json:"refresh"`
	// MaxAge is the age, from when the scanner made it, at which a report no longer
	// counts; zero: never.
	MaxAge metav1.Duration `json:"maxAge"`
}

// Refresh is how reports are kept current.
type Refresh struct {
	// After is the age from which a report is made again in the background
	// while it is still served; zero: only when the scanner has new data.
	After metav1.Duration `json:"after"`
	// PerMinute and Concurrency bound the scans made again.
	PerMinute   int `json:"perMinute"`
	Concurrency int `json:"concurrency"`
}

// Backoff is the pause between attempts of one scan.
type Backoff struct {
	Initial metav1.Duration `json:"initial"`
	Max     metav1.Duration `json:"max"`
}

// Negative is how long failures are remembered: those that may pass for
// Transient, doubling up to Initial, those that last for Initial, doubling up to
// Max.
type Negative struct {
	Transient metav1.Duration `json:"transient"`
	Initial   metav1.Duration `json:"initial"`
	Max       metav1.Duration `json:"max"`
}

// Scanner chooses the backends. Without one at the top level the bundled worker
// is started as a child process.
type Scanner struct {
	Backend `json:",inline"`
	Bundled Bundled `json:"bundled"`
	// Attached takes signed reports that are attached to images in place of
	// scans; without keys it is off.
	Attached Attached `json:"attached,omitzero"`
	// PullThrough is where foreign adapters read images from.
	PullThrough PullThrough `json:"pullThrough,omitzero"`
	// Routes send the images below a prefix to a backend of their own.
	Routes []ScannerRoute `json:"routes,omitempty"`
}

// PullThrough is an address of the provider's own, at which Harbor adapters read
// each image for the time of its scan: they get verified content only, and none
// of a registry's credentials. Without settings it listens on loopback, for
// adapters on this machine.
type PullThrough struct {
	// Listen is host:port.
	Listen string `json:"listen,omitempty"`
	// URL is how adapters reach it: http(s)://host[:port]. For https it has the
	// server's certificate.
	URL string `json:"url,omitempty"`
}

// ScannerRoute is a backend for some images.
type ScannerRoute struct {
	// Prefix is a registry or a repository path: ghcr.io or ghcr.io/team. It
	// matches whole path components; the longest matching prefix wins.
	Prefix  string `json:"prefix"`
	Backend `json:",inline"`
}

// Attached is how reports and VEX documents that are attached to images as OCI
// referrers are trusted. Settings that are left out have the defaults of
// package attached.
type Attached struct {
	// KeyFiles are PEM public keys, of which any may have signed.
	KeyFiles []string `json:"keyFiles,omitempty"`
	// MaxAge is the age, by its own signed time, from which a report no longer
	// stands in for a scan.
	MaxAge metav1.Duration `json:"maxAge,omitzero"`
	// Unstated is what becomes of reports whose format cannot say which packages
	// of which distribution were looked at (in-toto's, SARIF); empty is scan.
	Unstated     Unstated        `json:"unstated,omitempty"`
	MaxReferrers int             `json:"maxReferrers,omitempty"`
	MaxBytes     int64           `json:"maxBytes,omitempty"`
	Timeout      metav1.Duration `json:"timeout,omitzero"`
	Concurrency  int             `json:"concurrency,omitempty"`
	// SkipCosignTags leaves out cosign's tag scheme, one request less for each
	// image.
	SkipCosignTags bool `json:"skipCosignTags,omitempty"`
}

// Unstated is what becomes of an attached report that does not say what was
// looked at.
type Unstated string

// The settings of Unstated.
const (
	// UnstatedScan has the image scanned.
	UnstatedScan Unstated = "scan"
	// UnstatedAccept lets the report count.
	UnstatedAccept Unstated = "accept"
)

// Bundled is the worker that comes with imagegate.
type Bundled struct {
	// Path of its binary; empty looks beside the provider and in PATH.
	Path string `json:"path,omitempty"`
	// CacheDir is empty for a folder in DataDir.
	CacheDir string `json:"cacheDir,omitempty"`
	// Database is how the worker gets its vulnerability data.
	Database Database `json:"database"`
	// DatabaseURL is where new databases are announced, a mirror for example: what is
	// below https://grype.anchore.io/databases. Empty is there.
	DatabaseURL string `json:"databaseUrl,omitempty"`
	// DatabaseFile is a database that the worker takes in at its start, in place of
	// downloads: an archive as Grype distributes it, or the .db file. It is not looked
	// at again while the worker runs.
	DatabaseFile string `json:"databaseFile,omitempty"`
	// MemoryBytes is what the worker may take with all its scans. Zero is what the
	// container has beyond the provider's own need, half of it at least; where there
	// is no limit, what the machine has.
	MemoryBytes int64 `json:"memoryBytes,omitempty"`
	// DiskBytes is what CacheDir may hold. Zero is what its file system has. An
	// emptyDir with a limit has to be told here: the limit cannot be seen within.
	DiskBytes int64 `json:"diskBytes,omitempty"`
	// LayerCacheBytes and ListCacheBytes are for unpacked layers and for package
	// lists of images. Zero is a quarter and an eighth of the disk that the
	// vulnerability database leaves, 4 GiB and 1 GiB at most.
	LayerCacheBytes int64 `json:"layerCacheBytes,omitempty"`
	ListCacheBytes  int64 `json:"listCacheBytes,omitempty"`
	// URL is unix:// and the path of a socket, for a worker that runs in a container
	// of its own beside the provider: `scanner serve --listen` has the same. Nothing
	// is started then, and the settings above are that container's.
	URL string `json:"url,omitempty"`
}

// Database says where vulnerability data comes from.
type Database string

// The settings of Database.
const (
	// DatabaseUpdate downloads Grype's public database and keeps it current.
	DatabaseUpdate Database = "update"
	// DatabaseSample is a small database of a few published advisories, for
	// demonstrations only: it knows almost nothing.
	DatabaseSample Database = "sample"
)

// Store bounds what is remembered.
type Store struct {
	// Bytes bounds the reports that all replicas have in common, as they are kept:
	// compressed, some 11 kB for one of 300 findings. The least recently read go
	// first, those of the namespace that has the most.
	Bytes int64 `json:"bytes"`
	// CacheBytes bounds those of them that each replica has in memory, about: a
	// report takes some thirty times as much there. A worker, of which nobody asks for
	// reports, has 16 MiB of it at most.
	CacheBytes int64 `json:"cacheBytes"`
	// KeepFor is how long a report is kept after it was written. Zero is a day more
	// than it counts (scan.maxAge), or as long as there is room where it counts for
	// ever.
	KeepFor metav1.Duration `json:"keepFor"`
	// Timeout is how long a report that is not in memory may take to be read.
	Timeout metav1.Duration `json:"timeout"`
	// TagBytes bounds what is remembered of which tags meant which digests.
	TagBytes int64 `json:"tagBytes"`
	// Memory bounds the reports where nothing but this process's memory keeps them:
	// those of commands that end.
	Memory Memory `json:"memory"`
	// NATS is where all but that is kept.
	NATS NATS `json:"nats"`
}

// Memory bounds the reports kept in memory.
type Memory struct {
	Reports int   `json:"reports"`
	Bytes   int64 `json:"bytes"`
}

// workerCacheBytes is for what a worker has just made, or found made already.
const workerCacheBytes = 16 << 20

// CacheBytes bounds the reports that this process has in memory.
func (c *Config) CacheBytes() int64 {
	if c.Role.Answers() {
		return c.Store.CacheBytes
	}
	return min(c.Store.CacheBytes, workerCacheBytes)
}

// keptBeyond is how long a report is kept that does not count any more: what is
// said of the image meanwhile names its age.
const keptBeyond = 24 * time.Hour

// KeepReports is how long a report is kept after it was written; zero: as long as
// there is room.
func (c *Config) KeepReports() time.Duration {
	if c.Store.KeepFor.Duration > 0 {
		return c.Store.KeepFor.Duration
	}
	if c.Scan.MaxAge.Duration > 0 {
		return c.Scan.MaxAge.Duration + keptBeyond
	}
	return 0
}

// Verdict judges what scanners found.
type Verdict struct {
	SeverityThreshold report.Severity `json:"severityThreshold"`
	OnlyFixed         bool            `json:"onlyFixed"`
	// KEV is what a finding counts for that is known to be exploited: report, like any
	// other, or deny, whatever its severity and whether there is a fix. With deny a
	// report that does not know which are is scan_failed.
	KEV verdict.KEV `json:"kev"`
	// MinCVEAge is how long a finding does not count after it was published, MinFixAge
	// how long after its first fix was there; zero: it counts at once.
	MinCVEAge metav1.Duration `json:"minCVEAge"`
	MinFixAge metav1.Duration `json:"minFixAge"`
	// ExceptionsFile is a YAML list of exceptions, each with an end and a
	// reason; it is read again when it changes.
	ExceptionsFile string `json:"exceptionsFile,omitempty"`
	// VEXFiles are OpenVEX documents, read again when they change.
	VEXFiles []string `json:"vexFiles,omitempty"`
	// Tighten and Loosen let the settings above reject what a scanner with a
	// policy of its own accepts, and accept what it rejects.
	Tighten bool `json:"tighten"`
	Loosen  bool `json:"loosen"`
	// UnmatchedPackages is what an image counts for some of whose packages nobody
	// could look up, NoPackages what one counts for in which there was nothing to
	// look up: reject or accept.
	UnmatchedPackages verdict.Choice `json:"unmatchedPackages"`
	NoPackages        verdict.Choice `json:"noPackages"`
	// EndOfLife is what an image counts for whose distribution the scanner knows to
	// be maintained no longer: reject or accept.
	EndOfLife verdict.Choice `json:"endOfLife"`
	// MaxDatabaseAge is how old the vulnerability data of a scan may be; zero: of
	// any age.
	MaxDatabaseAge metav1.Duration `json:"maxDatabaseAge"`
}

// Inventory follows which images run where, and remembers which were not let in. A
// worker has none.
type Inventory struct {
	// Enabled makes the provider follow the Pods of all namespaces, and the metadata of
	// ReplicaSets and Jobs. It needs RBAC to get, list and watch them.
	Enabled bool `json:"enabled"`
	// Kubeconfig is empty inside a cluster.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// MaxPods bounds the Pods that are known, and with 2 KiB for each their memory.
	// With more of them the inventory says that it is incomplete.
	MaxPods int     `json:"maxPods"`
	Denials Denials `json:"denials"`
}

// Denials is what is remembered of images that were not let in, as the mutator tells
// with its provider.attempts.
type Denials struct {
	// KeepFor is how long after the last attempt.
	KeepFor metav1.Duration `json:"keepFor"`
	// Bytes bounds it in each replica's memory, and in the store. Namespaces share it.
	Bytes int `json:"bytes"`
}

// Nudge makes controllers try again at once whose Pods were denied while their
// images were being scanned.
type Nudge struct {
	// Enabled makes the provider annotate the ReplicaSets, StatefulSets, DaemonSets,
	// Jobs and ReplicationControllers that the mutator names. It needs RBAC to patch
	// them.
	Enabled bool `json:"enabled"`
	// Kubeconfig is empty inside a cluster.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// PerSecond bounds the requests to the API server.
	PerSecond int `json:"perSecond"`
}

// View is the pages for people about images, vulnerabilities and the provider.
type View struct {
	// Listen is host:port of the pages, on loopback: whoever reaches it sees all
	// images of all namespaces. Empty: there are none.
	Listen string `json:"listen,omitempty"`
}

// Log is what is written to standard error.
type Log struct {
	Level  string `json:"level"`
	Format string `json:"format"`
	// Verbose logs each request and answer whole.
	Verbose bool `json:"verbose"`
}

// Default is the configuration of an empty file.
func Default() Config {
	d := func(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }
	return Config{
		Role: RoleAll,
		Server: Server{
			Listen:      "127.0.0.1:8443",
			TLS:         TLS{ClientAuth: ClientAuthRequire},
			Budget:      d(800 * time.Millisecond),
			MaxWait:     d(25 * time.Second),
			Concurrency: 512,
			Limits:      Limits{BodyBytes: 1 << 20, Keys: 256, KeyBytes: 2048, FullViewBytes: 1 << 20, AnswerBytes: 16 << 20, InFlightBytes: 128 << 20},

			ShutdownDelay: d(5 * time.Second),
			ShutdownLimit: d(15 * time.Second),
		},
		Registry: Registry{
			TagTTL:    d(15 * time.Second),
			AccessTTL: d(5 * time.Minute),
			Timeout:   d(10 * time.Second),
			Platforms: []string{"linux/amd64", "linux/arm64"},
		},
		Scan: Scan{
			Workers:     4,
			PerRegistry: 3,
			Queue:       1000,
			Deadline:    d(10 * time.Minute),
			YieldAfter:  d(30 * time.Second),
			// Beyond the longest pause between a controller's retries, 1000 s.
			AbandonAfter: d(20 * time.Minute),
			Attempts:     3,
			Backoff:      Backoff{Initial: d(500 * time.Millisecond), Max: d(10 * time.Second)},
			Negative:     Negative{Transient: d(5 * time.Second), Initial: d(30 * time.Second), Max: d(30 * time.Minute)},
			Refresh:      Refresh{After: d(24 * time.Hour), PerMinute: 20, Concurrency: 3},
			MaxAge:       d(7 * 24 * time.Hour),
		},
		Scanner: Scanner{
			Bundled: Bundled{Database: DatabaseUpdate},
		},
		Store: Store{
			Bytes:      2 << 30,
			CacheBytes: store.DefaultCacheBytes,
			Timeout:    d(store.DefaultTimeout),
			TagBytes:   16 << 20,
			Memory:     Memory{Reports: 10000, Bytes: 512 << 20},
			NATS:       NATS{Prefix: "imagegate", MinFree: 64 << 20, SyncEvery: d(5 * time.Second)},
		},
		Verdict: Verdict{
			SeverityThreshold: report.SeverityHigh,
			KEV:               verdict.KEVReport,
			UnmatchedPackages: verdict.Reject,
			NoPackages:        verdict.Reject,
			EndOfLife:         verdict.Reject,
		},
		Nudge: Nudge{PerSecond: 10},
		Inventory: Inventory{
			MaxPods: 50_000,
			Denials: Denials{KeepFor: d(7 * 24 * time.Hour), Bytes: 16 << 20},
		},
		Install: defaultInstall(),
		Log:     Log{Level: "info", Format: "json"},
	}
}
