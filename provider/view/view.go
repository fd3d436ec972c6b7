package view

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/queue"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
	"github.com/imagegate/imagegate/provider/store"
	"github.com/imagegate/imagegate/provider/verdict"
)

// Reports is what is stored. *store.Reports is one.
type Reports interface {
	All() (all []store.Stored, complete bool)
	// Changed is closed at the next change.
	Changed() <-chan struct{}
	// Get reads a report that somebody looks at, Peek one for the index.
	Get(ctx context.Context, key string) (*report.Scan, error)
	Peek(ctx context.Context, key string) (*report.Scan, error)
}

// Scans answers for images as Pods are answered. *service.Service is one.
type Scans interface {
	Kept(ctx context.Context, i service.Image, read service.Read) (service.Kept, error)
	KeptOne(i service.Image, m service.ImageManifest, stored *report.Scan) (report.Status, string, *report.Scan)
	Ends(scan *report.Scan) time.Time
	// Expired says that a report does not count any more.
	Expired(scan *report.Scan) bool
	Failed() []service.Failed
	Queue() *queue.Queue
}

// ListJudge says by which rules was judged, and when that is over. *verdict.Judge is
// one.
type ListJudge interface {
	Judge
	Judge(scan *report.Scan, s verdict.Subject) verdict.Outcome
	Until(scan *report.Scan) time.Time
	Generation() uint64
	// Under is one of other rules.
	Under(c verdict.Change) (*verdict.Judge, error)
	Exceptions() []verdict.Exception
}

// Part is how a part of the provider is.
type Part struct {
	Name string
	// Err says what is wrong, or is nil. Needed says that nothing is answered then.
	Err    error
	Needed bool
}

// Options says what the pages show.
type Options struct {
	Reports Reports
	Scans   Scans
	Judge   ListJudge
	// Names is told of each image that is answered about.
	Names *Names
	// Inventory says where images run, Denials what was not let in; nil where that is
	// not followed.
	Inventory Inventory
	Denials   Denials
	// Ready says how the parts are.
	Ready  func(ctx context.Context) []Part
	Logger *slog.Logger
	// Metrics gets how many images run, by their verdict, where an Inventory says which
	// do; nil: nobody is told.
	Metrics prometheus.Registerer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// NamesBytes is what is kept in memory of how images were asked for.
const NamesBytes = 16 << 20

// Bytes is about what all that the pages keep in memory takes at most.
const Bytes = maxIndexBytes + NamesBytes

// View serves the pages.
type View struct {
	o     Options
	now   func() time.Time
	pages *renderer
	index *index
	// trying has room for one who asks what would be: it reads all reports of what runs.
	trying chan struct{}
	http   http.Handler
}

// New returns a View, whose lists have what is stored once Run has read it.
func New(o Options) (*View, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	for name, missing := range map[string]bool{
		"Reports": o.Reports == nil, "Scans": o.Scans == nil, "Judge": o.Judge == nil, "Names": o.Names == nil, "Ready": o.Ready == nil, "Logger": o.Logger == nil,
	} {
		if missing {
			return nil, errors.New("option " + name + " of the pages is missing")
		}
	}
	pages, err := newRenderer()
	if err != nil {
		return nil, err
	}
	v := &View{o: o, now: o.Now, pages: pages, index: newIndex(&o), trying: make(chan struct{}, 1)}
	if err := v.registerMetrics(o.Metrics); err != nil {
		return nil, err
	}
	r := chi.NewRouter()
	r.Use(newGuard(o.Logger).handle)
	r.Use(onlyReads)
	r.Get("/", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, imagesPath, http.StatusSeeOther) })
	r.Get("/assets/{name}", v.asset)
	for path, list := range map[string]listed{
		blockedPath: v.blocked, runningPath: v.running, namespacesPath: v.namespaces, whatIfPath: v.whatIf, imagesPath: v.images,
		vulnerabilitiesPath: v.vulnerabilities, packagePath: v.packageFindings, exceptionsPath: v.exceptions,
	} {
		for _, ending := range []string{"", endingCSV, endingJSON} {
			r.Get(path+ending, v.list(list, ending))
		}
	}
	r.Get(vulnerabilityPath+"{id}", v.vulnerabilityAs)
	r.Get(imagePath+"{digest}", v.image)
	r.Get(healthPath, v.health)
	r.NotFound(v.notFound)
	v.http = r
	return v, nil
}

// ServeHTTP serves a page.
func (v *View) ServeHTTP(w http.ResponseWriter, r *http.Request) { v.http.ServeHTTP(w, r) }

// Run reads what is stored and follows it until ctx ends. Its error is nil.
func (v *View) Run(ctx context.Context) error {
	v.index.run(ctx)
	return nil
}

// Where the pages are.
const (
	imagesPath          = "/images"
	imagePath           = "/images/"
	vulnerabilitiesPath = "/vulnerabilities"
	vulnerabilityPath   = "/vulnerabilities/"
	packagePath         = "/packages"
	exceptionsPath      = "/exceptions"
	healthPath          = "/health"

	endingCSV  = ".csv"
	endingJSON = ".json"
)

func (v *View) nav(current string) []navLink {
	var links []navLink
	if v.o.Denials != nil {
		links = append(links, navLink{Name: "Blocked now", Link: blockedPath})
	}
	if v.o.Inventory != nil {
		links = append(links, navLink{Name: "Running", Link: runningPath}, navLink{Name: "Namespaces", Link: namespacesPath}, navLink{Name: "What if", Link: whatIfPath})
	}
	links = append(links, navLink{Name: "Images", Link: imagesPath}, navLink{Name: "Vulnerabilities", Link: vulnerabilitiesPath},
		navLink{Name: "Exceptions", Link: exceptionsPath}, navLink{Name: "Health", Link: healthPath})
	for i := range links {
		links[i].Current = links[i].Link == current
	}
	return links
}

// page is what a page of the title has, under the link of the navigation.
func (v *View) page(title, current string) page {
	return page{Title: title, Assets: v.pages.links, Nav: v.nav(current), Now: v.now(), Ages: v.ages()}
}

// ages say how old what the index has is.
func (v *View) ages() []string {
	s, now := v.index.state(), v.now()
	if s.rows == 0 {
		return []string{s.none() + ": the age of scans and of vulnerability data is not known"}
	}
	span := func(oldest, newest time.Time) string {
		return "from " + stamp(oldest) + " (" + age(oldest, now) + ") to " + stamp(newest) + " (" + age(newest, now) + ")"
	}
	out := []string{"Scans are " + span(s.oldestScan, s.newestScan)}
	if s.newestDatabase.IsZero() {
		return append(out, "The age of the vulnerability data is not known")
	}
	return append(out, "Their vulnerability data is "+span(s.oldestDatabase, s.newestDatabase))
}
