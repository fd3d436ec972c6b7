package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // what a kubeconfig may ask for

	"github.com/imagegate/imagegate/provider/exit"
	"github.com/imagegate/imagegate/provider/version"
)

// The exit codes beside 0: what was asked about is denied, and there is no answer.
const (
	deniedCode = 1
	failedCode = 2
)

// timeout bounds a command that waits for nothing.
const timeout = 30 * time.Second

// Main runs the command line and returns the process's exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := New()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	code, err := exit.Code(root.ExecuteContext(ctx), failedCode)
	if err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			err = errors.New("interrupted")
		}
		_, _ = fmt.Fprintln(stderr, "error:", err)
	}
	return code
}

// New returns the plugin's commands.
func New() *cobra.Command {
	flags := genericclioptions.NewConfigFlags(true)
	root := &cobra.Command{
		Use:   "kubectl-imagegate",
		Short: "Say why images are denied, and what to do",
		Long: `Says why imagegate denies an image, and what to do. As kubectl's plugin it is called
"kubectl imagegate", and takes kubectl's own flags of cluster, user and namespace.`,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl imagegate"},
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	version.Of("kubectl-imagegate").AddTo(root)
	flags.AddFlags(root.PersistentFlags())
	root.AddCommand(whyCommand(flags))
	return root
}
