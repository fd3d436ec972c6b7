package cli

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"testing"
	"time"
)

// TestMain fails when anything is left running after the tests: every provider
// that they start is also stopped.
func TestMain(m *testing.M) {
	// The runtime's own goroutine for signals stays once it is there.
	notified := make(chan os.Signal, 1)
	signal.Notify(notified, os.Interrupt)
	signal.Stop(notified)
	before := runtime.NumGoroutine()
	code := m.Run()
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	if after := runtime.NumGoroutine(); code == 0 && after > before {
		stacks := make([]byte, 1<<20)
		fmt.Printf("%d goroutines are left of %d:\n%s\n", after, before, stacks[:runtime.Stack(stacks, true)])
		code = 1
	}
	os.Exit(code)
}
