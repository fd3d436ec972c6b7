package registry

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/imagegate/imagegate/provider/report"
)

// A registry that its own author runs sends the provider on to any service as
// its token server.
func TestATokenServersAnswerIsNotQuoted(t *testing.T) {
	const inside = "internal-only"
	for name, tc := range map[string]struct {
		status int
		body   string
	}{
		"no token":     {http.StatusOK, `{"password":"` + inside + `"}`},
		"on one line":  {http.StatusOK, `{"a":{"b":"` + inside + `"},"token":""}`},
		"not JSON":     {http.StatusOK, "<html>" + inside},
		"refused":      {http.StatusForbidden, inside},
		"server error": {http.StatusInternalServerError, inside},
		"not found":    {http.StatusNotFound, inside},
		"teapot":       {http.StatusTeapot, inside},
	} {
		t.Run(name, func(t *testing.T) {
			reg := newRegistry(t, false)
			var asked atomic.Bool
			reg.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.URL.Path == "/internal" {
					asked.Store(true)
					answer(tc.status, "application/json", tc.body)(w, req)
					return
				}
				w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/internal",service="s"`, reg.URL))
				w.WriteHeader(http.StatusUnauthorized)
			})
			r := resolver(t, Options{Insecure: []string{reg.host()}})
			_, err := r.Resolve(t.Context(), reg.host()+"/app:1", "", Access{})
			f, ok := errors.AsType[*report.Failure](err)
			if !ok || f.Err == nil || !asked.Load() {
				t.Fatalf("error is %v, token server asked: %t", err, asked.Load())
			}
			for what, text := range map[string]string{"message": f.Message, "cause": f.Err.Error()} {
				if strings.Contains(text, inside) || len(text) > 500 {
					t.Errorf("%s is %q", what, text)
				}
			}
		})
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"no token in bearer response:\n{}": "no token in bearer response",
		"\nfirst\r\nsecond":                "first",
		"a\tb\x1b[0m":                      "a b [0m",
		strings.Repeat("x", 300):           strings.Repeat("x", maxQuote-3) + "...",
	} {
		if got := quote(errors.New(in)); got != want {
			t.Errorf("quote(%q) is %q, want %q", in, got, want)
		}
	}
}
