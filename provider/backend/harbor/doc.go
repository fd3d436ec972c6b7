// Package harbor is the scanner backend for everything that speaks the Harbor
// Pluggable Scanner API 1.1 or 1.2 (goharbor/pluggable-scanner-spec): the
// bundled worker, Trivy's adapter, and many others.
//
// A scan is a POST that returns an id and a report that is polled by it. The
// rest of the package is about not being misled: redirects mean "not yet" and
// are never followed, an id may be forgotten by a restarted adapter, and
// nothing but a whole, well-formed report of the very digest that was asked
// for counts as an outcome.
package harbor
