package process

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// The ports that systems do not give to outgoing connections: one of those could
// be taken by the time that a server is started on it, or started again.
const firstPort, lastPort = 10240, 32767

// given are the ports that this process was given. Whoever got one may start a server on
// it later, or again, while a test that runs beside looks for ports.
var given sync.Map

// FreePorts returns n distinct ports that nothing listens on at 127.0.0.1, and that nobody
// else in this process was given.
func FreePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	for range 100 * n {
		if len(ports) == n {
			return ports, nil
		}
		port := firstPort + rand.N(lastPort-firstPort+1)                               //nolint:gosec // spreads, guards nothing
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // ends at once
		if err != nil {
			continue // it is taken
		}
		// Held until all are found, so that none comes twice.
		defer func() { _ = l.Close() }()
		if _, taken := given.LoadOrStore(port, nil); taken {
			continue
		}
		ports = append(ports, port)
	}
	if len(ports) < n {
		return nil, fmt.Errorf("find %d free ports: too many are taken", n)
	}
	return ports, nil
}
