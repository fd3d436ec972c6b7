package doctor

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// sample is one value of a counter or gauge.
type sample struct {
	name   string
	labels map[string]string
	value  float64
}

// parse reads the counters and gauges of those names out of Prometheus's text format.
// The rest is not read: an API server has megabytes of it.
func parse(body []byte, names ...string) (samples []sample, err error) {
	var kept bytes.Buffer
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		bare := strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE ")
		for _, name := range names {
			if rest, ok := strings.CutPrefix(bare, name); ok && (strings.HasPrefix(rest, "{") || strings.HasPrefix(rest, " ")) {
				kept.WriteString(line + "\n")
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(&kept)
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	for name, f := range families {
		for _, m := range f.GetMetric() {
			s := sample{name: name, labels: map[string]string{}, value: m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()}
			for _, l := range m.GetLabel() {
				s.labels[l.GetName()] = l.GetValue()
			}
			samples = append(samples, s)
		}
	}
	return samples, nil
}
