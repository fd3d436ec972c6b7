// Package overlay lays flags and environment variables over a configuration
// that was read from a file, for the provider's and the mutator's command line
// alike: each flag stands for one field, and each is also a variable.
package overlay

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// Env looks up an environment variable, as os.LookupEnv does.
type Env func(string) (string, bool)

// Name returns the environment variable of a flag: with the prefix IMAGEGATE_,
// tls-cert is IMAGEGATE_TLS_CERT.
func Name(prefix, flag string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Value returns a flag that is no field, such as the configuration file: as
// given, or else from the environment.
func Value(given *pflag.FlagSet, flag, prefix string, env Env) (string, error) {
	v, err := given.GetString(flag)
	if err != nil {
		return "", err
	}
	if v == "" {
		v, _ = env(Name(prefix, flag))
	}
	return v, nil
}

// Apply writes into fields, whose flags store into the configuration, what was
// given on the command line, or else is in the environment. Errors name the
// flag or the variable.
func Apply(fields, given *pflag.FlagSet, prefix string, env Env) error {
	var errs []error
	fields.VisitAll(func(f *pflag.Flag) {
		if source := given.Lookup(f.Name); source != nil && source.Changed {
			if err := assign(f.Value, source.Value); err != nil {
				errs = append(errs, fmt.Errorf("--%s: %w", f.Name, err))
			}
			return
		}
		name := Name(prefix, f.Name)
		if v, ok := env(name); ok {
			if err := f.Value.Set(v); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
	})
	return errors.Join(errs...)
}

// assign copies a value. A list's text has brackets that Set would read as
// part of its first and last items.
func assign(to, from pflag.Value) error {
	list, ok := from.(pflag.SliceValue)
	if !ok {
		return to.Set(from.String())
	}
	target, ok := to.(pflag.SliceValue)
	if !ok {
		return errors.New("a list is given for a single value")
	}
	return target.Replace(list.GetSlice())
}
