package server_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/server"
)

// counted is a body that comes slowly, and counts what was taken of it.
type counted struct {
	io.Reader
	n atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	n, err := c.Reader.Read(p[:min(len(p), 8<<10)])
	c.n.Add(int64(n))
	return n, err
}

// A client that is refused has its whole question read first: over HTTP/2 its stream
// would else be reset under what it still sends.
func TestARefusalComesAfterTheWholeQuestion(t *testing.T) {
	const size = 900 << 10
	limits := func(o *server.Options) { o.Limits.BodyBytes = 1 << 20 }
	for name, tc := range map[string]struct {
		h          http.Handler
		path, want string
	}{
		"no certificate": {handler(t, limits, func(o *server.Options) { o.RequireClientCert = true }), "/scan-reports", "a client certificate"},
		"a wrong wait":   {handler(t, limits), "/digests?wait=soon", "is not a duration"},
		"starting":       {server.NewStarting(server.ProbeOptions{}), "/scan-reports", "is starting"},
	} {
		t.Run(name, func(t *testing.T) {
			url, dir, stop := serve(t, tc.h)
			c := client(t, dir, false)
			c.Transport.(*http.Transport).ForceAttemptHTTP2 = true
			question := &counted{Reader: io.LimitReader(strings.NewReader(strings.Repeat(" ", size)), size)}
			resp, err := c.Post(url+tc.path, "application/json", question)
			if err != nil {
				t.Fatal(err)
			}
			answer := decode(t, resp.Body)
			_ = resp.Body.Close()
			if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK || !strings.Contains(answer.SystemError, tc.want) {
				t.Errorf("%s %d: %+v", resp.Proto, resp.StatusCode, answer)
			}
			if n := question.n.Load(); n != size {
				t.Errorf("%d of %d bytes were taken before the answer", n, size)
			}
			c.CloseIdleConnections()
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}
