package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// ledger is a file that says which buckets a folder has held, and how much was in
// them when that was last looked at. It tells a store that was lost, or damaged,
// from one that is new: JetStream itself goes on with what it can read.
type ledger struct {
	file string

	mu    sync.Mutex
	notes map[string]note
}

// note is what a bucket was seen to hold.
type note struct {
	Messages uint64    `json:"messages"`
	Seen     time.Time `json:"seen"`
}

func (l *ledger) open(file string) error {
	l.file, l.notes = file, map[string]note{}
	b, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("dataDir: %w", err)
	}
	if json.Unmarshal(b, &l.notes) != nil || l.notes == nil {
		l.notes = map[string]note{} // it is written anew; all that it is for is a warning
	}
	return nil
}

// add notes a bucket, and reports whether it was noted before.
func (l *ledger) add(name string) (known bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known = l.notes[name]; known {
		return true, nil
	}
	l.notes[name] = note{Seen: time.Now()}
	return false, l.write()
}

// count notes what is in the buckets now, and returns what was before.
func (l *ledger) count(messages map[string]uint64) (before map[string]note, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before = map[string]note{}
	for name, n := range messages {
		if was, ok := l.notes[name]; ok {
			before[name] = was
		}
		l.notes[name] = note{Messages: n, Seen: time.Now()}
	}
	return before, l.write()
}

func (l *ledger) write() error {
	b, err := json.MarshalIndent(l.notes, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(l.file+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(l.file+".new", l.file)
}
