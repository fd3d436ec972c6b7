package node_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/imagegate/imagegate/e2e/node"
	"github.com/imagegate/imagegate/e2e/process"
)

// on is the node that all tests here share.
var on *node.Node

func TestMain(m *testing.M) {
	os.Exit(node.Main(func(_ context.Context, n *node.Node) int {
		on = n
		code := m.Run()
		if err := n.Dead(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		if code != 0 {
			for _, file := range n.LogFiles() {
				fmt.Fprintf(os.Stderr, "\n==> %s\n%s", file, process.Tail(file, 4<<10))
			}
		}
		return code
	}))
}
