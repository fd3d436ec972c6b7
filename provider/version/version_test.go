package version_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/imagegate/imagegate/provider/version"
)

func TestMetric(t *testing.T) {
	r := prometheus.NewRegistry()
	r.MustRegister(version.Build{Program: "p", Version: "1.2.3", Revision: "abc", Go: "go1"}.Metric())
	const want = `# HELP imagegate_build_info Which build it is; always 1.
# TYPE imagegate_build_info gauge
imagegate_build_info{goversion="go1",program="p",revision="abc",version="1.2.3"} 1
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
