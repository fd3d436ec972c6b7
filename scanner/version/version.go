// Package version says which build a program is, to people and to Prometheus.
package version

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
)

// Number is that of the release. A test holds it to the provider's.
const Number = "0.0.0"

// Build is what can be told of a program.
type Build struct{ Program, Version, Revision, Go string }

// Of returns that of the running program. Builds from a checkout that stamp it have a
// revision.
func Of(program string) Build {
	b := Build{Program: program, Version: Number, Go: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Revision = s.Value
			}
		}
	}
	return b
}

// String is one line.
func (b Build) String() string {
	s := fmt.Sprintf("%s %s (%s, %s/%s", b.Program, b.Version, b.Go, runtime.GOOS, runtime.GOARCH)
	if b.Revision != "" {
		s += ", " + b.Revision
	}
	return s + ")"
}

// Metric is always 1; its labels are the build.
func (b Build) Metric() prometheus.Collector {
	m := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "imagegate_build_info", Help: "Which build it is; always 1.",
		ConstLabels: prometheus.Labels{"program": b.Program, "version": b.Version, "revision": b.Revision, "goversion": b.Go},
	})
	m.Set(1)
	return m
}

// AddTo gives a program's root command --version and the command version.
func (b Build) AddTo(root *cobra.Command) {
	root.Version = b.String()
	root.SetVersionTemplate("{{.Version}}\n")
	root.AddCommand(&cobra.Command{
		Use:   "version",
		Short: "Print which build this is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), b)
			return err
		},
	})
}
