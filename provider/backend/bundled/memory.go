package bundled

import (
	"fmt"
	"math"

	"github.com/imagegate/imagegate/provider/container"
)

const (
	// scanMemory is what a scan of a large image takes. Most take a third of it; the
	// few that take more are ended by the worker's own limit.
	scanMemory = 1 << 30
	// leastMemory is what the worker takes with one scan of an ordinary image. The
	// worker itself knows better, and refuses less.
	leastMemory = 448 << 20
)

// affordable is the number of workers, cut to what there is memory for.
func (o Options) affordable() (int, error) {
	wanted := max(o.Workers, 1)
	memory := o.Memory
	if memory == 0 {
		memory = available()
	}
	if memory < leastMemory {
		return 0, fmt.Errorf("scanner.bundled.memoryBytes: there are %d MiB of memory for the bundled scanner and it takes %d: "+
			"give the container more, or run the scanner as a container of its own (scanner.bundled.url)", memory>>20, leastMemory>>20)
	}
	fit := int(max(1, memory/scanMemory))
	if fit < wanted {
		o.Logger.Info("the bundled scanner runs fewer scans at once than scan.workers: there is memory for no more", "workers", fit, "memory_mib", memory>>20)
	}
	return min(wanted, fit), nil
}

// available is what there is, as far as it can be told.
func available() int64 {
	if memory, _, err := container.Memory(); err == nil {
		return memory
	}
	return math.MaxInt64
}
