package installed_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/imagegate/imagegate/e2e/replicas"
)

// service plays a Service: one address, whose new connections go to the providers
// that are ready.
type service struct {
	listener net.Listener
	nodes    []*replicas.Node

	mu    sync.Mutex
	ready []string // host:port
	next  int
}

func newService(t *testing.T) *service {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &service{listener: l}
}

// url has a name that certificates have.
func (s *service) url() string {
	return "https://localhost:" + strconv.Itoa(s.listener.Addr().(*net.TCPAddr).Port)
}

// run sends connections to nodes until the test ends.
func (s *service) run(t *testing.T, nodes ...*replicas.Node) {
	s.nodes = nodes
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		_ = s.listener.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for ctx.Err() == nil {
			s.look(ctx)
			time.Sleep(100 * time.Millisecond)
		}
	})
	wg.Go(func() {
		for {
			c, err := s.listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.forward(ctx, c) })
		}
	})
}

func (s *service) look(ctx context.Context) {
	var ready []string
	for _, n := range s.nodes {
		asking, cancel := context.WithTimeout(ctx, time.Second)
		// As a kubelet, which asks three times: a busy machine is no answer.
		if err := n.Asked(asking); err == nil || errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			ready = append(ready, n.URL[len("https://"):])
		}
		cancel()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = ready
}

func (s *service) forward(ctx context.Context, c net.Conn) {
	defer func() { _ = c.Close() }()
	s.mu.Lock()
	if len(s.ready) == 0 {
		s.mu.Unlock()
		return
	}
	s.next++
	to := s.ready[s.next%len(s.ready)]
	s.mu.Unlock()
	up, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = up.Close() }()
	defer context.AfterFunc(ctx, func() { _ = c.Close(); _ = up.Close() })()
	var wg sync.WaitGroup
	pipe := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		_ = to.(*net.TCPConn).CloseWrite()
	}
	wg.Go(func() { pipe(up, c) })
	pipe(c, up)
	wg.Wait()
}
