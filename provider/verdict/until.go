package verdict

import (
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// Until is the next moment at which the verdict on a scan may be another although
// neither the scan nor what is configured has changed: an exception ends, a grace
// does, data gets too old. It may come too early, and never too late; zero: there is
// none. Generation tells of changes of what is configured.
func (j *Judge) Until(scan *report.Scan) time.Time {
	r := j.rules()
	next := moment{after: r.at}
	next.add(scan.DatabaseBuiltAt, j.o.MaxDatabaseAge)
	next.future(scan.DatabaseBuiltAt)
	if scan.Coverage != nil {
		next.add(scan.Coverage.EndOfLife, 0)
	}
	var ages []time.Duration
	if j.o.MinFixAge > 0 {
		ages = append(ages, j.o.MinFixAge)
	}
	for _, e := range r.exceptions.all {
		next.add(e.expires, 0)
		if e.minFixAge != nil {
			ages = append(ages, *e.minFixAge)
		}
	}
	for i := range scan.Vulnerabilities {
		v := &scan.Vulnerabilities[i]
		// What is dated in the future is not taken for new until it is the past.
		if j.o.MinCVEAge > 0 {
			next.add(v.Published, j.o.MinCVEAge)
			next.future(v.Published)
		}
		for _, age := range ages {
			next.add(v.FixAvailable, age)
		}
		if len(ages) > 0 {
			next.future(v.FixAvailable)
		}
	}
	return next.at
}

// Generation is another after each change of the exceptions or VEX documents.
func (j *Judge) Generation() uint64 { return j.generation.Load() }

// moment is the earliest of several that come after one.
type moment struct{ after, at time.Time }

func (m *moment) add(t time.Time, d time.Duration) {
	if t.IsZero() {
		return
	}
	if t = t.Add(d); t.After(m.after) && (m.at.IsZero() || t.Before(m.at)) {
		m.at = t
	}
}

// future adds that a date which is in the future will not be: that is a fault of some
// clock, and looked at again in a minute.
func (m *moment) future(t time.Time) {
	if !t.IsZero() && report.Future(t, m.after) {
		m.add(m.after, time.Minute)
	}
}
