package cli

import (
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/container"
	"github.com/imagegate/imagegate/provider/view"
)

// baseMemory is what the provider takes beside the caches and answers that are
// configured: NATS, indexes, connections, answers that were drawn (service.DrawnBytes).
const baseMemory = 256 << 20

// memory is how a container's limit is divided, in bytes; zero: there is none.
type memory struct {
	// provider is for this process, worker for the bundled worker with its scans.
	provider, worker int64
}

// share divides what the container has. Without that a single scan could take
// the provider with it: the kubelet has the kernel end the whole container.
func share(c *config.Config) memory {
	limit, limited, err := container.Memory()
	if err != nil || !limited {
		return memory{worker: c.Scanner.Bundled.MemoryBytes}
	}
	return divide(c, limit)
}

func divide(c *config.Config, limit int64) memory {
	if c.Scanner.Configured() || c.Scanner.Bundled.URL != "" || !c.Role.Scans() {
		return memory{provider: limit}
	}
	worker := c.Scanner.Bundled.MemoryBytes
	if worker == 0 {
		own := baseMemory + c.CacheBytes() + c.Server.Limits.InFlightBytes
		if c.View.Listen != "" {
			own += view.Bytes
		}
		worker = max(limit-own, limit/2)
	}
	return memory{provider: max(0, limit-worker), worker: worker}
}

// boundMemory has the collector keep this process within its share, unless the
// environment says otherwise. A tenth is for what is not Go's heap.
func boundMemory(c *config.Config, log *slog.Logger) {
	m := share(c)
	if m.provider == 0 || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetMemoryLimit(m.provider / 10 * 9)
	log.Info("the container's memory is divided", "provider_mib", m.provider>>20, "scanner_mib", m.worker>>20)
}
