package filewatch

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// pollEvery is how often reload is called although no event came.
	pollEvery = 10 * time.Second
	// settle is how long to wait after an event for the ones that belong to it:
	// certificate and key are two files.
	settle = 50 * time.Millisecond
)

// Follow calls reload at once, after every change of one of the files and
// every ten seconds, until ctx ends; never twice at the same time. Its error
// says that watching could not begin at all.
func Follow(ctx context.Context, log *slog.Logger, files []string, reload func()) error {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching files: %w", err)
	}
	defer func() { _ = events.Close() }()
	watch := func() { watchDirectories(log, events, files) }
	watch()
	reload()

	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-events.Events:
			if settled == nil {
				settled = time.After(settle)
			}
		case err := <-events.Errors:
			log.WarnContext(ctx, "watching files failed; they are still polled", "files", files, "error", err)
		case <-settled:
			settled = nil
			reload()
		case <-tick.C:
			watch()
			reload()
		}
	}
}

// watchDirectories adds the directory of every file. It is repeated with each
// poll because a directory may come later than the process, or be replaced.
func watchDirectories(log *slog.Logger, events *fsnotify.Watcher, files []string) {
	for _, dir := range directories(files) {
		if err := events.Add(dir); err != nil {
			log.Debug("cannot watch the directory of a file yet", "directory", dir, "error", err)
		}
	}
}

func directories(files []string) []string {
	dirs := make([]string, len(files))
	for i, f := range files {
		dirs[i] = filepath.Dir(f)
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}
