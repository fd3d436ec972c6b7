package replicas

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// Link is a TCP way to an address that can be cut. A cut link loses nothing and
// resets nothing: it is silent, as a network is that drops packets, and what was
// on its way arrives once it is whole again, as by TCP's retransmissions.
type Link struct {
	// Addr is where to connect to in place of the target.
	Addr string

	target   string
	listener net.Listener
	ctx      context.Context
	end      context.CancelFunc
	wg       sync.WaitGroup

	mu   sync.Mutex
	open chan struct{} // closed while data may pass
	lag  time.Duration
}

// NewLink makes a way to target, a host:port, on a free port.
func NewLink(target string) (*Link, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("make a link to %s: %w", target, err)
	}
	k := &Link{Addr: l.Addr().String(), target: target, listener: l, open: make(chan struct{})}
	close(k.open)
	k.ctx, k.end = context.WithCancel(context.Background())
	k.wg.Go(k.accept)
	return k, nil
}

// Cut lets nothing pass any more.
func (k *Link) Cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.open:
		k.open = make(chan struct{})
	default:
	}
}

// Mend undoes Cut.
func (k *Link) Mend() {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.open:
	default:
		close(k.open)
	}
}

// Lag delays what passes, each way.
func (k *Link) Lag(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lag = d
}

// Close ends the link and all connections over it.
func (k *Link) Close() {
	k.end()
	_ = k.listener.Close()
	k.wg.Wait()
}

func (k *Link) accept() {
	for {
		c, err := k.listener.Accept()
		if err != nil {
			return // closed
		}
		k.wg.Go(func() { k.connect(c) })
	}
}

// passing waits while the link is cut. It is false when it was closed.
func (k *Link) passing() bool {
	k.mu.Lock()
	open, lag := k.open, k.lag
	k.mu.Unlock()
	select {
	case <-open:
	case <-k.ctx.Done():
		return false
	}
	if lag == 0 {
		return true
	}
	select {
	case <-time.After(lag):
		return true
	case <-k.ctx.Done():
		return false
	}
}

func (k *Link) connect(near net.Conn) {
	defer func() { _ = near.Close() }()
	if !k.passing() { // nobody answers a connection either
		return
	}
	far, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(k.ctx, "tcp", k.target)
	if err != nil {
		return // near is closed, as by a target that refuses
	}
	defer func() { _ = far.Close() }()
	stop := context.AfterFunc(k.ctx, func() {
		_ = near.Close()
		_ = far.Close()
	})
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { k.carry(far, near) })
	both.Go(func() { k.carry(near, far) })
	both.Wait()
}

// carry moves what comes from one end to the other, until either closes.
func (k *Link) carry(to, from net.Conn) {
	defer func() {
		if !k.passing() { // nor does the end of a connection pass a cut link
			return
		}
		_ = to.Close()
		_ = from.Close()
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !k.passing() {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
