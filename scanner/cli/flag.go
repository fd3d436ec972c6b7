package cli

import (
	"errors"
	"fmt"

	"github.com/agext/levenshtein"
	"github.com/spf13/pflag"
)

// flagError words the mistake in a flag of flags, or in its value, as the provider and
// the mutator do: which flag was meant, and what a value must be, not how Go failed to
// read it.
func flagError(flags *pflag.FlagSet, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		if meant := nearest(flags, unknown.GetSpecifiedName()); meant != "" {
			return fmt.Errorf("%w: did you mean --%s?", err, meant)
		}
		return err
	}
	invalid, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	must := map[string]string{
		"duration": "a duration such as 800ms, 30s or 1h", "bool": "true or false", "int": "a whole number", "int64": "a whole number",
	}[invalid.GetFlag().Value.Type()]
	if must == "" {
		return err
	}
	return fmt.Errorf("--%s: %q must be %s", invalid.GetFlag().Name, invalid.GetValue(), must)
}

// maxPart is the part of a flag's name that may differ: a third of it.
const maxPart = 3

// nearest returns the flag most like the written one, empty if none is like it at all.
func nearest(flags *pflag.FlagSet, written string) (best string) {
	least := len(written)/maxPart + 1
	flags.VisitAll(func(f *pflag.Flag) {
		if d := levenshtein.Distance(written, f.Name, nil); d < least && !f.Hidden {
			best, least = f.Name, d
		}
	})
	return best
}
