package cli

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// progress tells a person on standard error what a command waits for. On a
// terminal it redraws one line every second; elsewhere each step is a line.
type progress struct {
	w        io.Writer
	terminal bool

	mu    sync.Mutex
	name  string
	more  string
	began time.Time
	said  time.Time
	stop  chan struct{}
	done  sync.WaitGroup
}

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// step ends the step before and begins the next.
func (p *progress) step(name string) {
	p.end()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.name, p.more, p.began = name, "", time.Now()
	if !p.terminal {
		_, _ = fmt.Fprintf(p.w, "%s ...\n", name)
		return
	}
	p.stop = make(chan struct{})
	p.done.Go(p.redraw)
}

// quietly is how often a step says how it goes on where lines stay.
const quietly = 10 * time.Second

// detail says how the step goes on.
func (p *progress) detail(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	began := stage(text) != stage(p.more)
	p.more = text
	if p.terminal || text == "" || !began && time.Since(p.said) < quietly {
		return
	}
	p.said = time.Now()
	_, _ = fmt.Fprintln(p.w, text)
}

// stage is the part of a detail that does not count.
func stage(text string) string {
	name, _, _ := strings.Cut(text, ":")
	return name
}

func (p *progress) redraw() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		p.draw()
		select {
		case <-tick.C:
		case <-p.stop:
			return
		}
	}
}

func (p *progress) draw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintf(p.w, "\r\x1b[K%s ... %s", cmp.Or(p.more, p.name), time.Since(p.began).Round(time.Second))
}

// end removes the line of the current step.
func (p *progress) end() {
	if p.stop == nil {
		return
	}
	close(p.stop)
	p.done.Wait()
	p.stop = nil
	_, _ = fmt.Fprint(p.w, "\r\x1b[K")
}
