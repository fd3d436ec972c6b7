package filewatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"unicode"
)

// Setting is what is in the one file that a setting of the configuration names.
// It has been read once: from then on the last good one is kept, whatever
// becomes of the file.
type Setting[T any] struct {
	content *Content[T]
	name    string
	log     *slog.Logger
}

// NewSetting reads the file. Its error says what is wrong with it, without the
// setting; the log is told later, by the setting's name, when it changes and
// when it can no longer be read.
func NewSetting[T any](name, file string, log *slog.Logger, parse func([]byte) (T, error)) (*Setting[T], error) {
	s := &Setting[T]{name: name, log: log}
	s.content = New("file of "+name, []string{file}, func(contents [][]byte) (T, error) {
		v, err := parse(contents[0])
		if err != nil {
			err = fmt.Errorf("%s %w", file, err)
		}
		return v, err
	})
	if _, err := s.content.Reload(); err != nil {
		return nil, errors.Unwrap(err)
	}
	return s, nil
}

// Get returns the last good value.
func (s *Setting[T]) Get() T {
	v, _ := s.content.Get() // there is one since NewSetting
	return v
}

// Files implements Followed.
func (s *Setting[T]) Files() []string { return s.content.Files() }

// Refresh implements Followed.
func (s *Setting[T]) Refresh() {
	switch changed, err := s.content.Reload(); {
	case err != nil:
		s.log.Error("a file that is configured can no longer be used; what it held before stays in use", "setting", s.name, "error", err)
	case changed:
		s.log.Info("loaded a file that is configured", "setting", s.name, "files", s.Files())
	}
}

// Followed is a Setting of any type.
type Followed interface {
	// Files are where it is read from.
	Files() []string
	// Refresh reads them again and logs what came of it.
	Refresh()
}

// FollowAll keeps all of them in step with their files until ctx ends. Its error
// says that watching could not begin at all.
func FollowAll(ctx context.Context, log *slog.Logger, all ...Followed) error {
	if len(all) == 0 {
		<-ctx.Done()
		return nil
	}
	var files []string
	for _, f := range all {
		files = append(files, f.Files()...)
	}
	return Follow(ctx, log, files, func() {
		for _, f := range all {
			f.Refresh()
		}
	})
}

// Secret is a secret in a file, such as a token or a password. Nil is none.
type Secret struct {
	*Setting[string]

	mu     sync.Mutex
	before string // what the file held before its last change
}

// NewSecret reads the file as NewSetting does. White space around the secret is
// no part of it. Without a file there is no secret: nil.
func NewSecret(name, file string, log *slog.Logger) (*Secret, error) {
	if file == "" {
		return nil, nil
	}
	s, err := NewSetting(name, file, log, parseSecret)
	if err != nil {
		return nil, err
	}
	return &Secret{Setting: s}, nil
}

// FixedSecret is a secret that never changes. An empty one is none: nil.
func FixedSecret(secret string) *Secret {
	if secret == "" {
		return nil
	}
	s := &Secret{Setting: &Setting[string]{name: "a fixed secret", log: slog.New(slog.DiscardHandler)}}
	s.content = New(s.name, nil, func([][]byte) (string, error) { return secret, nil })
	_, _ = s.content.Reload() // nothing is read
	return s
}

// parseSecret refuses what no header can carry. Its errors repeat nothing.
func parseSecret(b []byte) (string, error) {
	s := strings.TrimSpace(string(b))
	switch {
	case s == "":
		return "", errors.New("is empty")
	case strings.ContainsFunc(s, unicode.IsControl):
		return "", errors.New("holds more than one line, or a control character")
	}
	return s, nil
}

// Get returns the secret, empty when there is none.
func (s *Secret) Get() string {
	if s == nil {
		return ""
	}
	return s.Setting.Get()
}

// Held returns the secret and the one that it replaced, for whoever takes them
// out of what others say: an answer may still quote the old one.
func (s *Secret) Held() []string {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.before == "" {
		return []string{s.Setting.Get()}
	}
	return []string{s.Setting.Get(), s.before}
}

// Refresh implements Followed.
func (s *Secret) Refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.Setting.Get()
	s.Setting.Refresh()
	if s.Setting.Get() != before {
		s.before = before
	}
}

// Renew is for a secret that has been refused: it reads the file again and
// reports whether it holds another one than was used.
func (s *Secret) Renew(used string) bool {
	if s == nil {
		return false
	}
	if s.Get() == used {
		s.Refresh()
	}
	return s.Get() != used
}
