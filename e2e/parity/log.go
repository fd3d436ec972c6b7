package parity

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// logEnd returns the size of a log file.
func logEnd(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, fmt.Errorf("read Gatekeeper's log: %w", err)
	}
	return info.Size(), nil
}

// dryruns reads from Gatekeeper's log, from an offset on, what constraints with
// the action dryrun found in a namespace.
func dryruns(path string, from int64, namespace string) ([]Violation, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read Gatekeeper's log: %w", err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read Gatekeeper's log: %w", err)
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	var out []Violation
	for lines.Scan() {
		var line struct {
			Message    string `json:"msg"`
			Event      string `json:"event_type"`
			Constraint string `json:"constraint_name"`
			Action     string `json:"constraint_action"`
			Namespace  string `json:"resource_namespace"`
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil || line.Event != "violation" || line.Action != "dryrun" || line.Namespace != namespace {
			continue
		}
		message := strings.TrimPrefix(line.Message, "denied admission: ")
		out = append(out, Violation{line.Constraint, "dryrun", withoutImplied(message)})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read Gatekeeper's log: %w", err)
	}
	return out, nil
}
