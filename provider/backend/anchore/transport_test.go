package anchore_test

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend/anchore"
	"github.com/imagegate/imagegate/provider/backend/anchore/anchoretest"
	"github.com/imagegate/imagegate/provider/backend/backendtest"
	"github.com/imagegate/imagegate/provider/filewatch"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/tlsfiles"
)

func TestCredentials(t *testing.T) {
	for name, tc := range map[string]struct {
		api    anchoretest.API
		change func(*anchore.Options)
		want   string
	}{
		"none":                  {anchoretest.V1, func(*anchore.Options) {}, ""},
		"Sysdig's token":        {anchoretest.Sysdig, func(o *anchore.Options) { o.Token = filewatch.FixedSecret("tok") }, "Basic dG9rOg=="},
		"Sysdig's, as a bearer": {anchoretest.Sysdig, func(o *anchore.Options) { o.Token, o.TokenForm = filewatch.FixedSecret("tok"), anchore.TokenBearer }, "Bearer tok"},
		"a token for v1":        {anchoretest.V1, func(o *anchore.Options) { o.Token = filewatch.FixedSecret("tok") }, "Basic dG9rOg=="},
		"a token for v2":        {anchoretest.V2, func(o *anchore.Options) { o.Token = filewatch.FixedSecret("tok") }, "Bearer tok"},
		"v2, as a user":         {anchoretest.V2, func(o *anchore.Options) { o.Token, o.TokenForm = filewatch.FixedSecret("tok"), anchore.TokenBasic }, "Basic dG9rOg=="},
		"a user":                {anchoretest.V2, func(o *anchore.Options) { o.User, o.Password = "_api_key", filewatch.FixedSecret("tok") }, "Basic X2FwaV9rZXk6dG9r"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := server(t, anchoretest.Options{API: tc.api, Authorization: tc.want})
			c := client(t, srv.URL+string(tc.api), tc.change, func(o *anchore.Options) { o.Account = "team-a" })
			if _, err := c.Scan(t.Context(), backendtest.Image(0)); err != nil {
				t.Fatal(err)
			}
			for _, a := range srv.Asked() {
				if got := a.Header.Get("Authorization"); got != tc.want {
					t.Errorf("%s has authorization %q, want %q", a.Path, got, tc.want)
				}
				if a.Header.Get("X-Anchore-Account") != "team-a" || a.Header.Get("User-Agent") != "imagegate" {
					t.Errorf("%s has account %q and user agent %q", a.Path, a.Header.Get("X-Anchore-Account"), a.Header.Get("User-Agent"))
				}
			}
		})
	}
}

func TestTheImagesAuthorizationStaysHere(t *testing.T) {
	srv := server(t, anchoretest.Options{API: anchoretest.V1})
	image := backendtest.Image(0)
	if _, err := client(t, srv.URL+"/v1").Scan(t.Context(), image); err != nil {
		t.Fatal(err)
	}
	_, secret, _ := strings.Cut(image.Authorization, " ")
	for _, a := range srv.Asked() {
		if strings.Contains(a.Body+a.Query+a.Header.Get("Authorization"), secret) {
			t.Errorf("%s %s was told the registry's authorization", a.Method, a.Path)
		}
	}
}

func TestSecretsAreNotQuoted(t *testing.T) {
	image := backendtest.Image(0)
	_, registry, _ := strings.Cut(image.Authorization, " ")
	for _, text := range []string{
		`{"message":"bad token hunter2 from aHVudGVyMjo= and hunter2:, ` + registry + `"}`,
		`<title>hunter2 ` + registry + ` aHVudGVyMjo=</title>`,
		`Bearer hunter2 ` + registry + ` aHVudGVyMjo=`,
	} {
		srv := server(t, anchoretest.Options{API: anchoretest.Sysdig, Override: func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(text))
			return true
		}})
		c := client(t, srv.URL, func(o *anchore.Options) { o.API, o.Token = anchore.Sysdig, filewatch.FixedSecret("hunter2") })
		got, err := c.Scan(t.Context(), image)
		f := failureOf(t, got, err, report.ReasonUnavailable, "[redacted]")
		for _, secret := range []string{"hunter2", "aHVudGVyMjo=", registry} {
			if strings.Contains(f.Message, secret) || f.Err != nil && strings.Contains(f.Err.Error(), secret) {
				t.Errorf("%q (%v) quotes %s", f.Message, f.Err, secret)
			}
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	reached := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer other.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		srv := server(t, anchoretest.Options{API: anchoretest.V1, Override: func(w http.ResponseWriter, req *http.Request, _ string) bool {
			http.Redirect(w, req, other.URL, code)
			return true
		}})
		c := client(t, srv.URL+"/v1", func(o *anchore.Options) { o.Token = filewatch.FixedSecret("hunter2") })
		got, err := c.Scan(t.Context(), backendtest.Image(0))
		wantFailure(t, got, err, report.ReasonInternal, "redirect")
	}
	if reached {
		t.Error("a redirect was followed")
	}
}

func authorities(t *testing.T, file string) *tlsfiles.Authorities {
	t.Helper()
	a, err := tlsfiles.NewAuthorities("scanner.anchore.caFile", file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestTLS(t *testing.T) {
	srv := server(t, anchoretest.Options{API: anchoretest.V2, TLS: true})
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := client(t, srv.URL, func(o *anchore.Options) { o.Authorities = authorities(t, ca) }).Ready(t.Context()); err != nil {
		t.Error(err)
	}
	wantFailure(t, nil, client(t, srv.URL).Ready(t.Context()), report.ReasonUnavailable, "cannot be reached; the provider's log says why")

	old := httptest.NewUnstartedServer(status(200))
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11}
	old.Config.ErrorLog = srv.Config.ErrorLog
	old.StartTLS()
	defer old.Close()
	wantFailure(t, nil, client(t, old.URL, func(o *anchore.Options) { o.Authorities = authorities(t, ca) }).Ready(t.Context()), report.ReasonUnavailable, "cannot be reached")
}

// proxy answers in the place of any host, as an HTTP proxy for http URLs does.
func proxy(t *testing.T) (url string, hosts *[]string) {
	t.Helper()
	hosts = &[]string{}
	srv := server(t, anchoretest.Options{API: anchoretest.V1, Override: func(_ http.ResponseWriter, req *http.Request, _ string) bool {
		*hosts = append(*hosts, req.URL.Host+" "+req.Header.Get("Proxy-Authorization"))
		return false
	}})
	return srv.URL, hosts
}

func TestProxy(t *testing.T) {
	url, hosts := proxy(t)
	explicit := client(t, "http://scanner.invalid/v1", func(o *anchore.Options) { o.Proxy = strings.Replace(url, "://", "://me:hunter2@", 1) })
	if err := explicit.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HTTP_PROXY", url)
	t.Setenv("NO_PROXY", "inside.invalid")
	if err := client(t, "http://scanner.invalid/v1").Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := "scanner.invalid Basic bWU6aHVudGVyMg==,scanner.invalid "; strings.Join(*hosts, ",") != want {
		t.Errorf("the proxy saw %q, want %q", *hosts, want)
	}
	for _, c := range []*anchore.Client{
		client(t, "http://inside.invalid/v1"),
		client(t, "http://scanner.invalid/v1", func(o *anchore.Options) { o.Proxy = "direct" }),
	} {
		wantFailure(t, nil, c.Ready(t.Context()), report.ReasonUnavailable, "cannot be reached")
	}
	if len(*hosts) != 2 {
		t.Errorf("the proxy saw %q", *hosts)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for words, o := range map[string]anchore.Options{
		"url: it is not a URL":                  {URL: "http://user:hunter2@a b"},
		"url: \"\" is not http(s)":              {},
		"url: \"ftp://a\"":                      {URL: "ftp://a"},
		"url: \"http://user:xxxxx@a\" must not": {URL: "http://user:hunter2@a"},
		"url: \"http://a\" must not":            {URL: "http://a?token=hunter2"},
		"api: \"v3\" must be one of":            {URL: "http://a", API: "v3"},
		"api: \"v2\" does not fit the url":      {URL: "http://a/v1/", API: anchore.V2},
		"tokenForm: \"hmac\"":                   {URL: "http://a", TokenForm: "hmac"},
		"submit: \"name\"":                      {URL: "http://a", Submit: "name"},
		"findings: \"some\"":                    {URL: "http://a", Findings: "some"},
		"token: it cannot be given together":    {URL: "http://a", Token: filewatch.FixedSecret("hunter2"), User: "me"},
		"user: it is missing":                   {URL: "http://a", Password: filewatch.FixedSecret("hunter2")},
		"proxy: it is not a URL":                {URL: "http://a", Proxy: "http://me:hunter2@a b"},
		"proxy: \"socks5://me:xxxxx@a\"":        {URL: "http://a", Proxy: "socks5://me:hunter2@a"},
		"cannot be negative":                    {URL: "http://a", PollInterval: -time.Second},
	} {
		_, err := anchore.New(o)
		if err == nil || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("error is %v, want %s", err, words)
		}
	}
	for _, url := range []string{"https://secure.sysdig.com/api/scanning/v1/anchore/", "https://a/prefix/v1", "https://a/"} {
		if _, err := anchore.New(anchore.Options{URL: url}); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestARefusedSecretIsTriedAgainWithTheNewOne: the token or the password in the
// file was renewed; before, the provider had to be restarted.
func TestARefusedSecretIsTriedAgainWithTheNewOne(t *testing.T) {
	for name, tc := range map[string]struct {
		set  func(o *anchore.Options, s *filewatch.Secret)
		sent func(secret string) string
	}{
		"a token":    {func(o *anchore.Options, s *filewatch.Secret) { o.Token = s }, func(s string) string { return "Bearer " + s }},
		"a password": {func(o *anchore.Options, s *filewatch.Secret) { o.User, o.Password = "me", s }, func(s string) string { return basicHeader("me", s) }},
	} {
		file := filepath.Join(t.TempDir(), "secret")
		put := func(s string) {
			t.Helper()
			if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		put("hunter2")
		secret, err := filewatch.NewSecret("scanner.anchore", file, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		var valid atomic.Value
		valid.Store("hunter2")
		srv := server(t, anchoretest.Options{API: anchoretest.V2, Override: func(w http.ResponseWriter, req *http.Request, _ string) bool {
			if req.Header.Get("Authorization") == tc.sent(valid.Load().(string)) {
				return false
			}
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"message":"hunter2 is over, use correcthorse"}`))
			return true
		}})
		c := client(t, srv.URL+"/v2", func(o *anchore.Options) { tc.set(o, secret) })
		if err := c.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		valid.Store("correcthorse")
		wantFailure(t, nil, c.Ready(t.Context()), report.ReasonUnavailable, "refuses the provider's own credentials")
		put("correcthorse")
		if err := c.Ready(t.Context()); err != nil {
			t.Errorf("%s: with the new one in the file: %v", name, err)
		}
		valid.Store("neither")
		err = c.Ready(t.Context())
		wantFailure(t, nil, err, report.ReasonUnavailable, "[redacted] is over, use [redacted]")
	}
}

func basicHeader(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}
