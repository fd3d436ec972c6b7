// Command mutator is the mutating webhook of imagegate: it pins the images of
// Pods to digests before Gatekeeper validates them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/imagegate/imagegate/mutator/config"
	"github.com/imagegate/imagegate/provider/strict"
)

func main() {
	os.Exit(run(os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
}

// run returns the exit status: 2 for a wrong command line or configuration, 1
// for a failure afterwards.
func run(args []string, env func(string) (string, bool), stdout, stderr io.Writer) int {
	flags := pflag.NewFlagSet("mutator", pflag.ContinueOnError)
	flags.SetOutput(stderr)
	config.AddFlags(flags)
	asks := len(args) > 0 && args[0] == healthName
	live := new(bool)
	if asks {
		args = args[1:]
		live = flags.Bool("live", false, "ask only whether the process answers")
	}
	flags.Usage = func() { usage(stderr, flags) }
	if err := flags.Parse(args); errors.Is(err, pflag.ErrHelp) {
		return 0
	} else if err != nil {
		_, _ = fmt.Fprintln(stderr, "mutator:", strict.FlagError(err))
		return 2
	}
	if flags.NArg() > 0 {
		_, _ = fmt.Fprintf(stderr, "mutator: unexpected argument %q\n", flags.Arg(0))
		return 2
	}
	if err := config.CheckVariables(os.Environ()); err != nil {
		_, _ = fmt.Fprintln(stderr, "mutator:", err)
		return 2
	}
	c, err := config.Load(flags, env)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "mutator:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends at once
	if asks {
		return askHealth(ctx, &c, *live, stdout, stderr)
	}
	if err := serve(ctx, &c, newLogger(&c.Log, stderr)); err != nil {
		_, _ = fmt.Fprintln(stderr, "mutator:", err)
		return 1
	}
	return 0
}
