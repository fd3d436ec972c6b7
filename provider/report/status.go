package report

import (
	"fmt"
	"slices"
)

// Status is the outcome of a scan as a policy sees it. The spellings are part
// of the contract with every ConstraintTemplate ever written against the
// provider and never change.
type Status string

const (
	// Accepted means the scan finished and its verdict lets the image in.
	Accepted Status = "accepted"
	// Rejected means the scan finished and its verdict keeps the image out.
	Rejected Status = "rejected"
	// ScanFailed means the scan cannot finish: no such image, no pull access,
	// an unsupported artifact, an error of the scanner or a timeout.
	ScanFailed Status = "scan_failed"
	// NotAvailable means the scan has not finished yet.
	NotAvailable Status = "report_not_available"
)

// Final reports whether the status is a verdict, which may be remembered, as
// opposed to a passing state, which must be asked for again.
func (s Status) Final() bool { return s == Accepted || s == Rejected }

// Statuses returns all of them.
func Statuses() []Status { return []Status{Accepted, Rejected, ScanFailed, NotAvailable} }

// ParseStatus returns the Status spelled s, or an error that lists the valid
// spellings.
func ParseStatus(s string) (Status, error) {
	if st := Status(s); slices.Contains(Statuses(), st) {
		return st, nil
	}
	return "", fmt.Errorf("status %q must be one of %s, %s, %s, %s", s, Accepted, Rejected, ScanFailed, NotAvailable)
}
