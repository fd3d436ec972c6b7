// Command scanner is imagegate's bundled scan worker.
package main

import (
	"os"

	"github.com/imagegate/imagegate/scanner/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr)) }
