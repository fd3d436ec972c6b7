package replicas

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Metric returns a metric of the provider that has no labels.
func (n *Node) Metric(ctx context.Context, name string) (float64, error) {
	fail := func(err error) (float64, error) { return 0, fmt.Errorf("read %s of %s: %w", name, n.Name, err) }
	ctx, cancel := context.WithTimeout(ctx, gatekeeperWaits)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.probes+"/metrics", nil)
	if err != nil {
		return fail(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	if err := lines.Err(); err != nil {
		return fail(err)
	}
	return fail(fmt.Errorf("HTTP %s, and it is not there", resp.Status))
}
