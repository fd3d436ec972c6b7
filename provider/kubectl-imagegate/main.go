// Command kubectl-imagegate is a plugin of kubectl: on the PATH it is `kubectl imagegate`.
package main

import (
	"os"

	"github.com/imagegate/imagegate/provider/plugin"
)

func main() { os.Exit(plugin.Main(os.Args[1:], os.Stdout, os.Stderr)) }
