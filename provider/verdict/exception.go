package verdict

import (
	"slices"
	"strings"
	"time"

	patterns "github.com/imagegate/imagegate/provider/pattern"
	"github.com/imagegate/imagegate/provider/report"
)

// expiringWithin is how long before its end an exception is pointed out.
const expiringWithin = 14 * 24 * time.Hour

// exception lets one vulnerability pass for some images until a moment.
type exception struct {
	cve string
	// images is never empty. Empty namespaces and packages mean all.
	images     []pattern
	namespaces []string
	packages   []string
	expires    time.Time
	// kevDeny ends it for what is known to be exploited; minFixAge when a fix has been
	// there for so long, nil never.
	kevDeny   bool
	minFixAge *time.Duration
	// until is the end as the operator wrote it.
	until  string
	reason string
	// by is what is said of the findings that it suppresses.
	by string
}

// matches reports whether e is about a finding in i, expired or not. An image
// whose namespace is not known is in no namespace.
func (e *exception) matches(i image, v *report.Vulnerability) bool {
	if len(e.namespaces) > 0 && !slices.ContainsFunc(e.namespaces, func(p string) bool { return patterns.InNamespace(p, i.namespace) }) {
		return false
	}
	if len(e.packages) > 0 && !slices.Contains(e.packages, v.Package) {
		return false
	}
	return slices.ContainsFunc(e.images, func(p pattern) bool { return p.matches(i) })
}

func (e *exception) expired(at time.Time) bool { return !at.Before(e.expires) }

// The states of an exception, as metrics and logs name them.
const (
	stateActive   = "active"
	stateExpiring = "expiring"
	stateExpired  = "expired"
)

func (e *exception) state(at time.Time) string {
	switch {
	case e.expired(at):
		return stateExpired
	case e.expires.Sub(at) <= expiringWithin:
		return stateExpiring
	}
	return stateActive
}

func (e *exception) imageNames() []string {
	images := make([]string, len(e.images))
	for i, p := range e.images {
		images[i] = p.String()
	}
	return images
}

// scope is the same for two exceptions that are about the same.
func (e *exception) scope() string {
	list := func(s []string) string { return strings.Join(slices.Sorted(slices.Values(s)), ",") }
	return strings.Join([]string{identifier(e.cve), list(e.imageNames()), list(e.namespaces), list(e.packages)}, "|")
}

// exceptions is a whole file.
type exceptions struct {
	all []*exception
	// byCVE has the keys of identifier.
	byCVE map[string][]*exception
}

func newExceptions(all []*exception) *exceptions {
	x := &exceptions{all: all, byCVE: map[string][]*exception{}}
	for _, e := range all {
		id := identifier(e.cve)
		x.byCVE[id] = append(x.byCVE[id], e)
	}
	return x
}

// suppression returns why a finding does not count, or nothing.
// known says whether it is known which findings are exploited.
func (x *exceptions) suppression(i image, v *report.Vulnerability, known bool, at time.Time) string {
	e := x.find(i, v, func(e *exception) bool { return !e.expired(at) && e.holds(v, known, at) })
	if e == nil {
		return ""
	}
	return e.by
}

// lapsed returns the exception for a finding that ended last, if there is one.
func (x *exceptions) lapsed(i image, v *report.Vulnerability, at time.Time) *exception {
	var last *exception
	x.find(i, v, func(e *exception) bool {
		if e.expired(at) && (last == nil || e.expires.After(last.expires)) {
			last = e
		}
		return false
	})
	return last
}

func (x *exceptions) find(i image, v *report.Vulnerability, want func(*exception) bool) *exception {
	if len(x.all) == 0 {
		return nil
	}
	for id := range ownNames(v) {
		for _, e := range x.byCVE[identifier(id)] {
			if e.matches(i, v) && want(e) {
				return e
			}
		}
	}
	return nil
}
