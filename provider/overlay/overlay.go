// Package overlay reads a command's configuration from its three sources, for
// the provider and the mutator alike: a YAML file, over it environment
// variables, over them flags. Each flag stands for one field of the file and is
// also a variable.
package overlay

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/imagegate/imagegate/provider/strict"
)

// Env looks up an environment variable, as os.LookupEnv does.
type Env func(string) (string, bool)

// fileFlag names the configuration file.
const fileFlag = "config"

// Source is how a configuration of type C is laid over its defaults.
type Source[C any] struct {
	// Prefix of the environment variables: with IMAGEGATE_, the flag tls-cert
	// is IMAGEGATE_TLS_CERT.
	Prefix string
	// Defaults is the configuration of an empty file.
	Defaults func() C
	// Bind declares each flag with its field in c as storage and the field's
	// value as default.
	Bind func(fs *pflag.FlagSet, c *C)
}

// AddFileFlag adds --config alone.
func (s Source[C]) AddFileFlag(fs *pflag.FlagSet) {
	fs.String(fileFlag, "", "configuration file (YAML)")
}

// AddFlags adds --config and the flags that override single fields of it.
func (s Source[C]) AddFlags(fs *pflag.FlagSet) {
	s.AddFileFlag(fs)
	c := s.Defaults()
	s.Bind(fs, &c)
}

// Load returns the defaults, over them the file that --config or its variable
// names, over it the environment, over all the flags that were given. Errors
// name the field, the variable or the flag.
func (s Source[C]) Load(given *pflag.FlagSet, env Env) (C, error) {
	c := s.Defaults()
	path, err := given.GetString(fileFlag)
	if err != nil {
		return c, err
	}
	if path == "" {
		path, _ = env(s.variable(fileFlag))
	}
	if path != "" {
		if err := read(path, &c); err != nil {
			return c, err
		}
	}
	fields := pflag.NewFlagSet("fields", pflag.ContinueOnError)
	// Declaring a flag writes its default into its storage, and must not
	// thereby undo what the file says.
	loaded := c
	s.Bind(fields, &c)
	c = loaded
	err = s.apply(fields, given, env)
	return c, err
}

// read decodes a file over c. A field that does not exist is an error, since a
// misspelled setting would silently be the default.
func read(path string, c any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	if err := strict.YAML(b, c); err != nil {
		return fmt.Errorf("configuration file %s: %w", path, err)
	}
	return nil
}

// apply writes into fields what was given on the command line, or else is in
// the environment.
func (s Source[C]) apply(fields, given *pflag.FlagSet, env Env) error {
	var errs []error
	fields.VisitAll(func(f *pflag.Flag) {
		if source := given.Lookup(f.Name); source != nil && source.Changed {
			if err := assign(f.Value, source.Value); err != nil {
				errs = append(errs, fmt.Errorf("--%s: %w", f.Name, err))
			}
			return
		}
		name := s.variable(f.Name)
		if v, ok := env(name); ok {
			if err := f.Value.Set(v); err != nil {
				errs = append(errs, strict.Value(name, v, f.Value.Type(), err))
			}
		}
	})
	return errors.Join(errs...)
}

func (s Source[C]) variable(flag string) string {
	return s.Prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
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
