package service

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
)

// elsewhere keeps what it is given in no memory of this process.
type elsewhere struct{ bucket.Bucket }

func (elsewhere) Put(context.Context, string, []byte, bucket.Meta) (uint64, error) { return 1, nil }

func (elsewhere) Delete(context.Context, string, uint64) error { return nil }

// TestMemoryOfFailuresAtItsWorst: each failure may quote what an image's author
// wrote, under the longest names.
func TestMemoryOfFailuresAtItsWorst(t *testing.T) {
	const most, each = 10_000, 3 << 10
	heap := func() int {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	f := newFailures(&Options{Failures: most, TransientFor: time.Minute, FailureInitial: time.Minute, FailureMax: time.Hour, Now: time.Now, Shared: Shared{Failures: elsewhere{}}})
	before := heap()
	var last task
	for i := range most + 1000 {
		last = task{
			resolved: &registry.Resolved{
				Registry:   "https://" + strings.Repeat("h", 255),
				Repository: strings.Repeat("r", 255),
				Digest:     fmt.Sprintf("sha256:%064d", i),
				Credential: strings.Repeat("c", 64),
			},
			manifest: registry.Manifest{Digest: fmt.Sprintf("sha256:%064x", i)},
		}
		f.add(last, bounded(&report.Failure{
			Reason: report.ReasonUnauthorized, Message: strings.Repeat(fmt.Sprint(i), 2000), Err: errors.New(strings.Repeat(fmt.Sprint(i), 10_000)),
		}))
	}
	held := heap() - before
	fmt.Printf("failures of scans: %d entries, %.1f MiB of heap\n", len(f.kept.of), float64(held)/(1<<20))
	if len(f.kept.of) != most || held > most*each {
		t.Errorf("%d failures take %d bytes, more than %d each", len(f.kept.of), held, each)
	}
	if kept, _ := f.get(last); kept == nil || kept.Err != nil || kept.Message == "" || kept.Reason != report.ReasonUnauthorized {
		t.Errorf("kept is %+v", kept)
	}
}
