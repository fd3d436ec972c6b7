package verdict

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/filewatch"
	"github.com/imagegate/imagegate/provider/report"
)

// Judge draws verdicts. It may be used by any number of goroutines and is a
// prometheus.Collector of its exceptions and files.
type Judge struct {
	o Options
	// The contents of the files; nil when none are configured.
	exceptions *filewatch.Content[*exceptions]
	vex        *filewatch.Content[*statements]
	attached   *attachedVEX
	failures   *prometheus.CounterVec
	// powerless counts VEX statements that can have no effect.
	powerless *prometheus.CounterVec
	// generation counts the changes of the files.
	generation atomic.Uint64
	// parsing, when set, is called before files are parsed: tests stop there.
	parsing func()

	mu sync.Mutex
	// reminded is when the end of an exception was logged last, by its scope.
	reminded map[string]time.Time
}

// New reads the files and returns a Judge, or every mistake in them and in the
// options with the field and the entry.
func New(o Options) (*Judge, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("configuring the verdict: %w", err)
	}
	j := &Judge{o: o, failures: newFailures(), powerless: newPowerless(), reminded: map[string]time.Time{}}
	var err error
	if j.attached, err = newAttachedVEX(); err != nil {
		return nil, err
	}
	if f := o.ExceptionsFile; f != "" {
		j.exceptions = filewatch.New("exceptions file", []string{f}, func(contents [][]byte) (*exceptions, error) {
			j.parses()
			x, err := parseExceptions(contents[0])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f, err)
			}
			return x, nil
		})
	}
	if len(o.VEXFiles) > 0 {
		files := slices.Clone(o.VEXFiles)
		j.vex = filewatch.New("VEX documents", files, func(contents [][]byte) (*statements, error) {
			j.parses()
			return parseVEX(files, contents, o.Now())
		})
	}
	if err := j.reload(); err != nil {
		return nil, fmt.Errorf("configuring the verdict: %w", err)
	}
	if o.Registerer != nil {
		if err := o.Registerer.Register(j); err != nil {
			return nil, fmt.Errorf("registering the verdict's metrics: %w", err)
		}
	}
	return j, nil
}

// Start follows the files until ctx ends. A file that breaks leaves what was
// read before in use. Its error says that watching could not begin at all.
func (j *Judge) Start(ctx context.Context) error {
	var files []string
	if j.exceptions != nil {
		files = append(files, j.exceptions.Files()...)
	}
	if j.vex != nil {
		files = append(files, j.vex.Files()...)
	}
	if len(files) == 0 {
		<-ctx.Done()
		return nil
	}
	return filewatch.Follow(ctx, j.o.Logger, files, func() {
		if err := j.reload(); err != nil {
			j.o.Logger.ErrorContext(ctx, "cannot reload the verdict's files; what was read before stays in use", "error", err)
		}
		j.remind(ctx)
	})
}

// reload reads the files that changed. It returns each failure once.
func (j *Judge) reload() error {
	var errs []error
	if j.exceptions != nil {
		changed, err := j.exceptions.Reload()
		errs = append(errs, j.count(partExceptions, err))
		if x, _ := j.exceptions.Get(); changed {
			j.generation.Add(1)
			j.o.Logger.Info("loaded exceptions", "file", j.o.ExceptionsFile, "exceptions", len(x.all))
		}
	}
	if j.vex != nil {
		changed, err := j.vex.Reload()
		errs = append(errs, j.count(partVEX, err))
		if x, _ := j.vex.Get(); changed {
			j.generation.Add(1)
			j.o.Logger.Info("loaded VEX documents", "files", j.o.VEXFiles, "statements", len(x.all))
			if u := x.useless(); len(u) > 0 {
				j.warnOfPowerless(u, sourceFiles)
			}
		}
	}
	return errors.Join(errs...)
}

// warnOfPowerless says of VEX statements that they can have no effect: silent,
// they would leave their author with an image that is rejected for no reason that
// he can see.
func (j *Judge) warnOfPowerless(u []*statement, source string, more ...any) {
	j.powerless.WithLabelValues(source).Add(float64(len(u)))
	j.o.Logger.Warn("VEX statements have no effect: they name no product with the digest of an image",
		append([]any{"source", source, "statements", len(u), "first", u[0].where}, more...)...)
}

func (j *Judge) parses() {
	if j.parsing != nil {
		j.parsing()
	}
}

func (j *Judge) count(part string, err error) error {
	if err != nil {
		j.failures.WithLabelValues(part).Inc()
	}
	return err
}

// rules are what is in the files now.
type rules struct {
	exceptions *exceptions
	vex        []*statements
	at         time.Time
}

func (j *Judge) rules() rules {
	r := rules{at: j.o.Now(), exceptions: &exceptions{}}
	// New has seen both load, so they have a value.
	if j.exceptions != nil {
		r.exceptions, _ = j.exceptions.Get()
	}
	if j.vex != nil {
		configured, _ := j.vex.Get()
		r.vex = append(r.vex, configured)
	}
	return r
}

// Judge draws the verdict on a scan of the subject.
func (j *Judge) Judge(scan *report.Scan, s Subject) Outcome {
	if scan == nil {
		return Outcome{Status: report.ScanFailed, Message: "there is no scan to judge"}
	}
	r, i := j.rules(), imageOf(s)
	// The latest of all statements holds, wherever it stands.
	if len(scan.VEX) > 0 {
		r.vex = append(r.vex, j.attachedStatements(scan))
	}
	t := tally{o: &j.o, at: r.at}
	out := r.mark(scan, i)
	for n := range out.Vulnerabilities {
		ours := scan.Vulnerabilities[n].Suppressed == ""
		t.add(&out.Vulnerabilities[n], ours)
	}
	if t.worst != nil {
		t.lapsed = r.exceptions.lapsed(i, t.worst, r.at)
	}
	t.unlisted, t.coverage = scan.Unlisted, scan.Coverage
	status, message := t.verdict(scan.Judgement)
	// A finding that keeps the image out does so whatever was not looked at.
	if status == report.Accepted {
		if why := j.o.gap(scan, r.at); why != "" {
			status, message = report.ScanFailed, why
		}
	}
	return Outcome{Status: status, Message: message, Scan: out}
}

// mark returns the scan with Suppressed filled in, on a copy if it must.
func (r rules) mark(scan *report.Scan, i image) *report.Scan {
	out := scan
	_, known := scan.KnowsExploited()
	if len(r.exceptions.all) == 0 && countStatements(r.vex) == 0 {
		return out
	}
	for n := range scan.Vulnerabilities {
		v := &scan.Vulnerabilities[n]
		if v.Suppressed != "" {
			continue
		}
		by := r.exceptions.suppression(i, v, known, r.at)
		if by == "" {
			by = suppression(r.vex, i, v)
		}
		if by == "" {
			continue
		}
		if out == scan {
			c := *scan
			c.Vulnerabilities = slices.Clone(scan.Vulnerabilities)
			out = &c
		}
		out.Vulnerabilities[n].Suppressed = by
	}
	return out
}
