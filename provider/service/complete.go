package service

import (
	"fmt"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// counts says why a scan must not be kept, whichever backend made it: no backend
// has to be trusted to have asked.
func (s *Service) counts(scan *report.Scan, digest string) error {
	now := s.o.Now()
	if err := report.Complete(scan, digest, now); err != nil {
		return err
	}
	// Kept, it would be expired at once, and be made again at every ask.
	if age := now.Sub(scan.ScannedAt); s.o.MaxAge > 0 && age > s.o.MaxAge {
		return report.Incomplete(fmt.Sprintf("it was made at %s, and reports may be %s old (scan.maxAge)",
			scan.ScannedAt.UTC().Format(time.RFC3339), s.o.MaxAge))
	}
	return nil
}
