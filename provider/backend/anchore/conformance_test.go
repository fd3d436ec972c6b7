package anchore_test

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend/anchore"
	"github.com/imagegate/imagegate/provider/backend/anchore/anchoretest"
	"github.com/imagegate/imagegate/provider/backend/backendtest"
)

// apis is every API with the options that its clients have beside the URL.
func apis() map[string]struct {
	server anchoretest.API
	client anchore.API
} {
	return map[string]struct {
		server anchoretest.API
		client anchore.API
	}{
		"v1":       {anchoretest.V1, anchore.V1},
		"v2":       {anchoretest.V2, anchore.V2},
		"sysdig":   {anchoretest.Sysdig, anchore.Sysdig},
		"v1 found": {anchoretest.V1, anchore.Auto},
		"v2 found": {anchoretest.V2, anchore.Auto},
	}
}

func TestConformance(t *testing.T) {
	for name, api := range apis() {
		t.Run(name, func(t *testing.T) {
			backendtest.Run(t, backendtest.Harness{
				Package: "github.com/imagegate/imagegate/provider/backend/anchore",
				Cannot:  cannot(api.server),
				NoCoverage: "the service tells the distribution and not whether it had data of it, nor how many packages there are: " +
					"where its policy says that it had none, see TestShapes",
				Start: func(t *testing.T, s backendtest.Script) backendtest.Backend {
					srv := scripted(t, api.server, s)
					return client(t, srv.URL, func(o *anchore.Options) {
						o.API, o.Findings = api.client, anchore.FindingsRequired
					})
				},
			})
		})
	}
}

// scripted starts a server that behaves as the conformance suite wants.
func scripted(t *testing.T, api anchoretest.API, s backendtest.Script) *anchoretest.Server {
	t.Helper()
	var srv *anchoretest.Server
	pending := s.Pending
	if s.Hang {
		pending = -1
	}
	srv = server(t, anchoretest.Options{
		API:  api,
		Edit: lacking(api, s.Lack),
		Images: func(string) anchoretest.Image {
			return anchoretest.Image{Pending: pending, Findings: s.Findings}
		},
		Override: func(w http.ResponseWriter, req *http.Request, path string) bool {
			switch {
			case s.Silent:
				srv.Hang(req)
			case s.Status != 0 && path == "/images":
				for k, v := range s.Header {
					w.Header()[k] = v
				}
				w.WriteHeader(s.Status)
			case s.Body != nil && strings.HasSuffix(path, "/check"):
				_, _ = w.Write(s.Body)
			case s.Truncate && strings.HasSuffix(path, "/check"):
				w.Header().Set("Content-Length", "1000")
				_, _ = io.WriteString(w, `[{"sha256:`)
			default:
				return false
			}
			return true
		},
	})
	if s.Down {
		srv.Server.Close()
	}
	return srv
}

func server(t *testing.T, o anchoretest.Options) *anchoretest.Server {
	t.Helper()
	s := anchoretest.New(o)
	t.Cleanup(s.Close)
	return s
}

func client(t *testing.T, url string, change ...func(*anchore.Options)) *anchore.Client {
	t.Helper()
	o := anchore.Options{
		URL:               url,
		PollInterval:      5 * time.Millisecond,
		RequestsPerSecond: 1e6,
		Burst:             1000,
		Logger:            slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&o)
	}
	c, err := anchore.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
