package config

import "github.com/spf13/pflag"

// Bind lets the tests see which fields have flags.
func Bind(fs *pflag.FlagSet, c *Config) { bind(fs, c) }
