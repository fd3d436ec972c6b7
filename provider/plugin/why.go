package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/resource"
	"k8s.io/client-go/kubernetes"

	"github.com/imagegate/imagegate/provider/exit"
)

func whyCommand(flags *genericclioptions.ConfigFlags) *cobra.Command {
	out := output{}
	ask := true
	cmd := &cobra.Command{
		Use:   "why TYPE/NAME ...",
		Short: "Say why the Pods of a workload are denied, and what to do",
		Long: `Says why the Pods of a workload are denied, and what to do: what its controllers were
told, by their conditions and events, and whether a Pod of it would be let in now, which is
asked by a dry run that stores nothing. It takes the rights to read the workload, its
ReplicaSets or Jobs and events, and to create Pods in the namespace; where one is missing
the answer says so.

Exit code 0: a Pod would be let in; 1: it is denied, or was when that is not asked; 2:
there is no answer.`,
		Example: `  kubectl imagegate why deployment/shop
  kubectl imagegate why pod/shop-5b9c -n prod -o json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			if err := configured(flags); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			asked, err := workloads(flags, args)
			if err != nil {
				return err
			}
			config, err := flags.ToRESTConfig()
			if err != nil {
				return err
			}
			warned := &warnings{}
			config.WarningHandler = warned
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return err
			}
			answers := make([]answer, 0, len(asked))
			for _, w := range asked {
				answers = append(answers, why(ctx, client, warned, w, ask))
			}
			if err := out.print(cmd.OutOrStdout(), answers, func(w io.Writer) error { return tell(w, answers) }); err != nil {
				return err
			}
			return outcome(answers)
		},
	}
	out.addFlags(cmd)
	cmd.Flags().BoolVar(&ask, "dry-run", ask, "ask whether a Pod would be let in now, by a dry run")
	return cmd
}

// workloads are the objects that arguments name.
func workloads(flags *genericclioptions.ConfigFlags, args []string) ([]*unstructured.Unstructured, error) {
	namespace, _, err := flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, err
	}
	infos, err := resource.NewBuilder(flags).Unstructured().NamespaceParam(namespace).DefaultNamespace().
		ResourceTypeOrNameArgs(false, args...).Flatten().Do().Infos()
	if err != nil {
		return nil, err
	}
	found := make([]*unstructured.Unstructured, 0, len(infos))
	for _, info := range infos {
		object, ok := info.Object.(*unstructured.Unstructured)
		if !ok {
			return nil, fmt.Errorf("%s: an object of an unknown form", info.ObjectName())
		}
		if _, err := podOf(object); err != nil {
			return nil, fmt.Errorf("%s: %w", info.ObjectName(), err)
		}
		found = append(found, object)
	}
	return found, nil
}

// outcome is the exit code that answers are worth.
func outcome(answers []answer) error {
	var unknown bool
	for _, a := range answers {
		switch {
		case a.Now != nil && !a.Now.Allowed, a.Now == nil && len(a.Denials) > 0:
			return &exit.Error{Code: deniedCode}
		case a.Now == nil:
			unknown = true
		}
	}
	if unknown {
		return &exit.Error{Code: failedCode, Err: errors.New("no denial was found, and whether a Pod would be let in was not asked or not answered: that is no good news")}
	}
	return nil
}
