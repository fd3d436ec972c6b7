// Command kubectl-imagegate is a plugin of kubectl: on the PATH it is `kubectl imagegate`.
package main

import (
	"os"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"github.com/imagegate/imagegate/provider/plugin"
)

func main() {
	klog.SetLogger(logr.Discard()) // what kubectl's library logs comes back as an error too
	os.Exit(plugin.Main(os.Args[1:], os.Stdout, os.Stderr))
}
