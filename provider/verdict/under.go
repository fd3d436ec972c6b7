package verdict

import (
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// Change is what would be judged by otherwise. What is nil stays as it is configured.
type Change struct {
	Threshold            *report.Severity
	OnlyFixed            *bool
	KEV                  *KEV
	MinCVEAge, MinFixAge *time.Duration
	// Ahead is how much later it would be: exceptions and graces will have ended.
	// Vulnerability data counts as if it were renewed until then.
	Ahead time.Duration
}

// Under returns a Judge of the same exceptions and VEX documents that judges as it would
// be after a change. It follows no files by itself and has no metrics. Its error is a
// change that cannot be.
func (j *Judge) Under(c Change) (*Judge, error) {
	o := j.o
	o.Registerer = nil
	change(&o.Threshold, c.Threshold)
	change(&o.OnlyFixed, c.OnlyFixed)
	change(&o.KEV, c.KEV)
	change(&o.MinCVEAge, c.MinCVEAge)
	change(&o.MinFixAge, c.MinFixAge)
	if c.Ahead != 0 {
		o.Now = func() time.Time { return j.o.Now().Add(c.Ahead) }
		if o.MaxDatabaseAge > 0 {
			o.MaxDatabaseAge += c.Ahead
		}
	}
	if err := o.complete(); err != nil {
		return nil, err
	}
	return &Judge{
		o: o, exceptions: j.exceptions, vex: j.vex, attached: j.attached,
		failures: newFailures(), powerless: newPowerless(), reminded: map[string]time.Time{},
	}, nil
}

func change[T any](to, by *T) {
	if by != nil {
		*to = *by
	}
}

// ParseSpan reads a time span as Constraints and exceptions have it: 36h, 7d.
func ParseSpan(s string) (time.Duration, error) {
	span, err := parseSpan(optionalText{given: true, text: s})
	if err != nil {
		return 0, err
	}
	return *span, nil
}
