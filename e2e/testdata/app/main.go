// App is the program of a Pod that stays until it is told to end. It says who runs
// it, so that a test can see what a container looks like from inside.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	fmt.Printf("uid %d gid %d\n", os.Getuid(), os.Getgid())
	if len(os.Args) > 1 { // a word ends it at once: what `kubectl exec` wants
		return
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGINT, syscall.SIGTERM)
	<-end
}
