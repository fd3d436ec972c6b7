package system

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// ScanTime returns how long the provider's last finished scan of a manifest
// took by the provider's own log.
func (s *System) ScanTime(digest string) (time.Duration, error) {
	f, err := os.Open(filepath.Join(s.Provider.spec.Logs, s.Provider.spec.Name+".log"))
	if err != nil {
		return 0, fmt.Errorf("read the provider's log: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	var took time.Duration
	found := false
	for lines.Scan() {
		var line struct {
			Message  string        `json:"msg"`
			Digest   string        `json:"digest"`
			Duration time.Duration `json:"duration"`
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Message == "scan finished" && line.Digest == digest {
			took, found = line.Duration, true
		}
	}
	if err := lines.Err(); err != nil {
		return 0, fmt.Errorf("read the provider's log: %w", err)
	}
	if !found {
		return 0, fmt.Errorf("the provider's log has no finished scan of %s", digest)
	}
	return took, nil
}
