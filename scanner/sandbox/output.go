package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
)

// cappedBuffer keeps what a child writes to stdout up to a limit, and closes
// full when there is more. It swallows the rest, so that the child does not
// block before it is killed.
type cappedBuffer struct {
	buf   bytes.Buffer // not embedded: its ReadFrom would go round the limit
	limit int64
	over  bool
	full  chan struct{}
	once  sync.Once
}

func (b *cappedBuffer) Write(p []byte) (int, error) {
	if int64(b.buf.Len()+len(p)) > b.limit {
		b.over = true
		b.once.Do(func() { close(b.full) })
		return len(p), nil
	}
	return b.buf.Write(p)
}

// tailBytes is how much of a child's last words is kept for a message.
const tailBytes = 8 << 10

// maxLines bounds how much one child may put into the worker's log.
const maxLines = 1000

// logLines forwards a child's stderr, line by line, to the worker's log.
type logLines struct {
	mu      sync.Mutex // of log: it changes while the child may write
	log     *slog.Logger
	partial []byte
	lines   int
	plain   []byte // lines that are not log records: a panic, a fatal error
}

func newLogLines(log *slog.Logger) *logLines { return &logLines{log: log} }

// about changes where lines go.
func (l *logLines) about(log *slog.Logger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log = log
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partial = append(l.partial, p...)
	for {
		i := bytes.IndexByte(l.partial, '\n')
		if i < 0 {
			break
		}
		l.line(string(l.partial[:i]))
		l.partial = l.partial[i+1:]
	}
	if len(l.partial) > tailBytes {
		l.line(string(l.partial))
		l.partial = nil
	}
	return len(p), nil
}

func (l *logLines) flush() {
	if len(l.partial) > 0 {
		l.line(string(l.partial))
		l.partial = nil
	}
}

// line logs one line. The child writes slog's JSON; anything else comes from
// the Go runtime and is logged as it is.
func (l *logLines) line(s string) {
	s = strings.TrimRight(s, "\r")
	if s == "" {
		return
	}
	var record map[string]any
	isRecord := strings.HasPrefix(s, "{") && json.Unmarshal([]byte(s), &record) == nil
	if !isRecord && len(l.plain) < tailBytes {
		l.plain = append(append(l.plain, s...), '\n')
	}
	l.lines++
	if l.lines > maxLines {
		if l.lines == maxLines+1 {
			l.log.Warn("scan process logs too much; the rest is left out")
		}
		return
	}
	if !isRecord {
		l.log.Warn("scan process: " + s)
		return
	}
	l.record(record)
}

func (l *logLines) record(record map[string]any) {
	var level slog.Level
	if text, ok := record[slog.LevelKey].(string); ok {
		_ = level.UnmarshalText([]byte(text))
	}
	msg, _ := record[slog.MessageKey].(string)
	args := make([]any, 0, 2*len(record))
	for k, v := range record {
		switch k {
		case slog.TimeKey, slog.LevelKey, slog.MessageKey:
		default:
			args = append(args, k, v)
		}
	}
	l.log.Log(context.Background(), level, "scan process: "+msg, args...)
}

// last returns what the Go runtime said, if anything.
func (l *logLines) last() string { return string(l.plain) }
