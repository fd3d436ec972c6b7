package cli

import (
	"testing"

	"github.com/imagegate/imagegate/provider/config"
)

func TestTheContainersMemoryIsDivided(t *testing.T) {
	const mib = int64(1 << 20)
	for name, tc := range map[string]struct {
		limit            int64
		change           func(*config.Config)
		provider, worker int64
	}{
		"the provider has what its settings need":   {4096 * mib, func(*config.Config) {}, 640 * mib, 3456 * mib},
		"but half at most":                          {1024 * mib, func(*config.Config) {}, 512 * mib, 512 * mib},
		"a larger cache":                            {4096 * mib, func(c *config.Config) { c.Store.CacheBytes = 1024 * mib }, 1408 * mib, 2688 * mib},
		"report pages":                              {4096 * mib, func(c *config.Config) { c.View.Listen = "127.0.0.1:8090" }, 784 * mib, 3312 * mib},
		"a worker, which nobody asks for reports":   {4096 * mib, func(c *config.Config) { c.Role = config.RoleWorker }, 400 * mib, 3696 * mib},
		"what is set":                               {4096 * mib, func(c *config.Config) { c.Scanner.Bundled.MemoryBytes = 1024 * mib }, 3072 * mib, 1024 * mib},
		"a worker in a container of its own":        {512 * mib, func(c *config.Config) { c.Scanner.Bundled.URL = "unix:///s" }, 512 * mib, 0},
		"an adapter":                                {512 * mib, func(c *config.Config) { c.Scanner.Harbor.URL = "http://a" }, 512 * mib, 0},
		"an api, whose workers are other processes": {512 * mib, func(c *config.Config) { c.Role = config.RoleAPI }, 512 * mib, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := config.Default()
			tc.change(&c)
			if got := divide(&c, tc.limit); got != (memory{provider: tc.provider, worker: tc.worker}) {
				t.Errorf("%d and %d MiB", got.provider/mib, got.worker/mib)
			}
		})
	}
}
