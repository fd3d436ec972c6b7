package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/manualtest"
)

func TestCommandsAreDocumented(t *testing.T) {
	manualtest.Check(t, command(os.LookupEnv), "COMMANDS.md")
}

func TestCompletion(t *testing.T) {
	for flag, want := range map[string]string{"--on-unresolved": "keep", "--workloads": "CronJob", "--tls-cert": "pem", "--log-level": "debug"} {
		var out, errs bytes.Buffer
		if code := run([]string{"__complete", flag, ""}, os.LookupEnv, &out, &errs); code != 0 || !strings.Contains(out.String(), want+"\n") {
			t.Errorf("%s: exit code %d, %s%s", flag, code, &out, &errs)
		}
	}
}
