package plugin

import (
	"fmt"
	"io"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/imagegate/imagegate/provider/report"
)

// maxLine bounds a line in bytes; what Gatekeeper says of one image has room in it.
const maxLine = 8 << 10

// tell prints answers for people.
func tell(w io.Writer, answers []answer) error {
	var b strings.Builder
	for i, a := range answers {
		if i > 0 {
			b.WriteString("\n")
		}
		a.tell(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (a *answer) tell(b *strings.Builder) {
	// Whoever may write events writes some of this, and terminals obey control characters.
	line := func(format string, args ...any) {
		b.WriteString(report.Clean(fmt.Sprintf(format, args...), maxLine) + "\n")
	}
	line("%s %s/%s", a.Kind, a.Namespace, a.Name)
	switch {
	case a.Now == nil:
		line("  now: not known")
	case a.Now.Allowed:
		line("  now: a Pod of it would be let in")
	default:
		line("  now: denied")
		if a.Now.Message != "" {
			line("    %s", a.Now.Message)
		}
		for _, d := range a.Now.Denials {
			d.tell(line)
		}
	}
	current := map[string]bool{}
	if a.Now != nil {
		for _, warning := range a.Now.Warnings {
			line("    warning: %s", warning)
		}
		for _, d := range a.Now.Denials {
			current[d.Constraint+d.Message] = true
		}
	}
	for _, d := range a.Denials {
		line("  denied%s", d.times())
		if current[d.Constraint+d.Message] {
			line("    as now")
			continue
		}
		d.tell(line)
	}
	if len(a.Denials) == 0 {
		line("  no denial is on record: conditions have none, nor events, which the cluster keeps for an hour or so")
	}
	for _, u := range a.Unknown {
		line("  not known: %s", u)
	}
}

func (d *denial) tell(line func(string, ...any)) {
	by := d.Webhook
	if d.Constraint != "" {
		by = "constraint " + d.Constraint
	}
	line("    by %s: %s", by, d.Message)
	if d.Do != "" {
		line("    %s", d.Do)
	}
}

// times says how often and when last, as far as that is known.
func (d *denial) times() string {
	var s string
	if d.Count > 1 {
		s = fmt.Sprintf(" %d times", d.Count)
	}
	if d.Last != nil {
		s += ", last " + duration.HumanDuration(time.Since(*d.Last)) + " ago"
	}
	return s
}
