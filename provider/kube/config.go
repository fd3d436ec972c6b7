// Package kube says how the API server is reached, for all that speak to it: one
// reads pull secrets, another annotates owners, and they may be allowed
// different things.
package kube

import (
	"fmt"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Timeout bounds one request to the API server.
const Timeout = 5 * time.Second

// Config returns how to reach the API server: by a kubeconfig, or from within
// the cluster when its path is empty. Whoever uses it bounds its own requests;
// client-go's default of 5 a second would make a rollout over many namespaces
// wait.
func Config(kubeconfig, userAgent string) (*rest.Config, error) {
	var cfg *rest.Config
	var err error
	if kubeconfig == "" {
		cfg, err = rest.InClusterConfig()
	} else {
		cfg, err = clientcmd.BuildConfigFromFlags("", kubeconfig)
	}
	if err != nil {
		return nil, fmt.Errorf("configuring the API server's client: %w", err)
	}
	cfg.UserAgent = userAgent
	cfg.Timeout = Timeout
	cfg.QPS, cfg.Burst = 50, 100
	return cfg, nil
}

// Outside returns how a person's machine reaches the API server: as kubectl would, by
// --kubeconfig, KUBECONFIG or ~/.kube/config and the context of that name; empty: the
// current one.
func Outside(kubeconfig, context, userAgent string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: context}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	cfg.UserAgent = userAgent
	cfg.QPS, cfg.Burst = 50, 100
	return cfg, nil
}
