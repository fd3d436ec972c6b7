package service

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// Asker is on what occasion a query is asked, for the log. It has no part in the
// answer.
type Asker string

// The askers. Gatekeeper does not tell its providers what it asks for; the key of
// imagegate's own templates does. Who sends a bare reference may be anybody.
const (
	AskerUnknown   Asker = ""
	AskerAdmission Asker = "admission"
	AskerAudit     Asker = "audit"
	AskerMutation  Asker = "mutation"
)

// String is the asker as the log has it.
func (a Asker) String() string {
	if a == AskerUnknown {
		return "unknown"
	}
	return string(a)
}

const (
	// roundQuiet is how long nothing is asked when a round of audit is over.
	roundQuiet = 15 * time.Second
	// roundMost is after how long a round is told of that does not end: audit may
	// take longer than the pause between two of its rounds.
	roundMost = 5 * time.Minute
)

// rounds sums up what audit asks. It asks about each Pod by itself, and again every
// minute: line by line it would hide what happens at admission.
type rounds struct {
	log        *slog.Logger
	now        func() time.Time
	quiet, max time.Duration

	mu          sync.Mutex
	counts      map[report.Status]int
	reports     int
	began, last time.Time
	end         *time.Timer
}

func newRounds(log *slog.Logger, now func() time.Time) *rounds {
	return &rounds{log: log, now: now, quiet: roundQuiet, max: roundMost}
}

// add counts one answer of the round.
func (r *rounds) add(status report.Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if r.reports == 0 {
		r.counts, r.began = map[report.Status]int{}, now
		r.end = time.AfterFunc(r.quiet, r.close)
	}
	r.reports++
	r.counts[status]++
	r.last = now
	if now.Sub(r.began) >= r.max {
		r.tell()
		return
	}
	r.end.Reset(r.quiet)
}

// close tells of the round that is not told of yet, if there is one.
func (r *rounds) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tell()
}

func (r *rounds) tell() {
	if r.reports == 0 {
		return
	}
	r.end.Stop()
	attrs := []slog.Attr{slog.Int("reports", r.reports)}
	for _, s := range report.Statuses() {
		attrs = append(attrs, slog.Int(string(s), r.counts[s]))
	}
	r.log.LogAttrs(context.Background(), slog.LevelInfo, "audit", append(attrs, slog.Duration("duration", r.last.Sub(r.began)))...)
	r.reports = 0
}
