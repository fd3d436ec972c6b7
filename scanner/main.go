// Command scanner is imagegate's bundled scan worker.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/imagegate/imagegate/scanner/cli"
)

func main() {
	if err := cli.New().ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "scanner:", err)
		os.Exit(1)
	}
}
