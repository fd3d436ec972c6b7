package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/imagegate/imagegate/e2e/registry"
	"github.com/imagegate/imagegate/e2e/stack"
)

// patience bounds the wait for something that takes a moment.
const patience = 60 * time.Second

// voice runs kubectl, prints what it runs and says, and checks that it says what
// the story expects.
type voice struct {
	run func(ctx context.Context, in io.Reader, args ...string) (string, error)
	out io.Writer
}

// teller tells the story of a stack.
type teller struct {
	voice
	stack *stack.Stack
	// running is the pinned image of the first Pod of the story.
	running string
	// rejected is the digest of the image with the flaw.
	rejected string
}

// wants is what a command must do: succeed or be denied, and print the texts.
type wants struct {
	denied bool
	texts  []string
}

func ok(texts ...string) wants     { return wants{false, texts} }
func denied(texts ...string) wants { return wants{true, texts} }

// chapter prints what comes next and why.
func (v *voice) chapter(text string) {
	_, _ = fmt.Fprintf(v.out, "\n## %s\n", text)
}

// kubectl runs and prints one command.
func (v *voice) kubectl(ctx context.Context, want wants, args ...string) error {
	return v.kubectlInput(ctx, want, "", args...)
}

// kubectlInput is kubectl with a manifest on standard input.
func (v *voice) kubectlInput(ctx context.Context, want wants, manifest string, args ...string) error {
	line := commandLine(args)
	_, _ = fmt.Fprintf(v.out, "\n$ %s", line)
	if manifest != "" {
		_, _ = fmt.Fprintf(v.out, " <<EOF\n%s\nEOF", strings.TrimSpace(manifest))
	}
	_, _ = fmt.Fprintln(v.out)
	began := time.Now()
	out, err := v.run(ctx, strings.NewReader(manifest), args...)
	_, _ = fmt.Fprintf(v.out, "%s\n(%.1f s)\n", out, time.Since(began).Seconds())
	return want.check(line, out, err)
}

// kubectlUntil repeats a command quietly until it does what is wanted, then
// prints the command and its last output.
func (v *voice) kubectlUntil(ctx context.Context, want wants, args ...string) error {
	line := commandLine(args)
	_, _ = fmt.Fprintf(v.out, "\n$ %s\n", line)
	began := time.Now()
	for {
		out, err := v.run(ctx, nil, args...)
		failed := want.check(line, out, err)
		if failed == nil || time.Since(began) > patience || ctx.Err() != nil {
			_, _ = fmt.Fprintf(v.out, "%s\n(after %.1f s)\n", out, time.Since(began).Seconds())
			return failed
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (w wants) check(line, out string, err error) error {
	switch {
	case w.denied && err == nil:
		return fmt.Errorf("%s: succeeded, should have been denied", line)
	case !w.denied && err != nil:
		return fmt.Errorf("%s: %w: %s", line, err, out)
	}
	for _, text := range w.texts {
		if !strings.Contains(out, text) {
			return fmt.Errorf("%s: the output lacks %q", line, text)
		}
	}
	return nil
}

// commandLine quotes arguments as a shell would want them.
func commandLine(args []string) string {
	words := make([]string, 0, 1+len(args))
	words = append(words, "kubectl")
	for _, a := range args {
		words = append(words, quoted(a))
	}
	return strings.Join(words, " ")
}

// push builds and stores an image and says so.
func (t *teller) push(ctx context.Context, program, label, repository, tag string, slow time.Duration) (registry.Pushed, error) {
	img, err := t.stack.Images.Image(ctx, program, "amd64", label)
	if err != nil {
		return registry.Pushed{}, err
	}
	if slow > 0 {
		if err := t.stack.Registry.SlowLayers(img, slow); err != nil {
			return registry.Pushed{}, err
		}
	}
	pushed, err := t.stack.Registry.Push(ctx, img, repository, tag)
	if err != nil {
		return registry.Pushed{}, err
	}
	_, _ = fmt.Fprintf(t.out, "pushed %s\n    is %s\n", pushed.Ref, pushed.Digest)
	return pushed, nil
}
