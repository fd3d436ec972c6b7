package documents

import (
	"regexp"
	"strings"
)

var (
	wholeMetric   = regexp.MustCompile(`"(imagegate_[a-z_]+)"`)
	mutatorMetric = regexp.MustCompile(`(?:counter\(|histogram\(|Name: )"([a-z_]+)"`)
	workerMetric  = regexp.MustCompile(`prefix \+ "([a-z_]+)"`)
)

// Metrics returns the names of the metrics in the sources of the three programs.
func Metrics(root string) (map[string]bool, error) {
	sources, err := Sources(root, false, "provider", "mutator", "scanner")
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	add := func(prefix string, pattern *regexp.Regexp, text string) {
		for _, m := range pattern.FindAllStringSubmatch(text, -1) {
			names[prefix+m[1]] = true
		}
	}
	for _, text := range sources {
		add("", wholeMetric, text)
		if strings.Contains(text, `Subsystem: "mutator"`) {
			add("imagegate_mutator_", mutatorMetric, text)
		}
		if strings.Contains(text, `prefix = "imagegate_worker_"`) {
			add("imagegate_worker_", workerMetric, text)
		}
	}
	delete(names, "imagegate_worker_")
	return names, nil
}
