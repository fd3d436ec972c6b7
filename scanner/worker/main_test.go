package worker_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/imagegate/imagegate/scanner/imagescan"
	"github.com/imagegate/imagegate/scanner/sandbox"
)

// childVariable makes this test binary the child process of a scan.
const childVariable = "IMAGEGATE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		if err := sandbox.Serve(context.Background(), os.Stdin, os.Stdout, imagescan.Scan); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
