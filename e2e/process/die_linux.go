package process

import "syscall"

// dieWithParent has the kernel kill the child when the parent ends in whatever
// way, a panic or a kill of the test included.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
