package verdict

import (
	"fmt"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// maxNamed bounds the suppressed findings that a message names.
const maxNamed = 2

// tally is what the findings of one scan amount to.
type tally struct {
	o  *Options
	at time.Time
	// counting is how many findings reject the image, worst the first of them.
	counting int
	worst    *report.Vulnerability
	// exploited is how many of them do so for being known to be exploited.
	exploited int
	// below is how many do not reject it although nothing suppresses them, inGrace how
	// many will for they are too new.
	below   int
	inGrace int
	// standing is how many reach the threshold unsuppressed, fixed or not, and
	// excused how many of those that reach it this configuration suppressed.
	standing int
	excused  int
	// first is the worst of all, suppressed or not.
	first *report.Vulnerability
	// suppressed is how many do not count, named what is said of the worst.
	suppressed int
	named      []string
	// unlisted says that the findings are not known at all.
	unlisted bool
	// coverage is what was looked at; nil when that is not known.
	coverage *report.Coverage
	// lapsed is an exception for the worst finding that has ended.
	lapsed *exception
}

// add takes findings worst first; ours says that a suppressed one was
// suppressed by this configuration and not by the scanner.
func (t *tally) add(v *report.Vulnerability, ours bool) {
	if t.first == nil {
		t.first = v
	}
	exploited := t.o.exploited(v)
	reaches := v.Severity >= t.o.Threshold || exploited
	if v.Suppressed == "" && reaches {
		t.standing++
	}
	switch t.o.effect(v, t.at) {
	case SetAside:
		t.suppress(v)
		if ours && reaches {
			t.excused++
		}
		return
	case Below, Unfixed:
		t.below++
		return
	case InGrace:
		t.inGrace++
		return
	case Rejects:
	}
	t.counting++
	// What is exploited is more urgent than what is severe.
	if t.worst == nil || exploited && t.exploited == 0 {
		t.worst = v
	}
	if exploited {
		t.exploited++
	}
}

func (t *tally) suppress(v *report.Vulnerability) {
	t.suppressed++
	if len(t.named) < maxNamed {
		f := report.SuppressedOf(*v)
		t.named = append(t.named, f.ID+" by "+f.By)
	}
}

// verdict judges by the threshold, or leaves it to a scanner that has judged.
// A judgement it does not know is none that lets an image in.
func (t *tally) verdict(by report.Judgement) (report.Status, string) {
	switch by {
	case report.JudgementNone:
		return t.byThreshold()
	case report.JudgementPass:
		return t.scannerAccepts()
	case report.JudgementFail:
		return t.scannerRejects()
	default:
		return report.Rejected, fmt.Sprintf("the scanner judged %q, which is neither pass nor fail", report.Clean(string(by), maxSaid))
	}
}

func (t *tally) byThreshold() (report.Status, string) {
	if t.unlisted {
		return report.Rejected, "the scanner neither judged the image nor listed what it found"
	}
	if t.worst == nil {
		return report.Accepted, t.acceptance()
	}
	return report.Rejected, t.rejection()
}

func (t *tally) scannerAccepts() (report.Status, string) {
	if (t.o.Tighten || t.exploited > 0) && t.worst != nil {
		return report.Rejected, t.rejection() + "; the scanner's own policy accepts the image"
	}
	if t.o.Tighten && t.unlisted {
		return report.Rejected, "the scanner's policy accepts the image, but what it found could not be listed and compared with the threshold"
	}
	return report.Accepted, "the scanner's policy accepts the image"
}

func (t *tally) scannerRejects() (report.Status, string) {
	if t.o.Loosen && t.excused > 0 && t.standing == 0 {
		return report.Accepted, "the scanner's policy rejects the image, but " + t.acceptance()
	}
	message := "the scanner's policy rejects the image"
	if t.first != nil {
		message += "; worst finding: " + report.FindingOf(*t.first).String()
	}
	if t.suppressed > 0 {
		message += fmt.Sprintf("; %d suppressed findings do not change its verdict", t.suppressed)
	}
	return report.Rejected, message
}

// rejection begins with the worst finding: audit keeps 256 bytes only.
func (t *tally) rejection() string {
	var b strings.Builder
	b.WriteString(report.FindingOf(*t.worst).String())
	if t.lapsed != nil {
		fmt.Fprintf(&b, "; its exception ended %s", t.lapsed.until)
	}
	if t.counting > 1 {
		noun := "findings"
		if t.counting == 2 {
			noun = "finding"
		}
		fmt.Fprintf(&b, "; and %d more %s of severity %s or worse%s%s", t.counting-1, noun, t.o.Threshold, t.qualifier(), t.orExploited())
	}
	if t.suppressed > 0 {
		fmt.Fprintf(&b, "; %d suppressed", t.suppressed)
	}
	return b.String()
}

func (t *tally) acceptance() string {
	if t.below == 0 && t.suppressed == 0 && t.inGrace == 0 {
		return foundNothing(t.coverage)
	}
	s := fmt.Sprintf("no finding of severity %s or worse%s%s (%d below", t.o.Threshold, t.qualifier(), t.orExploited(), t.below)
	if t.inGrace > 0 {
		s += fmt.Sprintf(", %d too new to count", t.inGrace)
	}
	if t.suppressed > 0 {
		s += fmt.Sprintf(", %d suppressed: %s", t.suppressed, strings.Join(t.named, "; "))
		if more := t.suppressed - len(t.named); more > 0 {
			s += fmt.Sprintf("; and %d more", more)
		}
	}
	s += ")"
	if c := t.coverage; c != nil && c.Unmatched > 0 {
		s += fmt.Sprintf("; nobody could look up %d of %s", c.Unmatched, c)
	}
	return s
}

func (t *tally) orExploited() string {
	if t.o.KEV == KEVDeny {
		return " or known to be exploited"
	}
	return ""
}

func (t *tally) qualifier() string {
	if t.o.OnlyFixed {
		return " that have a fix"
	}
	return ""
}
