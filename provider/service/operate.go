package service

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// Failed is a scan that failed and is remembered, as those see it who run the
// system.
type Failed struct {
	// ID tells it from others.
	ID      string
	Reason  report.Reason
	Message string
	// Row counts failures without a success between, At is the last one's time.
	Row int
	At  time.Time
	// Until is when whoever asks has it tried again.
	Until time.Time
	// Order is what was to be scanned, zero when a newer replica wrote it so that
	// it cannot be read.
	Order Order
}

// Failed returns the failures that are remembered, those first that are longest
// ago.
func (s *Service) Failed() []Failed {
	records := s.failures.all()
	list := make([]Failed, len(records))
	for i, r := range records {
		list[i] = Failed{ID: r.Key, Reason: r.Reason, Message: r.Message, Row: r.Row, At: r.At, Until: r.Until}
		if err := json.Unmarshal(r.Order, &list[i].Order); err != nil {
			list[i].Order = Order{}
		}
	}
	slices.SortFunc(list, func(a, b Failed) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	return list
}

// Forget has all replicas forget a failure: whoever asks next has the image
// scanned.
func (s *Service) Forget(ctx context.Context, f Failed) error {
	if err := s.failures.erase(ctx, []string{f.ID}); err != nil {
		return err
	}
	s.failures.drop(f.ID)
	return nil
}

// Retry has all replicas forget a failure and the scan made again, on behalf of
// the namespace that had it made.
func (s *Service) Retry(ctx context.Context, f Failed) error {
	if f.Order.Digest == "" {
		return errors.New("what failed was ordered by another version of the provider and cannot be read; forgotten (purge), it is made again when asked for")
	}
	if err := s.Forget(ctx, f); err != nil {
		return err
	}
	f.Order.Retried = f.At
	a := s.wish(f.Order.task())
	a.Known = nil // whoever scans resolves it, and opens it, anew
	ticket, err := s.queue.Ask(a)
	if err != nil {
		return err
	}
	ticket.Leave()
	return nil
}

// all are the failures that are remembered.
func (f *failures) all() []failureRecord {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kept.all()
}

// drop forgets a failure in this process.
func (f *failures) drop(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept.remove(key)
}
