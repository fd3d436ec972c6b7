// Command provider is imagegate's Gatekeeper external data provider.
package main

import (
	"os"

	"github.com/imagegate/imagegate/provider/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr)) }
