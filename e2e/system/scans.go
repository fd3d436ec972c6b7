package system

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// ScanTime returns how long the last scan of a manifest took the scanner, by
// the scanner's own log: the time that nobody after it can save.
func (s *System) ScanTime(digest string) (time.Duration, error) {
	f, err := os.Open(filepath.Join(s.Scanner.spec.Logs, s.Scanner.spec.Name+".log"))
	if err != nil {
		return 0, fmt.Errorf("read the scanner's log: %w", err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	var took time.Duration
	found := false
	for lines.Scan() {
		var line struct {
			Message  string `json:"msg"`
			Digest   string `json:"digest"`
			Duration string `json:"duration"`
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Message == "scan done" && line.Digest == digest {
			if took, err = time.ParseDuration(line.Duration); err != nil {
				return 0, fmt.Errorf("read the scanner's log: %w", err)
			}
			found = true
		}
	}
	if err := lines.Err(); err != nil {
		return 0, fmt.Errorf("read the scanner's log: %w", err)
	}
	if !found {
		return 0, fmt.Errorf("the scanner's log has no finished scan of %s", digest)
	}
	return took, nil
}
