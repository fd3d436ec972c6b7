// Package jobs is the worker's queue: a bounded number of scans wait, a fixed
// number run, and results are kept for a while, bounded in number, bytes and
// time. Nothing survives a restart; askers start again on an unknown identifier.
package jobs

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"sync"
	"time"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/harbor"
)

// Config bounds the queue. All values must be positive.
type Config struct {
	Workers int
	Queue   int
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

	waiting chan *job

	mu      sync.Mutex
	open    map[string]*job // by identifier, not finished
	sharing map[[sha256.Size]byte]*job
	results *results
}

type job struct {
	id      string
	key     [sha256.Size]byte
	request harbor.ScanRequest
	queued  time.Time
}

// New makes a queue; Run makes it work.
func New(cfg Config, scan Scan, log *slog.Logger) *Queue {
	return &Queue{
		cfg: cfg, scan: scan, log: log,
		waiting: make(chan *job, cfg.Queue),
		open:    map[string]*job{},
		sharing: map[[sha256.Size]byte]*job{},
		results: newResults(cfg.Results, cfg.ResultBytes, cfg.TTL),
	}
}

// Add queues a scan and returns its identifier, or a failure Busy. A request
// equal to one that waits or runs, credentials included, shares its identifier.
func (q *Queue) Add(req harbor.ScanRequest) (string, error) {
	key := fingerprint(req)
	q.mu.Lock()
	defer q.mu.Unlock()
	if same, ok := q.sharing[key]; ok {
		return same.id, nil
	}
	j := &job{id: rand.Text(), key: key, request: req, queued: time.Now()}
	select {
	case q.waiting <- j:
	default:
		return "", failure.New(failure.Busy, "the scanner worker's queue is full (%d scans wait); ask again later", q.cfg.Queue)
	}
	q.open[j.id] = j
	q.sharing[key] = j
	return j.id, nil
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
	if _, ok := q.open[id]; ok {
		return Result{State: Pending}
	}
	return q.results.get(id, time.Now())
}

// Waiting is how many scans have not started.
func (q *Queue) Waiting() int { return len(q.waiting) }

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
		// Stopping comes first: select would pick either.
		if ctx.Err() != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case j := <-q.waiting:
			q.do(ctx, j)
		}
	}
}

func (q *Queue) do(ctx context.Context, j *job) {
	start := time.Now()
	log := q.log.With("scan", short(j.id), "repository", j.request.Artifact.Repository, "digest", j.request.Artifact.Digest)
	log.Info("scan starts", "waited_ms", start.Sub(j.queued).Milliseconds())
	report, err := q.scan(ctx, j.request)
	took := time.Since(start).Milliseconds()
	var r Result
	if err != nil {
		f := failure.Of(err)
		r = Result{State: Failed, Failure: f}
		log.Warn("scan failed", "took_ms", took, "code", f.Code, "reason", f.Message, "error", f.Err)
	} else {
		r = Result{State: Done, Report: report}
		log.Info("scan done", "took_ms", took, "report_bytes", len(report))
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.open, j.id)
	delete(q.sharing, j.key)
	q.results.put(j.id, r, time.Now())
}

// short is enough of an identifier to follow a scan in the log, and too little
// to fetch its report.
func short(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:4])
}

// sweep drops results that are too old even when nobody asks.
func (q *Queue) sweep(ctx context.Context) {
	tick := time.NewTicker(max(q.cfg.TTL/10, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			q.mu.Lock()
			q.results.expire(now)
			q.mu.Unlock()
		}
	}
}
