package bundled

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
)

// maxLine bounds one line of the worker's output.
const maxLine = 64 << 10

// lines is a writer that logs what the worker prints, line by line. Lines that
// are slog's JSON keep their level, message and attributes.
type lines struct {
	logger *slog.Logger
	mu     sync.Mutex
	rest   []byte
	// said is why it ended, if it has, in the words of its command line. A panic, which
	// has the same exit code as a mistake there, does not say so.
	said string
	// softly logs errors as warnings: somebody waits for the worker, and is told.
	softly bool
}

func newLines(l *slog.Logger, softly bool) *lines { return &lines{logger: l, softly: softly} }

// Write implements io.Writer. It never fails: a child must not block or die
// because of its log.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 && len(l.rest) < maxLine {
			return len(p), nil
		}
		next := i + 1
		if i < 0 || i > maxLine {
			i, next = maxLine, maxLine
		}
		l.log(l.rest[:i])
		l.rest = l.rest[next:]
	}
}

func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log(l.rest)
	l.rest = nil
}

// last is what the worker said of its end.
func (l *lines) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said
}

func (l *lines) log(line []byte) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return
	}
	level, msg, attrs, entry := read(line)
	if why, ok := strings.CutPrefix(msg, "scanner: "); ok && !entry {
		l.said = why
	}
	if l.softly {
		level = min(level, slog.LevelWarn)
	}
	attrs = append(attrs, slog.String("from", "scanner"))
	l.logger.LogAttrs(context.Background(), level, msg, attrs...)
}

// read takes a line of slog's JSON apart; any other is its own message.
func read(line []byte) (level slog.Level, msg string, attrs []slog.Attr, entry bool) {
	var fields map[string]any
	if json.Unmarshal(line, &fields) == nil {
		if msg, ok := fields[slog.MessageKey].(string); ok {
			level, attrs := structured(fields)
			return level, msg, attrs, true
		}
	}
	return slog.LevelInfo, string(line), nil, false
}

func structured(fields map[string]any) (slog.Level, []slog.Attr) {
	level := slog.LevelInfo
	if s, ok := fields[slog.LevelKey].(string); ok {
		_ = level.UnmarshalText([]byte(s))
	}
	delete(fields, slog.LevelKey)
	delete(fields, slog.MessageKey)
	delete(fields, slog.TimeKey)
	attrs := make([]slog.Attr, 0, len(fields)+1)
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		attrs = append(attrs, slog.Any(k, fields[k]))
	}
	return level, attrs
}
