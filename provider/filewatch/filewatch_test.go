package filewatch_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/filewatch"
)

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// joined reads two files as one string; "bad" in either is an error.
func joined(a, b string) *filewatch.Content[string] {
	return filewatch.New("pair", []string{a, b}, func(contents [][]byte) (string, error) {
		s := string(contents[0]) + "|" + string(contents[1])
		if strings.Contains(s, "bad") {
			return "", errors.New("is bad")
		}
		return s, nil
	})
}

// Certificates, keys and exceptions are asked for by every request.
func TestNobodyWaitsForAParse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a")
	put(t, file, "1")
	hold := make(chan chan struct{}, 1)
	parsing := make(chan struct{})
	c := filewatch.New("file", []string{file}, func(contents [][]byte) (string, error) {
		select {
		case goOn := <-hold:
			close(parsing)
			<-goOn
		default:
		}
		return string(contents[0]), nil
	})
	if _, err := c.Reload(); err != nil {
		t.Fatal(err)
	}
	goOn := make(chan struct{})
	hold <- goOn
	put(t, file, "2")
	done := make(chan error, 1)
	go func() {
		_, err := c.Reload()
		done <- err
	}()
	<-parsing
	if v, err := c.Get(); err != nil || v != "1" || c.Failing() {
		t.Errorf("during the parse: %q, %v, failing %t", v, err, c.Failing())
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if v, err := c.Get(); err != nil || v != "2" {
		t.Errorf("after it: %q, %v", v, err)
	}
}

func TestContent(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	c := joined(a, b)
	if _, err := c.Get(); err == nil || err.Error() != "the pair is not loaded yet" {
		t.Errorf("before the first reading: %v", err)
	}
	for _, step := range []struct {
		name, a, b string
		changed    bool
		err        string
		failing    bool
		value      string
	}{
		{name: "read", a: "1", b: "2", changed: true, value: "1|2"},
		{name: "the same", a: "1", b: "2", value: "1|2"},
		{name: "moved from one file to the other", a: "12", b: "", changed: true, value: "12|"},
		{name: "broken", a: "bad", b: "2", err: "loading the pair: is bad", failing: true, value: "12|"},
		{name: "still broken", a: "bad", b: "2", failing: true, value: "12|"},
		{name: "as before it broke", a: "12", b: "", value: "12|"},
		{name: "broken again", a: "bad", b: "2", err: "loading the pair: is bad", failing: true, value: "12|"},
		{name: "repaired", a: "3", b: "4", changed: true, value: "3|4"},
		{name: "too large", a: "3", b: strings.Repeat("4", 4<<20+1), err: "is not a regular file of at most", failing: true, value: "3|4"},
	} {
		put(t, a, step.a)
		put(t, b, step.b)
		changed, err := c.Reload()
		if changed != step.changed || (err == nil) != (step.err == "") || err != nil && !strings.Contains(err.Error(), step.err) {
			t.Errorf("%s: changed %t, error %v", step.name, changed, err)
		}
		if got, err := c.Get(); got != step.value || err != nil || c.Failing() != step.failing {
			t.Errorf("%s: %q, %v, failing %t", step.name, got, err, c.Failing())
		}
	}
	if err := os.Remove(a); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Reload(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	put(t, path, "1")
	ctx, cancel := context.WithCancel(t.Context())
	reloads, done := make(chan string, 100), make(chan error, 1)
	go func() {
		done <- filewatch.Follow(ctx, slog.New(slog.DiscardHandler), []string{path, filepath.Join(t.TempDir(), "later", "g")}, func() {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Error(err)
			}
			reloads <- string(b)
		})
	}()
	wait := func(want string) {
		t.Helper()
		// Far longer than it takes; it only tells "not at all".
		limit := time.After(30 * time.Second)
		for {
			select {
			case got := <-reloads:
				if got == want {
					return
				}
			case <-limit:
				t.Fatalf("never reloaded with %q", want)
			}
		}
	}
	wait("1")
	put(t, path, "2")
	wait("2")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
