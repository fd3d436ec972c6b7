package service

import (
	"context"
	"fmt"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/report"
)

// freshness is how much a stored scan still says.
type freshness int

const (
	// fresh is as good as a new scan.
	fresh freshness = iota
	// stale is served, and made again when there is capacity to spare.
	stale
	// expired no longer counts.
	expired
)

// generationTimeout bounds one question for the scanners' generations.
const generationTimeout = 10 * time.Second

// freshness counts what a scan is worth from when it was made, and when to make
// it again from when it was last asked for: a scanner may hand out a report that
// it made long ago, and would do so again.
func (s *Service) freshness(scan *report.Scan) freshness {
	now := s.o.Now()
	switch {
	case s.o.Trusts != nil && !s.o.Trusts(scan):
		return expired
	case !scan.ValidUntil.IsZero() && now.After(scan.ValidUntil):
		return expired
	case report.Future(scan.ScannedAt, now):
		return expired // a clock was wrong, and nobody knows by how much
	case s.o.MaxAge > 0 && s.age(scan) > s.o.MaxAge:
		return expired
	case !scan.RefreshAt.IsZero() && now.After(scan.RefreshAt):
		return stale
	case s.o.RefreshAfter > 0 && now.Sub(scan.ReceivedAt) > s.o.RefreshAfter, s.outdated(scan):
		return stale
	}
	return fresh
}

// outdated reports whether a scan made now would be based on something else.
// A scanner that is not known (gone, or upgraded) counts only when all that are
// configured have told what they are, so that one that is down makes nothing
// stale. Of several of one name any may be the one that would scan.
func (s *Service) outdated(scan *report.Scan) bool {
	if scan.Attached {
		return false // its age decides alone
	}
	known := s.generations.Load()
	if known == nil || len(*known) == 0 {
		return false
	}
	var found, silent bool
	for _, g := range *known {
		if g.Scanner == scan.Scanner {
			found = true
			if !g.DatabaseBuiltAt.After(scan.DatabaseBuiltAt) {
				return false
			}
		}
		silent = silent || g == backend.Generation{}
	}
	return found || !silent
}

// followGenerations asks the scanners now and then what they are based on. When
// one is new, or they answer again, the failures are forgotten: a scanner that
// is back, or is another, may well scan what it could not.
func (s *Service) followGenerations() {
	var down bool
	tick := time.NewTicker(s.o.GenerationEvery)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(s.root, generationTimeout)
		known, err := s.askGenerations(ctx)
		cancel()
		if err != nil {
			s.o.Logger.Debug("asking the scanners for their generation", "error", err)
		}
		before := s.generations.Load()
		if before != nil && news(*before, known) || down && err == nil {
			s.failures.clear()
		}
		down = err != nil
		if known != nil { // what some did not tell does not keep the rest from counting
			s.generations.Store(&known)
			s.metrics.generations(known)
		}
		select {
		case <-tick.C:
		case <-s.root.Done():
			return
		}
	}
}

// askGenerations returns what the scanners are based on, of all replicas; nil
// when nothing is known.
func (s *Service) askGenerations(ctx context.Context) (known []backend.Generation, err error) {
	if s.o.Generations != nil {
		var own []backend.Generation
		if own, err = s.o.Generations(ctx); own != nil {
			s.own.Store(&own)
		}
		known = own
	}
	return s.everywhere(known), err
}

func sameGeneration(a, b backend.Generation) bool {
	return a.Scanner == b.Scanner && a.DatabaseBuiltAt.Equal(b.DatabaseBuiltAt)
}

// refresh makes a stale scan again, within the rate and beside the scans that
// somebody waits for. Audit asks for every running image again and again: what
// is not refreshed this time comes up soon enough. Namespaces share the rate and
// the places by turns, since a scan that hangs holds its place to its deadline.
func (s *Service) refresh(t task) {
	if f, _ := s.failures.get(t); f != nil {
		return
	}
	key := s.jobKey(t)
	if s.queue.Asked(key) {
		if ticket, err := s.queue.Ask(s.wish(t)); err == nil {
			ticket.Leave()
		}
		return
	}
	mine := t.access.Namespace + "\n" + key
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root.Err() != nil {
		return
	}
	if s.refreshing[mine] {
		return
	}
	s.refreshing[mine] = true
	s.wg.Go(func() {
		s.renew(t)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.refreshing, mine)
	})
}

// renew waits for the namespace's turn to make scans again and makes this one.
func (s *Service) renew(t task) {
	done, err := s.renewals.Take(s.root, t.account(t.access.Namespace))
	if err != nil {
		return // it comes up again
	}
	defer done()
	if stored, err := s.o.Store.Get(s.root, s.storeKey(t)); err != nil || stored == nil || s.freshness(stored) == fresh {
		return
	}
	if err := s.refreshRate.Wait(s.root); err != nil {
		return
	}
	ticket, err := s.queue.Ask(s.wish(t))
	if err != nil {
		return
	}
	ticket.Leave()
	s.metrics.refreshes.Inc()
	select {
	case <-ticket.Done():
	case <-s.root.Done():
	}
}

func (s *Service) age(scan *report.Scan) time.Duration { return s.o.Now().Sub(scan.ScannedAt) }

func (s *Service) expiredNote(scan *report.Scan) string {
	if report.Future(scan.ScannedAt, s.o.Now()) {
		return "the last scan is dated in the future and does not count; "
	}
	return fmt.Sprintf("the last scan is %s old and no longer counts; ", s.age(scan).Round(time.Minute))
}
