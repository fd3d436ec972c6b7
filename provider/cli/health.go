package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/imagegate/imagegate/provider/exit"
)

// unhealthy is the exit code of a provider that is not ready.
const unhealthy = 1

// healthAsk bounds one question, healthPause is between two.
const (
	healthAsk   = 5 * time.Second
	healthPause = time.Second
)

// health is what is asked.
type health struct {
	url, caFile string
	needed      []string
	wait        time.Duration
}

func healthCommand() *cobra.Command {
	h := health{url: "http://127.0.0.1:8080"}
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask a provider that serves whether it is ready",
		Long: `Ask a provider that serves whether it is ready, and print what it says of each of
its parts. Images of imagegate have no shell: probes and tests can use this.

Exit code 0 says that it is ready, 1 that it is not, 2 a mistake.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return h.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	fs := cmd.Flags()
	fs.StringVar(&h.url, "url", h.url, "http(s)://host:port of server.probes or server.listen")
	fs.StringVar(&h.caFile, "ca", "", "CA of an https --url (PEM; default: the system's)")
	fs.StringSliceVar(&h.needed, "need", nil, "parts that must be as they should be although the provider is ready without them, for example installation")
	fs.DurationVar(&h.wait, "wait", 0, "how long it may take until it is so")
	return cmd
}

// run asks until the answer is good, or time is up.
func (h *health) run(ctx context.Context, out io.Writer) error {
	client, err := h.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	until := time.Now().Add(h.wait)
	for {
		said, err := h.ask(ctx, client)
		if err == nil || time.Now().Add(healthPause).After(until) || ctx.Err() != nil {
			if said != "" {
				_, _ = fmt.Fprintln(out, said)
			}
			if err != nil {
				return &exit.Error{Code: unhealthy, Err: err}
			}
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(healthPause):
		}
	}
}

func (h *health) client() (*http.Client, error) {
	if !strings.HasPrefix(h.url, "http://") && !strings.HasPrefix(h.url, "https://") {
		return nil, fmt.Errorf("--url %q is neither http:// nor https://", h.url)
	}
	t := &http.Transport{DisableKeepAlives: true}
	if h.caFile != "" {
		pem, err := os.ReadFile(h.caFile)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca: %s has no certificate", h.caFile)
		}
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots}
	}
	return &http.Client{Transport: t, Timeout: healthAsk}, nil
}

// ask returns what the provider says of itself, and why that is not good.
func (h *health) ask(ctx context.Context, client *http.Client) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(h.url, "/")+"/readyz", nil)
	if err != nil {
		return "", fmt.Errorf("--url: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("nobody answers: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	const most = 64 << 10
	body, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return "", fmt.Errorf("the answer broke off: %w", err)
	}
	said := strings.TrimSpace(string(body))
	if resp.StatusCode != http.StatusOK {
		return said, errors.New("it is not ready")
	}
	return said, h.lacking(said)
}

// lacking says which of the parts that are needed are not as they should be.
func (h *health) lacking(said string) error {
	parts := map[string]string{}
	for line := range strings.Lines(said) {
		name, state, _ := strings.Cut(strings.TrimSpace(line), ": ")
		parts[name] = state
	}
	var errs []error
	for _, name := range h.needed {
		switch state, ok := parts[name]; {
		case !ok:
			errs = append(errs, fmt.Errorf("it says nothing of %s (--need)", name))
		case state != "ok":
			errs = append(errs, fmt.Errorf("%s: %s", name, state))
		}
	}
	return errors.Join(errs...)
}
