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
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/exit"
	"github.com/imagegate/imagegate/provider/health"
	"github.com/imagegate/imagegate/provider/install"
	"github.com/imagegate/imagegate/provider/selfsigned"
)

// unhealthy is the exit code of a provider that is not ready.
const unhealthy = 1

// healthAsk bounds one question, healthPause is between two.
const (
	healthAsk   = 5 * time.Second
	healthPause = time.Second
)

// healthQuestion is what is asked.
type healthQuestion struct {
	url, caFile string
	live        bool
	needed      []string
	wait        time.Duration
}

// healthAnswer asks once: what was said, and why that is not good.
type healthAnswer func(ctx context.Context) (string, error)

func healthCommand() *cobra.Command {
	h := healthQuestion{}
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask a provider that serves whether it is ready",
		Long: `Ask a provider that serves whether it is ready, and print what it says of each of
its parts. Probes and tests can use this, for imagegate's images have no shell.
Without --url this command asks the provider that serves on this machine with the
same configuration. Over TLS that provider must show the certificate which the
configuration names.

Exit code 0 says that the provider is ready, 1 that it is not, 2 that the command line
has a mistake.`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := config.LoadUnchecked(cmd.Flags(), os.LookupEnv)
		if err != nil {
			return err
		}
		ask, err := h.asker(&c)
		if err != nil {
			return err
		}
		return h.run(cmd.Context(), ask, cmd.OutOrStdout())
	}
	fs := cmd.Flags()
	config.AddAddressFlags(fs)
	fs.StringVar(&h.url, "url", h.url, "http(s)://host:port of a provider's server.probes or server.listen (default: of the configuration, on this machine)")
	fs.BoolVar(&h.live, "live", false, "ask only whether the process answers")
	fs.StringVar(&h.caFile, "ca", "", "CA of an https --url (PEM; default: the system's)")
	fs.StringSliceVar(&h.needed, "need", nil, "parts that must be as they should be although the provider is ready without them, for example installation")
	fs.DurationVar(&h.wait, "wait", 0, "how long it may take until it is so")
	return cmd
}

// asker returns how the provider is asked: at --url, or where one of the
// configuration serves here.
func (h *healthQuestion) asker(c *config.Config) (healthAnswer, error) {
	if h.url == "" {
		s, err := served(c)
		if err != nil {
			return nil, err
		}
		if h.live {
			return s.Live, nil
		}
		return s.Ready, nil
	}
	client, err := h.client()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (string, error) { return h.ask(ctx, client) }, nil
}

// served is where a provider of the configuration answers probes.
func served(c *config.Config) (health.Server, error) {
	if c.Server.Probes != "" {
		return health.Server{Listen: c.Server.Probes, Setting: "server.probes"}, nil
	}
	s := health.Server{Listen: c.Server.Listen, Setting: "server.listen", CertFile: c.Server.TLS.CertFile, CertSetting: "server.tls.certFile"}
	own := selfsigned.ServerCertFile
	if c.Install.Enabled {
		own = install.CertFile
		if dir := c.Install.Certificates.Dir; dir != "" {
			s.CertFile, s.CertSetting = filepath.Join(dir, own), "install.certificates.dir"
			return s, nil
		}
	} else if s.CertFile != "" {
		return s, nil
	}
	data, err := dataDir(c)
	if err != nil {
		return s, err
	}
	s.CertFile, s.CertSetting = filepath.Join(data, "tls", own), "dataDir"
	return s, nil
}

// run asks until the answer is good, or time is up.
func (h *healthQuestion) run(ctx context.Context, ask healthAnswer, out io.Writer) error {
	until := time.Now().Add(h.wait)
	for {
		said, err := ask(ctx)
		if err == nil {
			err = h.lacking(said)
		}
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

func (h *healthQuestion) client() (*http.Client, error) {
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
func (h *healthQuestion) ask(ctx context.Context, client *http.Client) (string, error) {
	path := "/readyz"
	if h.live {
		path = "/healthz"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(h.url, "/")+path, nil)
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
	return said, nil
}

// lacking says which of the parts that are needed are not as they should be.
func (h *healthQuestion) lacking(said string) error {
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
