package bus_test

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy is a network that can fail: between whoever connects to its address and
// the target.
type proxy struct {
	listener net.Listener
	target   string
	// cut drops what is under way, silently, in both directions; deaf only what
	// the target answers. refuse ends new connections.
	cut, deaf, refuse atomic.Bool

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, conns: map[net.Conn]struct{}{}}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.hangUp()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.DialTimeout("tcp", p.target, 5*time.Second)
		if err != nil || p.refuse.Load() {
			_ = from.Close()
			if err == nil {
				_ = to.Close()
			}
			continue
		}
		p.mu.Lock()
		p.conns[from], p.conns[to] = struct{}{}, struct{}{}
		p.mu.Unlock()
		p.wg.Go(func() { p.copy(to, from, &p.cut) })
		p.wg.Go(func() { p.copy(from, to, &p.cut, &p.deaf) })
	}
}

func (p *proxy) copy(to, from net.Conn, drops ...*atomic.Bool) {
	defer func() {
		_, _ = to.Close(), from.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, from)
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		drop := false
		for _, d := range drops {
			drop = drop || d.Load()
		}
		if n > 0 && !drop {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// hangUp ends the connections there are.
func (p *proxy) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}
