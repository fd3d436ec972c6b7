package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"
)

// flagError words the mistake in a flag's value as the provider and the mutator do:
// what it must be, and not how Go failed to read it.
func flagError(err error) error {
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
