package imagescan

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/sandbox"
)

func TestAuthenticator(t *testing.T) {
	for header, want := range map[string]string{
		"":                       "",
		"Basic dTpwOnc=":         "u p:w",
		"basic  dTpw":            "u p",
		"Bearer abc.def":         "token abc.def",
		"Basic !":                "error",
		"Basic dQ==":             "error",
		"Negotiate x":            "error",
		"nothing-that-is-a-type": "error",
	} {
		a, err := authenticator(header)
		if err != nil {
			if want != "error" || strings.Contains(err.Error(), "dQ==") {
				t.Errorf("%q: %v", header, err)
			}
			continue
		}
		c, err := a.Authorization()
		if err != nil {
			t.Fatal(err)
		}
		got := strings.TrimSpace(c.Username + " " + c.Password)
		if c.RegistryToken != "" {
			got = "token " + c.RegistryToken
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", header, got, want)
		}
	}
}

func TestPlainHTTP(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1:5000": true, "[::1]:5000": true, "localhost:80": true, "LOCALHOST": true,
		"r.example:5000": true, "r.example": false, "10.0.0.1:5000": false, "localhost.example": false, "127.0.0.1.example:80": false,
	} {
		if got := PlainHTTPAllowed(host, []string{"r.example:5000"}); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
}

// A registry that redirects to a host without TLS is not followed.
func TestRedirectOutOfTLS(t *testing.T) {
	req := httptest.NewRequest(http.MethodGet, "http://10.1.2.3/v2/", nil)
	transport, err := roundTripper(sandbox.Request{Limits: sandbox.Limits{Stall: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
		t.Fatal("reached")
	}
	if f := failure.Of(err); f.Code != failure.Registry || !strings.Contains(f.Message, "without TLS") {
		t.Errorf("%+v", f)
	}
}

func TestManifestsThatClaimTooMuch(t *testing.T) {
	limits := sandbox.Limits{Disk: 1000}
	of := func(config types.MediaType, configSize int64, sizes ...int64) *v1.Manifest {
		m := &v1.Manifest{Config: v1.Descriptor{MediaType: config, Size: configSize}}
		for _, s := range sizes {
			m.Layers = append(m.Layers, v1.Descriptor{MediaType: types.OCILayer, Size: s})
		}
		return m
	}
	for name, c := range map[string]struct {
		m    *v1.Manifest
		code failure.Code
	}{
		"good":        {of(types.OCIConfigJSON, 10, 500, 500), ""},
		"no layers":   {of(types.DockerConfigJSON, 10), ""},
		"config":      {of(types.OCIConfigJSON, 50<<20), failure.TooLarge},
		"total":       {of(types.OCIConfigJSON, 10, 500, 501), failure.TooLarge},
		"overflow":    {of(types.OCIConfigJSON, 10, 1<<62, 1<<62, 1<<62), failure.TooLarge},
		"negative":    {of(types.OCIConfigJSON, 10, -5), failure.Invalid},
		"many layers": {of(types.OCIConfigJSON, 10, make([]int64, maxLayers+1)...), failure.TooLarge},
		"chart":       {of("application/vnd.cncf.helm.config.v1+json", 10), failure.Unsupported},
	} {
		err := checkManifest(c.m, limits)
		if (err == nil) != (c.code == "") || err != nil && failure.Of(err).Code != c.code {
			t.Errorf("%s: %v, want %q", name, err, c.code)
		}
	}
	for mt, ok := range map[types.MediaType]bool{
		types.OCIManifestSchema1: true, types.DockerManifestSchema2: true,
		types.OCIImageIndex: false, types.DockerManifestList: false, types.DockerManifestSchema1Signed: false, "text/plain": false,
	} {
		if err := checkMediaType(mt); (err == nil) != ok {
			t.Errorf("%s: %v", mt, err)
		}
	}
}
