package bus

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats-server/v2/server"
)

// serverLog is a server's log on slog. What the server has to say of its own
// start and of every connection is of interest only when something is looked
// for.
type serverLog struct {
	log  *slog.Logger
	died atomic.Pointer[string]
	// broken is whether something could not be written, after which the server
	// refuses to write there until it is started anew.
	broken atomic.Bool
}

var _ server.Logger = (*serverLog)(nil)

// notInsecure is what the server warns of: it cannot know that VerifyConnection
// verifies what InsecureSkipVerify leaves out.
const notInsecure = "certificate chain and hostname of solicited routes will not be verified"

func (l *serverLog) say(level slog.Level, format string, v []any) {
	ctx := context.Background()
	if !l.log.Enabled(ctx, level) {
		return
	}
	if text := strings.TrimSpace(fmt.Sprintf(format, v...)); !strings.Contains(text, notInsecure) {
		l.log.Log(ctx, level, "nats: "+text)
	}
}

// fatal returns why the server has ended, empty when it has not.
func (l *serverLog) fatal() string {
	if s := l.died.Load(); s != nil {
		return *s
	}
	return ""
}

// Noticef implements server.Logger.
func (l *serverLog) Noticef(format string, v ...any) { l.say(slog.LevelDebug, format, v) }

// Warnf implements server.Logger.
func (l *serverLog) Warnf(format string, v ...any) { l.say(slog.LevelWarn, format, v) }

// Errorf implements server.Logger.
func (l *serverLog) Errorf(format string, v ...any) {
	level, text := slog.LevelError, fmt.Sprintf(format, v...)
	switch {
	case strings.Contains(text, "ritical write error"):
		l.broken.Store(true)
	case strings.HasPrefix(text, "Error trying to connect to route"):
		level = slog.LevelInfo // what it means is told elsewhere: which peers are missing
	}
	l.say(level, "%s", []any{text})
}

// Fatalf implements server.Logger. It ends nothing: whoever started the server
// asks for it.
func (l *serverLog) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.died.CompareAndSwap(nil, &text)
	l.say(slog.LevelError, format, v)
}

// Debugf implements server.Logger.
func (l *serverLog) Debugf(format string, v ...any) { l.say(slog.LevelDebug, format, v) }

// Tracef implements server.Logger.
func (l *serverLog) Tracef(format string, v ...any) { l.say(slog.LevelDebug, format, v) }
