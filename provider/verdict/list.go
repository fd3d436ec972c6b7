package verdict

import (
	"slices"
	"time"
)

// The states of an exception.
const (
	// Active: it holds.
	Active = stateActive
	// Expiring: it holds, and ends within 14 days.
	Expiring = stateExpiring
	// Expired: it does nothing any more.
	Expired = stateExpired
)

// Exception is one of the exceptions in force or over.
type Exception struct {
	CVE string
	// Images are patterns, spelled out. Empty Namespaces and Packages mean all.
	Images     []string
	Namespaces []string
	Packages   []string
	// Until is the end as it was written, Expires the moment.
	Until   string
	Expires time.Time
	// KEVDeny says that it is not for what is known to be exploited; MinFixAge, where
	// it is set, until when after a fix it holds.
	KEVDeny   bool
	MinFixAge *time.Duration
	Reason    string
	// State is one of Active, Expiring, Expired.
	State string
	// By is what is said of the findings that it suppresses, Suppressed of theirs.
	By string
}

// Exceptions returns all of the exceptions file, those first that end first.
func (j *Judge) Exceptions() []Exception {
	r := j.rules()
	out := make([]Exception, 0, len(r.exceptions.all))
	for _, e := range r.exceptions.all {
		out = append(out, Exception{
			CVE: e.cve, Images: e.imageNames(), Namespaces: slices.Clone(e.namespaces), Packages: slices.Clone(e.packages),
			Until: e.until, Expires: e.expires, KEVDeny: e.kevDeny, MinFixAge: e.minFixAge, Reason: e.reason,
			State: e.state(r.at), By: e.by,
		})
	}
	slices.SortStableFunc(out, func(a, b Exception) int { return a.Expires.Compare(b.Expires) })
	return out
}
