package cli

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// TestADoctorThatCannotLook is no installation in which nothing is wrong.
func TestADoctorThatCannotLook(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--kubeconfig", filepath.Join(t.TempDir(), "none")}, "reading the kubeconfig"},
		{[]string{"-o", "xml"}, "--output: must be one of table, json"},
		{[]string{"--timeout", "0s"}, "--timeout: must be greater than zero"},
		{[]string{"--database-age", "-1h"}, "--database-age: must be greater than zero"},
		{[]string{"--certificate-expiry", "0s"}, "--certificate-expiry: must be greater than zero"},
		{[]string{"shop"}, "unknown command"},
	} {
		var out, errs bytes.Buffer
		if code := Main(append([]string{"doctor"}, c.args...), &out, &errs); code != usageCode || !strings.Contains(errs.String(), c.says) || out.Len() > 0 {
			t.Errorf("%v: exit code %d, %s%s", c.args, code, out.String(), errs.String())
		}
	}
}
