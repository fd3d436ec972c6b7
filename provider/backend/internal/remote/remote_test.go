package remote_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/imagegate/imagegate/provider/backend/internal/remote"
	"github.com/imagegate/imagegate/provider/report"
)

func client(t testing.TB, url string, change ...func(*remote.Options)) *remote.Client {
	t.Helper()
	o := remote.Options{
		Name: "scanner.example", URL: url, RequestTimeout: 10 * time.Second,
		RequestsPerSecond: 1e6, Burst: 100, UserAgent: "test", Secrets: func() []string { return []string{"hunter2", "Basic aHVudGVyMg=="} },
	}
	for _, f := range change {
		f(&o)
	}
	c, err := remote.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func get(path string) remote.Request {
	return remote.Request{Method: http.MethodGet, Path: path, Limit: 1 << 10}
}

func failure(t *testing.T, err error) *report.Failure {
	t.Helper()
	f, ok := errors.AsType[*report.Failure](err)
	if !ok {
		t.Fatalf("error is %T %v, want a *report.Failure", err, err)
	}
	return f
}

func TestQuote(t *testing.T) {
	c := client(t, "http://a")
	for body, want := range map[string]string{
		``:                              "",
		`{}`:                            "",
		`null`:                          "",
		`"text"`:                        "",
		`[1,2]`:                         "",
		`{"message":"no\n such image"}`: "no such image",
		`{"title":"Not Found","detail":"no such path","status":404}`: "no such path",
		`{"title":"Not Found","detail":{"a":1}}`:                     "Not Found",
		`{"error":"Unauthorized","status":401}`:                      "Unauthorized",
		`{"error":{"code":1}}`:                                       "",
		`{"errors":[{"reason":"x","message":"denied"}]}`:             "denied",
		`{"errors":"none","error":"e"}`:                              "e",
		`{"message":"cut`:                                            "",
		"<html><head><TITLE lang=en>\n502 Bad &amp; Gateway</TITLE></head><body>long</body></html>": "502 Bad & Gateway",
		"<p>no <b>title</b></p>":         "no title",
		"plain text":                     "plain text",
		"token hunter2 and aHVudGVyMg==": "token [redacted] and [redacted]",
		"more: opensesame":               "more: [redacted]",
		"\xff\xfe broken":                "broken",
	} {
		if got := c.Quote(&remote.Reply{Body: []byte(body)}, "Bearer opensesame"); got != want {
			t.Errorf("%q reads %q, want %q", body, got, want)
		}
	}
	if got := c.Quote(&remote.Reply{Body: []byte(strings.Repeat("x ", 1<<20))}); len(got) > 310 {
		t.Errorf("quote has %d bytes", len(got))
	}
	half := strings.Repeat("<p>", (16<<10)/3-1) + "hunter2 hunter2"
	if got := c.Quote(&remote.Reply{Body: []byte(half)}); strings.Contains(got, "hun") {
		t.Errorf("quote is %q", got)
	}
}

func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", `{"message":"hunter2"}`, "<title>hunter2</title>", "<p>aHVudGVyMg==", "\xff", `{"errors":[{}]}`} {
		f.Add([]byte(s))
	}
	c := client(f, "http://a")
	f.Fuzz(func(t *testing.T, body []byte) {
		got := c.Quote(&remote.Reply{Body: body})
		if len(got) > 303 || !utf8.ValidString(got) || strings.ContainsAny(got, "\n\r\t") || strings.Contains(got, "aHVudGVyMg==") {
			t.Errorf("%q reads %q", body, got)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0, "1e9": 0, "99999999999999999999": 0, "4000000": 10 * time.Minute,
		"Mon, 02 Jan 2006 15:04:05 GMT": 0, "Fri, 31 Dec 2038 23:59:59 GMT": 10 * time.Minute,
	} {
		r := &remote.Reply{Header: http.Header{"Retry-After": {header}}}
		if got := r.RetryAfter(); got != want {
			t.Errorf("%q is %s, want %s", header, got, want)
		}
	}
}

func TestTheRateIsLimited(t *testing.T) {
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { n++ }))
	defer srv.Close()
	c := client(t, srv.URL, func(o *remote.Options) { o.RequestsPerSecond, o.Burst = 0.001, 2 })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 2 {
		if _, err := c.Call(ctx, get("/")); err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.Call(ctx, get("/"))
	if f := failure(t, err); f.Reason != report.ReasonUnavailable || !strings.Contains(f.Message, "too much") {
		t.Errorf("failure is %s %q", f.Reason, f.Message)
	}
	unlimited := get("/")
	unlimited.Unlimited = true
	if _, err := c.Call(ctx, unlimited); err != nil {
		t.Error(err)
	}
	cancelled, stop := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, stop)
	if _, err := c.Call(cancelled, get("/")); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if n != 3 {
		t.Errorf("%d requests came, want 3", n)
	}
}

func TestALongPauseIsAFailureAtOnce(t *testing.T) {
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n++
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer srv.Close()
	c := client(t, srv.URL)
	if _, err := c.Call(t.Context(), get("/")); err != nil {
		t.Fatal(err)
	}
	_, err := c.Call(t.Context(), get("/"))
	f := failure(t, err)
	if f.Reason != report.ReasonUnavailable || !strings.Contains(f.Message, "left alone") || f.RetryAfter <= 0 || f.RetryAfter > time.Minute {
		t.Errorf("failure is %s %q after %s", f.Reason, f.Message, f.RetryAfter)
	}
	if n != 1 {
		t.Errorf("%d requests came during the pause", n-1)
	}
}

func TestBrokenCalls(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("x"))
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<10+1)) })
	mux.HandleFunc("/fits", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<10)) })
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	c := client(t, srv.URL, func(o *remote.Options) { o.RequestTimeout = 200 * time.Millisecond })
	for path, want := range map[string]string{"/cut": "broke off its answer", "/large": "larger than 1024 bytes", "/slow": "did not answer within 200ms"} {
		_, err := c.Call(t.Context(), get(path))
		if f := failure(t, err); !strings.Contains(f.Message, want) {
			t.Errorf("%s: %q, want %q", path, f.Message, want)
		}
	}
	if r, err := c.Call(t.Context(), get("/fits")); err != nil || len(r.Body) != 1<<10 {
		t.Errorf("%v, %v", r, err)
	}
	bad := get("/")
	bad.Body = func() {}
	_, err := c.Call(t.Context(), bad)
	if f := failure(t, err); f.Reason != report.ReasonInternal {
		t.Errorf("failure is %s %q", f.Reason, f.Message)
	}
}

func TestFailed(t *testing.T) {
	c := client(t, "http://a")
	for status, want := range map[int]struct {
		reason report.Reason
		words  string
	}{
		400: {report.ReasonInternal, "status 400: why"},
		401: {report.ReasonUnavailable, "own credentials (scanner.example)"},
		403: {report.ReasonUnavailable, "own credentials (scanner.example)"},
		407: {report.ReasonInternal, "(scanner.example.proxy)"},
		301: {report.ReasonInternal, "(scanner.example.url)"},
		408: {report.ReasonUnavailable, "status 408"},
		429: {report.ReasonUnavailable, "busy: why"},
		500: {report.ReasonUnavailable, "status 500: why"},
		501: {report.ReasonInternal, "status 501"},
		502: {report.ReasonUnavailable, "status 502"},
		503: {report.ReasonUnavailable, "busy: why"},
		504: {report.ReasonUnavailable, "status 504"},
		204: {report.ReasonInternal, "status 204"},
	} {
		f := c.Failed("asking", &remote.Reply{Status: status, Body: []byte("why")})
		if f.Reason != want.reason || !strings.Contains(f.Message, want.words) {
			t.Errorf("%d is %s %q", status, f.Reason, f.Message)
		}
	}
}

func TestCheckURL(t *testing.T) {
	for url, ok := range map[string]bool{
		"http://a": true, "https://a:8443/b": true, "https://a/": false, "a": false, "": false, "ftp://a": false,
		"http://u:hunter2@a": false, "http://a?k=hunter2": false, "http://a#hunter2": false, "http://a b": false,
		"admin:hunter2@a": false, "hunter2@a": false, "http:admin:hunter2@a": false, "/admin:hunter2@a": false,
	} {
		err := remote.CheckURL(url)
		if (err == nil) != ok || err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// TestOneSentenceForAScannerThatCannotBeReached whatever is in the way: a Pod's
// author learns neither addresses nor what listens there. The log learns both.
func TestOneSentenceForAScannerThatCannotBeReached(t *testing.T) {
	quiet := log.New(io.Discard, "", 0)
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	foreign := httptest.NewUnstartedServer(http.NotFoundHandler())
	foreign.Config.ErrorLog = quiet
	foreign.StartTLS()
	defer foreign.Close()
	resets := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}))
	defer resets.Close()
	for what, tc := range map[string]struct{ url, cause string }{
		"closed port":  {closed.URL, "refused"},
		"unknown name": {"http://name.invalid", "name.invalid"},
		"unknown CA":   {foreign.URL, "not trusted (scanner.example.caFile)"},
		"not TLS":      {strings.Replace(resets.URL, "http:", "https:", 1), ""},
		"reset":        {resets.URL, ""},
	} {
		_, err := client(t, tc.url).Call(t.Context(), get("/"))
		f := failure(t, err)
		if want := "the scanner at " + tc.url + " cannot be reached; the provider's log says why"; f.Reason != report.ReasonUnavailable || f.Message != want {
			t.Errorf("%s: %s %q, want %q", what, f.Reason, f.Message, want)
		}
		if f.Err == nil || !strings.Contains(f.Err.Error(), tc.cause) {
			t.Errorf("%s: the log learns %v", what, f.Err)
		}
	}
	// As from an address that nothing answers at.
	late := &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
	if f := remote.Broken("scanner.example", "http://a", time.Second, late); !strings.Contains(f.Message, "cannot be reached") {
		t.Errorf("no connection in time: %q", f.Message)
	}
}
