package install

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/imagegate/imagegate/provider/filewatch"
	"github.com/imagegate/imagegate/provider/install/policy"
	"github.com/imagegate/imagegate/provider/install/trust"
	"github.com/imagegate/imagegate/provider/kube"
)

// Installer is one replica's part in the installation. Use New.
type Installer struct {
	o       Options
	plan    trust.Plan
	core    kubernetes.Interface
	watched dynamic.Interface // nil in tests that start rounds themselves
	objects objects
	state   stateKeeper
	served  served
	metrics *metrics
	log     *slog.Logger

	// by is this replica; followed is the claim that it last made way for.
	by       by
	followed string

	// seen is the state as this replica saw it last.
	seen atomic.Pointer[State]
	// clientCA is Gatekeeper's, as this replica read it last.
	clientCA []byte
	// withheld says why the newest certificate is not served, or is nil.
	withheld atomic.Pointer[error]
	// first is closed once there is a certificate.
	first     chan struct{}
	firstOnce sync.Once
	// look wakes the part that every replica has, round the leader's.
	look, round chan struct{}
	// settled are the objects that are as we want them; see ensure.
	settled map[settledKey]settledAs
	// waiting is since when an object's generation has been waited for.
	waiting map[waitKey]time.Time
}

// New returns an Installer, which does nothing before Run. The error says what is
// missing of the configuration of the API server.
func New(o Options) (*Installer, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	cfg, err := kube.Config(o.Kubeconfig, userAgent)
	if err != nil {
		return nil, err
	}
	cfg.Timeout = 0 // watches last; requests have a bound of their own
	core, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("making the API server's client: %w", err)
	}
	watched, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("making the API server's client: %w", err)
	}
	i, err := newInstaller(o, core, throughAPI{watched})
	if err != nil {
		return nil, err
	}
	i.watched = watched
	return i, nil
}

func newInstaller(o Options, core kubernetes.Interface, objects objects) (*Installer, error) {
	i := &Installer{
		o: o, core: core, objects: objects, log: o.Logger,
		plan:    trust.Plan{Propagation: o.Certificates.Propagation, Overlap: o.Certificates.Overlap},
		state:   stateKeeper{client: core, namespace: o.Namespace, name: o.stateName()},
		served:  served{o.Certificates.Dir},
		first:   make(chan struct{}),
		look:    make(chan struct{}, 1),
		round:   make(chan struct{}, 1),
		settled: map[settledKey]settledAs{},
		waiting: map[waitKey]time.Time{},
	}
	// Who follows its files need not wait for the folder then.
	if err := os.MkdirAll(o.Certificates.Dir, folderMode); err != nil {
		return nil, fmt.Errorf("making install.certificates.dir: %w", err)
	}
	var err error
	i.by.Began = metav1.NewTime(time.Now())
	if i.by.Settings, err = o.settings(); err != nil {
		return nil, err
	}
	if i.metrics, err = newMetrics(o.Registerer); err != nil {
		return nil, fmt.Errorf("registering the metrics of the installation: %w", err)
	}
	return i, nil
}

// Status says how far the installation is, as this replica saw it last.
func (i *Installer) Status() Status {
	if s := i.seen.Load(); s != nil {
		return s.Status
	}
	return Status{}
}

// Withheld says why the newest certificate is not served, or returns nil.
func (i *Installer) Withheld() error {
	if err := i.withheld.Load(); err != nil {
		return *err
	}
	return nil
}

// First is closed once there is a certificate in the folder.
func (i *Installer) First() <-chan struct{} { return i.first }

// Run does this replica's part until ctx ends, and returns nil when nothing is under
// way any more. What the API server refuses is tried again, for ever: it is told by
// Status.
func (i *Installer) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &i.o.Certificates
	looks := []subject{{resource: configMaps, namespace: i.o.Namespace, name: i.o.stateName()}}
	if c.Source != SourceFiles {
		looks = append(looks, subject{resource: secrets, namespace: i.o.Namespace, name: c.Secret})
	}
	looks = append(looks, i.gatekeepersWebhooks()...)
	for _, s := range looks {
		wg.Go(func() { follow(ctx, i.watched, s, i.log, func() { wake(i.look) }) })
	}
	if c.Source == SourceFiles {
		wg.Go(func() {
			if err := filewatch.Follow(ctx, i.log, []string{c.CertFile, c.KeyFile, c.CAFile}, func() { wake(i.look); wake(i.round) }); err != nil {
				i.log.ErrorContext(ctx, "certificate files are not followed", "error", err)
			}
		})
	}
	wg.Go(func() { i.lead(ctx) })
	i.serve(ctx)
	return nil
}

var (
	secrets    = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	validating = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}
	mutating   = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}
	providers  = schema.GroupVersionResource{Group: "externaldata.gatekeeper.sh", Version: "v1beta1", Resource: "providers"}
)

// watchedByLeader is what starts a round.
func (i *Installer) watchedByLeader() []subject {
	o := &i.o
	list := []subject{{resource: configMaps, namespace: o.Namespace, name: o.stateName()}}
	if o.Certificates.Source != SourceFiles {
		list = append(list, subject{resource: secrets, namespace: o.Namespace, name: o.Certificates.Secret})
	}
	list = append(list, i.gatekeepersWebhooks()...)
	if o.Webhook != "" {
		list = append(list, subject{resource: mutating, name: o.Webhook})
	}
	if o.Owner.Name != "" {
		list = append(list, subject{resource: o.ownerResource(), name: o.Owner.Name})
	}
	if o.Mode != ModeNone {
		list = append(list, subject{resource: providers, name: o.Provider.Name})
	}
	if o.Mode == ModeProcess {
		if o.Policies.File == "" {
			list = append(list, subject{resource: configMaps, namespace: o.Namespace, name: o.Policies.ConfigMap})
		}
		for _, k := range policy.Kinds() {
			list = append(list, subject{resource: k.GVR(), selector: o.selector()})
		}
	}
	return list
}

// gatekeepersWebhooks say whose certificates Gatekeeper shows, to every replica.
func (i *Installer) gatekeepersWebhooks() (list []subject) {
	o := &i.o.Gatekeeper
	if o.Validating != "" {
		list = append(list, subject{resource: validating, name: o.Validating})
	}
	if o.Mutating != "" {
		list = append(list, subject{resource: mutating, name: o.Mutating})
	}
	return list
}

func (o *Options) ownerResource() schema.GroupVersionResource {
	return o.Owner.GroupVersion().WithResource(o.Owner.Resource)
}

func (o *Options) selector() string { return Label + "=" + o.Instance }

// wake says that there is something to see.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
