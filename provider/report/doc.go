// Package report holds what imagegate knows and says about one image: the
// findings a scanner returned, the verdict the configuration draws from them,
// and the ScanReport that a ConstraintTemplate reads as input.ScanReport.
//
// Every other package speaks in these types and this package imports none of
// them, so the meaning of a status is written down in exactly one place.
package report
