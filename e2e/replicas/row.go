package replicas

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// Fault is something that breaks while Pods are created.
type Fault struct {
	Name string
	// Images of which Pods are created, over as many Namespaces.
	Images, Pods, Namespaces int
	// Takes is how long a scan takes.
	Takes time.Duration
	// Hurt breaks something, and mends it unless the rest must do without. It is
	// called in the middle of the load, with the images.
	Hurt func(ctx context.Context, images []Image) error
	// Repeats is of how many images the fault may have had the scan made again, and
	// Times how often that of one image; zero: once.
	Repeats, Times int
	// LostWith says that what is kept is damaged by the fault itself, so that
	// reports that were answered may be made again.
	LostWith bool
	// Within is by when all must have ended.
	Within time.Duration
}

// Row is what came of a fault.
type Row struct {
	Fault Fault
	Story *Story
	// Begun counts the scans, Twice the images whose report was made more than
	// once, Lost those that had been answered and were scanned again.
	Begun, Twice, Lost int
	// Problems are what must not be.
	Problems []string
}

// Break lets Pods be created on the fleet and something break meanwhile, and
// looks at what came of it.
func (f *Fleet) Break(ctx context.Context, fault Fault) (*Row, error) {
	images, err := f.Push(ctx, slug(fault.Name), fault.Images, max(1, fault.Images/10))
	if err != nil {
		return nil, err
	}
	f.Scanner.Usually(Behaviour{Takes: fault.Takes})
	f.Plant(images, fault.Takes)
	row := &Row{Fault: fault}
	crowd := f.Crowd()

	loaded, cancel := context.WithTimeout(ctx, fault.Within)
	defer cancel()
	told := make(chan *Story, 1)
	go func() { told <- crowd.Create(loaded, PodsOf(images, fault.Pods, fault.Namespaces)) }()
	if fault.Hurt != nil {
		f.inTheMiddle(loaded, images)
		if err := fault.Hurt(ctx, images); err != nil {
			cancel()
			<-told
			return nil, fmt.Errorf("%s: %w", fault.Name, err)
		}
	}
	row.Story = <-told
	before := f.Scanner.Counts()
	row.settled(ctx, f, images)
	row.judge(images, before, f.Scanner.Counts())
	return row, nil
}

// Crowd is one that asks all providers of the fleet.
func (f *Fleet) Crowd() *Crowd {
	providers := f.Providers()
	return &Crowd{
		Client: f.Client, Providers: providers, Patient: 3 * len(providers),
		Pause: 500 * time.Millisecond, Longest: 3 * time.Second,
		Begun: f.Scanner.Begun,
	}
}

// inTheMiddle returns when a third of the images is done and more are under way.
func (f *Fleet) inTheMiddle(ctx context.Context, images []Image) {
	for ctx.Err() == nil {
		counts := f.Scanner.Counts()
		done, under := 0, 0
		for _, i := range images {
			switch c := counts[i.Digest]; {
			case c.Delivered > 0:
				done++
			case c.Begun > 0:
				under++
			}
		}
		if done >= len(images)/3 && under > 0 {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// settled asks every provider for every image once more. All must say the same.
func (r *Row) settled(ctx context.Context, f *Fleet, images []Image) {
	for _, n := range f.Nodes {
		if n.Role == Worker || n.proc == nil {
			continue
		}
		for _, image := range images {
			var a Answer
			for range 40 { // one that failed may be tried again meanwhile
				if a = f.Client.Gatekeeper(ctx, n.URL, "later", image.Pinned); a.Status == image.Want || a.Final() {
					break
				}
				select {
				case <-time.After(250 * time.Millisecond):
				case <-ctx.Done():
					return
				}
			}
			if a.Status != image.Want {
				r.problem("afterwards %s says of %s: %s (%s), not %s", n.Name, image.Ref, a.Status, a.Message, image.Want)
			}
		}
	}
}

func (r *Row) problem(format string, args ...any) {
	const most = 10
	if len(r.Problems) < most {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

// judge counts the scans, before it was asked once more and after.
func (r *Row) judge(images []Image, before, after map[string]Counts) {
	if n, some := r.Story.Left(); n > 0 {
		r.problem("%d Pods have not ended within %s: %s", n, r.Fault.Within, strings.Join(some, "; "))
	}
	for _, what := range r.Story.Wrong() {
		r.problem("%s", what)
	}
	answered := r.Story.Answered()
	for _, image := range images {
		c := after[image.Digest]
		r.Begun += c.Begun
		if image.Want == Failed {
			continue // it is tried again each time it is asked for
		}
		if c.Delivered > 1 {
			r.Twice++
		}
		if most := 1 + max(1, r.Fault.Times); c.Delivered > most {
			r.problem("%s was scanned to the end %d times, where the fault explains %d", image.Ref, c.Delivered, most)
		}
		if c.Delivered == 0 {
			r.problem("%s was never scanned to the end", image.Ref)
		}
		if at, ok := answered[image.Digest]; ok && at < c.Begun {
			r.Lost++
			if !r.Fault.LostWith {
				r.problem("%s was answered, and scanned again: %d scans had begun then, %d since", image.Ref, at, c.Begun)
			}
		}
		if n := before[image.Digest].Begun; n != c.Begun && !r.Fault.LostWith {
			r.problem("%s was scanned again when all was over", image.Ref)
		}
	}
	if r.Twice > r.Fault.Repeats {
		r.problem("%d images were scanned more than once, where the fault explains %d", r.Twice, r.Fault.Repeats)
	}
}

// Table prints rows, if there are any.
func Table(w io.Writer, rows []*Row) {
	if len(rows) == 0 {
		return
	}
	_, _ = fmt.Fprintf(w, "\n%-46s %6s %6s %6s %6s %6s %6s %9s\n", "fault", "Pods", "images", "scans", "twice", "lost", "wrong", "last")
	for _, r := range rows {
		_, pod := r.Story.Verdicts()
		wrong := fmt.Sprint(len(r.Story.Wrong()))
		if len(r.Problems) > 0 {
			wrong += "!"
		}
		_, _ = fmt.Fprintf(w, "%-46s %6d %6d %6d %6d %6d %6s %8.1fs\n",
			r.Fault.Name, r.Story.pods, r.Fault.Images, r.Begun, r.Twice, r.Lost, wrong, pod.Seconds())
	}
	_, _ = fmt.Fprintf(w, "\nscans: begun, of which those of images that break the scanner are tried three times; twice: images whose report was made more than once;\n"+
		"lost: images that had been answered and were scanned again; wrong: answers that were not the right ones (!: see the test); last: until the last Pod knew.\n")
	for _, r := range rows {
		_, _ = fmt.Fprintf(w, "\n%s: what Pods' authors were told meanwhile\n", r.Fault.Name)
		for _, line := range r.Story.Told() {
			_, _ = fmt.Fprintf(w, "  %s\n", line)
		}
	}
}

// slug makes a repository's name of any words.
func slug(name string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		default:
			return '-'
		}
	}, name), "-")
}
