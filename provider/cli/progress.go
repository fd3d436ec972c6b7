package cli

import (
	"fmt"
	"io"
	"os"
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
	began time.Time
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
	p.name, p.began = name, time.Now()
	if !p.terminal {
		_, _ = fmt.Fprintf(p.w, "%s ...\n", name)
		return
	}
	p.stop = make(chan struct{})
	p.done.Go(p.redraw)
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
	_, _ = fmt.Fprintf(p.w, "\r\x1b[K%s ... %s", p.name, time.Since(p.began).Round(time.Second))
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
