package filewatch_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/filewatch"
)

// TestASecretIsFollowed: a token that is renewed counts from then on, and a file
// that is missing, empty or half-written leaves the last good one in use.
func TestASecretIsFollowed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	put(t, file, " one\n")
	var log bytes.Buffer
	s, err := filewatch.NewSecret("scanner.harbor.tokenFile", file, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name string
		do   func()
		want string
		held []string
		told string
	}{
		{"as it was", func() {}, "one", []string{"one"}, ""},
		{"empty", func() { put(t, file, " \n") }, "one", []string{"one"}, "is empty"},
		{"still empty", func() {}, "one", []string{"one"}, ""},
		{"missing", func() { _ = os.Remove(file) }, "one", []string{"one"}, "no such file"},
		{"two lines", func() { put(t, file, "two\nthree") }, "one", []string{"one"}, "more than one line"},
		{"renewed", func() { put(t, file, "two") }, "two", []string{"two", "one"}, "loaded"},
		{"renewed again", func() { put(t, file, "three") }, "three", []string{"three", "two"}, "loaded"},
	} {
		step.do()
		log.Reset()
		s.Refresh()
		if got := s.Get(); got != step.want || !slices.Equal(s.Held(), step.held) {
			t.Errorf("%s: %q of %q, want %q of %q", step.name, got, s.Held(), step.want, step.held)
		}
		said := log.String()
		if (said == "") != (step.told == "") || !strings.Contains(said, step.told) || said != "" && !strings.Contains(said, "setting=scanner.harbor.tokenFile") {
			t.Errorf("%s: the log says %q, want %q", step.name, said, step.told)
		}
		for _, secret := range []string{"one", "two", "three"} {
			if strings.Contains(strings.ReplaceAll(said, "more than one line", ""), secret) {
				t.Errorf("%s: the log quotes a secret: %s", step.name, said)
			}
		}
	}
}

func TestARefusedSecretIsReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	put(t, file, "one")
	s, err := filewatch.NewSecret("a", file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if s.Renew("one") {
		t.Error("the same one is a new one")
	}
	put(t, file, "two")
	if !s.Renew("one") || s.Get() != "two" {
		t.Errorf("the new one is not read: %q", s.Get())
	}
	if !s.Renew("one") || s.Renew("two") {
		t.Error("another one than was used is a new one, and only that")
	}
}

func TestNewSecret(t *testing.T) {
	none, err := filewatch.NewSecret("a", "", nil)
	if none != nil || err != nil || none.Get() != "" || none.Held() != nil || none.Renew("") {
		t.Errorf("without a file: %v, %v", none, err)
	}
	if fixed := filewatch.FixedSecret("x"); fixed.Get() != "x" || fixed.Renew("x") || filewatch.FixedSecret("") != nil {
		t.Error("a fixed secret is another one")
	}
	dir := t.TempDir()
	empty, binary := filepath.Join(dir, "empty"), filepath.Join(dir, "binary")
	put(t, empty, "\n")
	put(t, binary, "hunter2\x00")
	for file, want := range map[string]string{
		empty:                         empty + " is empty",
		binary:                        "a control character",
		filepath.Join(dir, "missing"): "no such file",
		dir:                           "is not a regular file",
	} {
		if _, err := filewatch.NewSecret("a", file, nil); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error %v lacks %q", file, err, want)
		}
	}
}

func TestFollowAll(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	put(t, a, "1")
	put(t, b, "2")
	log := slog.New(slog.DiscardHandler)
	one, err := filewatch.NewSecret("a", a, log)
	if err != nil {
		t.Fatal(err)
	}
	two, err := filewatch.NewSecret("b", b, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- filewatch.FollowAll(ctx, log, one, two) }()
	put(t, a, "3")
	put(t, b, "4")
	// Far longer than it takes; it only tells "not at all".
	for end := time.Now().Add(30 * time.Second); one.Get() != "3" || two.Get() != "4"; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the new ones are never used: %q, %q", one.Get(), two.Get())
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := filewatch.FollowAll(ctx, log); err != nil {
		t.Errorf("without any file: %v", err)
	}
}
