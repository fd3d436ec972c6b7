package scan

import (
	"context"
	"fmt"
	"time"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/scanner"
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

func (s *Service) freshness(scan *report.Scan) freshness {
	age := s.o.Now().Sub(scan.ReceivedAt)
	switch {
	case !scan.ValidUntil.IsZero() && s.o.Now().After(scan.ValidUntil):
		return expired
	case s.o.MaxAge > 0 && age > s.o.MaxAge:
		return expired
	case !scan.RefreshAt.IsZero() && s.o.Now().After(scan.RefreshAt):
		return stale
	case s.o.RefreshAfter > 0 && age > s.o.RefreshAfter, s.outdated(scan):
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
		silent = silent || g == scanner.Generation{}
	}
	return found || !silent
}

// followGenerations asks the scanners now and then what they are based on.
func (s *Service) followGenerations() {
	tick := time.NewTicker(s.o.GenerationEvery)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(s.root, generationTimeout)
		known, err := s.o.Generations(ctx)
		cancel()
		if err != nil {
			s.o.Logger.Debug("asking the scanners for their generation", "error", err)
		}
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

// refresh makes a stale scan again, within the rate and beside the scans that
// somebody waits for. Audit asks for every running image again and again: what
// is not refreshed this time comes up soon enough.
func (s *Service) refresh(t task) {
	if f, _ := s.failures.get(t.key()); f != nil {
		return
	}
	select {
	case s.refreshers <- struct{}{}:
	default:
		return
	}
	if !s.refreshRate.AllowN(s.o.Now(), 1) {
		<-s.refreshers
		return
	}
	j, err := s.start(t)
	if err != nil {
		<-s.refreshers
		return
	}
	s.metrics.refreshes.Inc()
	s.wg.Go(func() {
		<-j.done
		<-s.refreshers
	})
}

func (s *Service) age(scan *report.Scan) time.Duration { return s.o.Now().Sub(scan.ReceivedAt) }

func (s *Service) expiredNote(scan *report.Scan) string {
	return fmt.Sprintf("the last scan is %s old and no longer counts; ", s.age(scan).Round(time.Minute))
}
