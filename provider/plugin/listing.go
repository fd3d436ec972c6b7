package plugin

import (
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/imagegate/imagegate/provider/strict"
)

// asking is what commands have that ask the report pages.
const asking = `It asks the report pages of a provider (view.enabled) over a port that it forwards, as
"kubectl port-forward" does, so it takes the rights to list Pods and to create
pods/portforward where imagegate is installed. Whoever has them sees all namespaces. With
--pages it asks no cluster.`

// listing is a command's part that asks the report pages for a list and prints it.
type listing struct {
	out  output
	from release
	// pages is where the report pages are reached already; empty: a port is forwarded.
	pages string
}

func newListing(flags *genericclioptions.ConfigFlags) *listing {
	return &listing{from: release{flags: flags}}
}

func (l *listing) addFlags(cmd *cobra.Command) {
	l.out.addFlags(cmd)
	l.from.addFlags(cmd)
	cmd.Flags().StringVar(&l.pages, "pages", "", "address where the report pages are reached without a forwarded port, such as http://127.0.0.1:8090")
}

// print prints a whole list, for people by some of its columns, and returns it.
func (l *listing) print(cmd *cobra.Command, path string, query url.Values, columns []column) (*answered, error) {
	if err := l.out.check(); err != nil {
		return nil, err
	}
	list, err := l.read(cmd.Context(), path, query)
	if err != nil {
		return nil, err
	}
	list.warn(cmd.ErrOrStderr())
	return list, l.out.print(cmd.OutOrStdout(), list, func(w io.Writer) error { return table(w, columns, list.Rows) })
}

// filter is a flag that chooses among the rows: a parameter of that name, of some values.
type filter struct {
	name    string
	allowed []string
	value   string
}

func (f *filter) addFlag(cmd *cobra.Command, usage string) {
	last := len(f.allowed) - 1
	cmd.Flags().StringVar(&f.value, f.name, "", usage+": "+strings.Join(f.allowed[:last], ", ")+" or "+f.allowed[last])
	completes(cmd, f.name, f.allowed...)
}

// query is what is asked for by the flag.
func (f *filter) query() (url.Values, error) {
	if f.value == "" {
		return url.Values{}, nil
	}
	if err := strict.OneOf(f.value, f.allowed...); err != nil {
		return nil, strict.Value("--"+f.name, f.value, "", err)
	}
	return url.Values{f.name: {f.value}}, nil
}
