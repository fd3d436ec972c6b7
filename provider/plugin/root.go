package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // what a kubeconfig may ask for
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/imagegate/imagegate/provider/exit"
	"github.com/imagegate/imagegate/provider/interrupt"
	"github.com/imagegate/imagegate/provider/strict"
	"github.com/imagegate/imagegate/provider/version"
)

// The exit codes beside 0: what was asked about is denied, and there is no answer.
const (
	deniedCode = 1
	failedCode = 2
)

// timeout bounds a command that waits for nothing, and each request where none is set.
const timeout = 30 * time.Second

// Main runs the command line and returns the process's exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := interrupt.Notify(context.Background())
	defer stop()
	root := New()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := interrupt.Run(ctx, root.ExecuteContext) // not all of kubectl's library hears of ctx
	if ctx.Err() != nil {
		_, _ = fmt.Fprintln(stderr, context.Cause(ctx))
		return interrupt.ExitCode(ctx)
	}
	code, err := exit.Code(err, failedCode)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "error:", err)
	}
	return code
}

// New returns the plugin's commands.
func New() *cobra.Command {
	flags := genericclioptions.NewConfigFlags(true).WithWrapConfigFn(func(c *rest.Config) *rest.Config {
		if c.Timeout == 0 {
			c.Timeout = timeout
		}
		return c
	})
	root := &cobra.Command{
		Use:   "kubectl-imagegate",
		Short: "Say why images are denied, what to do, and what is affected",
		Long: `Says why imagegate denies an image, what to do, and which workloads are affected. As kubectl's
plugin it is called "kubectl imagegate", and takes kubectl's own flags of cluster, user and
namespace.`,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl imagegate"},
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	version.Of("kubectl-imagegate").AddTo(root)
	flags.AddFlags(root.PersistentFlags())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return strict.FlagError(cmd.Flags(), err) })
	root.AddCommand(whyCommand(flags), getCommand(flags), affectedCommand(flags), whatIfCommand(flags), exceptionsCommand(flags), exceptCommand(), uiCommand(flags))
	return root
}

// configured says why there is no cluster to ask. Without a kubeconfig kubectl's library
// asks for one on localhost, and tells of a connection that was refused.
func configured(flags *genericclioptions.ConfigFlags) error {
	config, err := flags.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return err
	}
	_, inside := os.LookupEnv("KUBERNETES_SERVICE_HOST")
	if clientcmdapi.IsConfigEmpty(&config) && *flags.APIServer == "" && !inside {
		return errors.New("there is no kubeconfig: set KUBECONFIG or --kubeconfig")
	}
	return nil
}
