package bundled

import (
	"os"
	"syscall"
)

// sysProcAttr has the kernel kill the worker when the provider dies, and keeps
// a terminal's Ctrl-C from reaching it before the provider has drained.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// terminate signals the worker, or kills it with all it has started.
func terminate(p *os.Process, kill bool) error {
	if kill {
		return syscall.Kill(-p.Pid, syscall.SIGKILL)
	}
	return p.Signal(syscall.SIGTERM)
}
