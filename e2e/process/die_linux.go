package process

import "syscall"

// dieWithParent has the kernel kill the child when the parent ends in whatever
// way, a panic or a kill of the test included. A group of its own keeps Ctrl-C
// from the child: the parent decides the order in which all end.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
