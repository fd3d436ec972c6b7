//go:build !linux

package bundled

import (
	"os"
	"syscall"
)

func sysProcAttr() *syscall.SysProcAttr { return nil }

// terminate signals the worker or kills it.
func terminate(p *os.Process, kill bool) error {
	if kill {
		return p.Kill()
	}
	return p.Signal(os.Interrupt)
}
