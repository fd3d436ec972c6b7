package overlay

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/imagegate/imagegate/provider/nearest"
)

// serviceLink is what a kubelet puts into the environment for each Service of the
// namespace, after the Service's name: one of the same name as the program has its
// prefix.
var serviceLink = regexp.MustCompile(`^([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// CheckVariables refuses the variables with the prefix that stand for no flag, in an
// environment as os.Environ returns it: a misspelled one would silently leave the
// default. Those that begin with one of the others' prefixes are another program's.
func (s Source[C]) CheckVariables(environ []string, others ...string) error {
	fields := pflag.NewFlagSet("fields", pflag.ContinueOnError)
	s.AddFlags(fields)
	var known []string
	fields.VisitAll(func(f *pflag.Flag) { known = append(known, s.variable(f.Name)) })
	var errs []error
	for _, variable := range slices.Sorted(slices.Values(environ)) {
		name, _, _ := strings.Cut(variable, "=")
		rest, ours := strings.CutPrefix(name, s.Prefix)
		if !ours || slices.Contains(known, name) || serviceLink.MatchString(rest) ||
			slices.ContainsFunc(others, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			continue
		}
		hint := ""
		if meant, ok := nearest.To(rest, trimmed(known, s.Prefix)); ok {
			hint = ": did you mean " + s.Prefix + meant + "?"
		}
		errs = append(errs, fmt.Errorf("the environment has %s, which stands for no flag%s", name, hint))
	}
	return errors.Join(errs...)
}

func trimmed(names []string, prefix string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = strings.TrimPrefix(name, prefix)
	}
	return out
}
