// Package jobs is the worker's queue: a bounded number of scans wait, a fixed
// number run, shared fairly, and results are kept for a while, bounded in number,
// bytes and time. A scan that nobody waits for any more ends. Nothing survives a
// restart; askers start again on an unknown identifier.
package jobs

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/harbor"
	"github.com/imagegate/imagegate/scanner/internal/hosts"
)

// Config bounds the queue. All values must be positive.
type Config struct {
	Workers int
	Queue   int
	// PerShare is how many scans may run at once for one of those who share the
	// worker.
	PerShare int
	// Abandon is after how long without a question a scan is one that nobody
	// waits for.
	Abandon time.Duration
	// Results and ResultBytes bound what is kept, TTL how long.
	Results     int
	ResultBytes int64
	TTL         time.Duration
}

// Scan does one scan and returns the report as JSON, ready to be sent.
type Scan func(ctx context.Context, req harbor.ScanRequest) ([]byte, error)

// State is where a job is.
type State int

// States of a job. Unknown is that of an identifier nobody knows (any more).
const (
	Unknown State = iota
	Pending
	Done
	Failed
)

// Result is the state of a job and what became of it.
type Result struct {
	State   State
	Report  []byte           // set when Done
	Failure *failure.Failure // set when Failed
}

// Queue accepts scans and keeps their results.
type Queue struct {
	cfg  Config
	scan Scan
	log  *slog.Logger

	// wake has a token for each slot that may have something to do.
	wake chan struct{}

	mu      sync.Mutex
	waiting *turns
	open    map[string]*job // by identifier, not finished
	sharing map[[sha256.Size]byte]*job
	results *results
}

type job struct {
	id      string
	key     [sha256.Size]byte
	request harbor.ScanRequest
	queued  time.Time
	// share and registry are whose turn it takes.
	share, registry string
	// askers is how many requests share the job, asked when one last did.
	askers int
	asked  time.Time
	// over is set while it runs.
	over context.CancelCauseFunc
}

// errUnwanted is why a scan is ended.
var errUnwanted = errors.New("nobody waits for the scan any more")

// New makes a queue; Run makes it work.
func New(cfg Config, scan Scan, log *slog.Logger) *Queue {
	return &Queue{
		cfg: cfg, scan: scan, log: log,
		wake:    make(chan struct{}, cfg.Workers),
		waiting: newTurns(cfg.PerShare),
		open:    map[string]*job{},
		sharing: map[[sha256.Size]byte]*job{},
		results: newResults(cfg.Results, cfg.ResultBytes, cfg.TTL),
	}
}

// Add queues a scan and returns its identifier, or a failure Busy. A request
// equal to one that waits or runs, credentials included, shares its identifier.
// share names on whose behalf it comes; without a name it is that of the
// registry. When the queue is full, whoever has the most in it makes room for
// whoever has less.
func (q *Queue) Add(req harbor.ScanRequest, share string) (string, error) {
	now := time.Now()
	registry := registryOf(req)
	if share == "" {
		share = "registry " + registry
	} else {
		share = "named " + share
	}
	j := &job{id: rand.Text(), key: fingerprint(req), request: req, queued: now, share: share, registry: registry, askers: 1, asked: now}
	q.mu.Lock()
	defer q.mu.Unlock()
	if same, ok := q.sharing[j.key]; ok {
		same.askers++
		same.asked = now
		return same.id, nil
	}
	if q.waiting.length >= q.cfg.Queue {
		gone := q.waiting.giveWay(j)
		busy := failure.New(failure.Busy, "the scanner worker's queue is full (%d scans wait); ask again later", q.cfg.Queue)
		if gone == nil {
			return "", busy
		}
		q.waiting.remove(gone)
		q.finish(gone, Result{State: Failed, Failure: busy})
	}
	q.open[j.id] = j
	q.sharing[j.key] = j
	q.waiting.add(j)
	q.stir()
	return j.id, nil
}

func registryOf(req harbor.ScanRequest) string {
	u, err := url.Parse(req.Registry.URL)
	if err != nil {
		return req.Registry.URL
	}
	return hosts.Canonical(u.Scheme, u.Host)
}

// stir wakes a slot. It is enough that each has a token.
func (q *Queue) stir() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// fingerprint recognises equal requests without keeping their credentials.
func fingerprint(req harbor.ScanRequest) [sha256.Size]byte {
	h := sha256.New()
	for _, s := range []string{req.Registry.URL, req.Registry.Authorization, req.Artifact.Repository, req.Artifact.Digest} {
		sum := sha256.Sum256([]byte(s))
		h.Write(sum[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// Get says what became of a job.
func (q *Queue) Get(id string) Result {
	q.mu.Lock()
	defer q.mu.Unlock()
	if j, ok := q.open[id]; ok {
		j.asked = time.Now()
		return Result{State: Pending}
	}
	return q.results.get(id, time.Now())
}

// Cancel says that one of those who asked for a job does not wait for it any
// more. It ends when no other does. It is false when there is no such job, or no
// longer.
func (q *Queue) Cancel(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	j, ok := q.open[id]
	if !ok {
		return false
	}
	if j.askers--; j.askers <= 0 {
		q.drop(j)
	}
	return true
}

// drop ends a job that nobody waits for. It is called with the lock held.
func (q *Queue) drop(j *job) {
	if q.sharing[j.key] == j {
		delete(q.sharing, j.key) // whoever asks now starts anew
	}
	if j.over != nil {
		j.over(errUnwanted)
		return // it ends by itself
	}
	q.waiting.remove(j)
	q.log.Info("scan dropped before it began: nobody waits for it", "scan", short(j.id))
	q.finish(j, Result{State: Failed, Failure: unwanted()})
}

func unwanted() *failure.Failure {
	return failure.New(failure.Stopped, "the scan was given up: nobody waited for it any more")
}

// Waiting is how many scans have not started.
func (q *Queue) Waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting.length
}

// Run works until ctx ends, and returns when the last scan has stopped.
func (q *Queue) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for range q.cfg.Workers {
		wg.Go(func() { q.work(ctx) })
	}
	wg.Go(func() { q.sweep(ctx) })
	wg.Wait()
}

func (q *Queue) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		}
		for ctx.Err() == nil {
			j, jctx := q.begin(ctx)
			if j == nil {
				break
			}
			q.do(jctx, j)
		}
	}
}

// begin takes the next job, with the context that it runs in. Another slot is
// woken, for there may be more.
func (q *Queue) begin(ctx context.Context) (*job, context.Context) {
	q.mu.Lock()
	defer q.mu.Unlock()
	j := q.waiting.next()
	if j == nil {
		return nil, nil
	}
	ctx, j.over = context.WithCancelCause(ctx)
	q.stir()
	return j, ctx
}

func (q *Queue) do(ctx context.Context, j *job) {
	start := time.Now()
	log := q.log.With("scan", short(j.id), "repository", j.request.Artifact.Repository, "digest", j.request.Artifact.Digest)
	log.Info("scan starts", "waited", start.Sub(j.queued))
	report, err := q.scan(ctx, j.request)
	took := time.Since(start)
	var r Result
	switch {
	case err != nil && errors.Is(context.Cause(ctx), errUnwanted):
		r = Result{State: Failed, Failure: unwanted()}
		log.Info("scan ended: nobody waits for it", "duration", took)
	case err != nil:
		f := failure.Of(err)
		r = Result{State: Failed, Failure: f}
		log.Warn("scan failed", "duration", took, "code", f.Code, "reason", f.Message, "error", f.Err)
	default:
		r = Result{State: Done, Report: report}
		log.Info("scan done", "duration", took, "report_bytes", len(report))
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	j.over(nil)
	q.waiting.done(j)
	q.finish(j, r)
}

// finish keeps what became of a job. It is called with the lock held.
func (q *Queue) finish(j *job, r Result) {
	delete(q.open, j.id)
	if q.sharing[j.key] == j {
		delete(q.sharing, j.key)
	}
	q.results.put(j.id, r, time.Now())
}

// short is enough of an identifier to follow a scan in the log, and too little
// to fetch its report.
func short(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:4])
}

// sweep drops results that are too old even when nobody asks, and scans that
// nobody has asked for in a while.
func (q *Queue) sweep(ctx context.Context) {
	tick := time.NewTicker(max(min(q.cfg.TTL, q.cfg.Abandon)/10, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			q.mu.Lock()
			q.results.expire(now)
			for _, j := range q.open {
				if now.Sub(j.asked) > q.cfg.Abandon {
					q.drop(j)
				}
			}
			q.mu.Unlock()
		}
	}
}
