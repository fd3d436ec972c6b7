package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/imagegate/imagegate/scanner/worker"
)

// healthCommand is a probe for images without a shell.
func healthCommand() *cobra.Command {
	listen := worker.Default().Listen
	var live bool
	timeout := 2 * time.Second
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask the worker that runs here whether a scan could run now",
		Long: `Ask the worker on this machine whether a scan could run now. Give the command the
--listen of that worker. It is for exec probes.

Exit codes: 0: a scan could run; 1: it could not.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := "/readyz"
			if live {
				path = "/healthz"
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			said, err := ask(ctx, listen, path)
			if err != nil {
				return running(err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), said)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", listen, "where the worker listens: host:port or unix:///path")
	f.BoolVar(&live, "live", false, "ask only whether the process answers")
	f.DurationVar(&timeout, "timeout", timeout, "how long it may take")
	return cmd
}

// ask gets a path from the worker that listens at an address.
func ask(ctx context.Context, listen, path string) (string, error) {
	network, address := "tcp", listen
	if socket, ok := strings.CutPrefix(listen, worker.Unix); ok {
		network, address = "unix", socket
	} else {
		host, port, err := net.SplitHostPort(listen)
		if err != nil {
			return "", fmt.Errorf("--listen: %q is neither host:port nor unix:///path", listen)
		}
		if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
			address = net.JoinHostPort("", port) // this machine
		}
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("no worker answers at %s (--listen): %w", listen, err)
	}
	defer func() { _ = resp.Body.Close() }()
	const most = 4096
	body, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return "", fmt.Errorf("the worker broke off its answer: %w", err)
	}
	said := strings.TrimSpace(string(body))
	if resp.StatusCode != http.StatusOK {
		return "", errors.New("not ready: " + said)
	}
	return said, nil
}
