package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/bus"
	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/denials"
	"github.com/imagegate/imagegate/provider/replica"
	"github.com/imagegate/imagegate/provider/service"
	"github.com/imagegate/imagegate/provider/store"
)

// What the buckets may take on the disk. The reports' and the tags' keep within
// their bounds by themselves, which are exceeded by what is written meanwhile.
const (
	queueBytes    = 64 << 20
	askBytes      = 8 << 10 // more than an ask takes
	failuresBytes = rememberedFailures*askBytes + spareBytes
	readsBytes    = 64 << 20
	spareBytes    = 64 << 20
)

// queueMarkers is how long the queue keeps what is over: two entries for each
// job, which at some forty jobs a second would fill it within an hour.
const queueMarkers = 5 * time.Minute

// shared is what the replicas of the provider have in common, and this one's part
// in it.
type shared struct {
	identity *replica.Identity
	bus      *bus.Bus
	queue    bucket.Bucket
	failures bucket.Bucket
	reports  *store.Reports
	tags     *store.SharedTags
	// denials is nil where they are not remembered.
	denials *denials.Record

	stop context.CancelFunc // of what follows the stores
	wg   sync.WaitGroup
}

// openShared opens it. It does not wait for what is elsewhere.
func openShared(ctx context.Context, c *config.Config, dataDir string, p *parts) (_ *shared, err error) {
	s := &shared{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(context.WithoutCancel(ctx)))
		}
	}()
	if s.identity, err = replica.Claim(dataDir); err != nil {
		return nil, err
	}
	if !s.identity.Own {
		p.log.Warn("the data folder is another process's: this one has a new name for this once, and no admin socket", "dataDir", dataDir, "replica", s.identity.Name)
	}
	reports := c.Store.Bytes + c.Store.Bytes/8 + spareBytes
	tags := 2*c.Store.TagBytes + spareBytes
	queue := queueBytes + 2*int64(c.Scan.Queue)*askBytes
	o := busOptions(&c.Store.NATS)
	o.DataDir, o.Log, o.Registerer = dataDir, p.log, p.metrics
	// Twice: settings may become smaller, and what is there only later.
	o.MaxBytes = 2 * (reports + tags + queue + failuresBytes + readsBytes + denialsBytes(c))
	if s.bus, err = bus.Open(ctx, o); err != nil {
		return nil, fmt.Errorf("store.nats: %w", err)
	}
	open := func(name string, o bus.BucketOptions) (b bucket.Bucket) {
		if err == nil {
			b, err = s.bus.Bucket(name, o)
		}
		return b
	}
	s.queue = open("queue", bus.BucketOptions{MaxBytes: queue, MarkerTTL: queueMarkers})
	s.failures = open("failures", bus.BucketOptions{MaxBytes: failuresBytes})
	kept, reads, seen := open("reports", bus.BucketOptions{MaxBytes: reports}), open("reads", bus.BucketOptions{MaxBytes: readsBytes}), open("tags", bus.BucketOptions{MaxBytes: tags})
	if err != nil {
		return nil, fmt.Errorf("store.nats: %w", err)
	}
	if s.reports, err = store.NewReports(store.ReportsOptions{
		Bucket: kept, Reads: reads, Bytes: c.Store.Bytes, CacheBytes: c.CacheBytes(), Unasked: !c.Role.Answers(), KeepFor: c.KeepReports(),
		Timeout: c.Store.Timeout.Duration, Logger: p.log, Registerer: p.metrics,
	}); err != nil {
		return nil, err
	}
	if s.denials, err = p.rememberDenials(c, s.bus.Bucket); err != nil {
		return nil, err
	}
	if s.tags, err = store.NewSharedTags(store.SharedTagsOptions{Bucket: seen, Bytes: c.Store.TagBytes, Logger: p.log}); err != nil {
		return nil, err
	}
	return s, nil
}

func busOptions(n *config.NATS) bus.Options {
	o := bus.Options{Prefix: n.Prefix, MinFree: n.MinFree, SyncEvery: n.SyncEvery.Duration}
	if o.SyncEvery == 0 {
		o.Sync = bus.SyncAlways
	}
	switch {
	case n.URL != "":
		urls := strings.Split(n.URL, ",")
		for i := range urls {
			urls[i] = strings.TrimSpace(urls[i])
		}
		o.External = &bus.External{
			URLs: urls, CredsFile: n.CredsFile, UserFile: n.UserFile, PasswordFile: n.PasswordFile, TokenFile: n.TokenFile,
			TLS: bus.ClientTLS(n.TLS), Domain: n.Domain, Replicas: n.Replicas,
		}
	case n.Clustered():
		o.Cluster = &bus.Cluster{
			Name: n.Cluster.Name, Peers: n.Cluster.Peers, Listen: n.Cluster.Listen,
			ClientListen: n.Cluster.ClientListen, Clients: n.Cluster.Clients,
			TLS: bus.ServerTLS{CertFile: n.Cluster.TLS.CertFile, KeyFile: n.Cluster.TLS.KeyFile, CAFile: n.Cluster.TLS.CAFile},
		}
	}
	return o
}

// scan is the service's part in it.
func (s *shared) scan() service.Shared {
	return service.Shared{Queue: s.queue, Failures: s.failures, Replica: s.identity.Name}
}

// follow keeps the stores true until close. It comes once the queue has been
// read: a scan that somebody has finished is taken off the queue after its report
// is there, so a report whose ask was seen is then found.
func (s *shared) follow(ctx context.Context) {
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.wg.Go(func() { _ = s.reports.Run(ctx) }) // its error is nil
	s.wg.Go(func() { _ = s.tags.Run(ctx) })    // so is this
	if s.denials != nil {
		s.wg.Go(func() { _ = s.denials.Run(ctx) }) // and this
	}
}

// close ends it, once the service has written its last words.
func (s *shared) close(ctx context.Context) error {
	if s.stop != nil {
		s.stop()
		s.wg.Wait()
	}
	var err error
	if s.bus != nil {
		err = s.bus.Close(ctx)
	}
	if s.identity != nil {
		s.identity.Release()
	}
	return err
}
