package replicas

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/imagegate/imagegate/e2e/registry"
)

// Image is one that Pods ask for, and what is right to say of it.
type Image struct {
	registry.Pushed
	// Want is the status that Pods are to end with.
	Want string
}

// Pod is one that is created until it is admitted, or is denied for good.
type Pod struct {
	Namespace string
	Image     Image
}

// Crowd creates Pods. Each is created at once and then again after a pause, as
// its controller does: the mutator pins the image and, as long as few wait, has
// the provider wait for the scan; then Gatekeeper asks.
type Crowd struct {
	Client *Client
	// Providers are the base URLs of those who answer, one of which is taken for
	// each question, as a Service of Kubernetes does.
	Providers []string
	// Pause is between two attempts at first; it doubles, up to Longest.
	Pause, Longest time.Duration
	// Patient bounds those that wait for a scan at once; zero: none does.
	Patient int
	// Begun says how often a scan of the digest has begun so far.
	Begun func(digest string) int
}

// patience is how long the mutator lets the provider wait for a scan.
const patience = 10 * time.Second

// Story is what became of a crowd.
type Story struct {
	Began time.Time

	mu sync.Mutex
	// first is when the first Pod of an image was told its final status, and
	// begun how many scans of it had begun by then.
	first map[string]time.Time
	begun map[string]int
	last  time.Time
	told  map[string]int
	wrong []string
	left  map[Pod]Answer
	pods  int
}

// Create creates Pods until all have ended, or ctx has.
func (c *Crowd) Create(ctx context.Context, pods []Pod) *Story {
	s := &Story{
		Began: time.Now(), first: map[string]time.Time{}, begun: map[string]int{}, told: map[string]int{}, left: map[Pod]Answer{}, pods: len(pods),
	}
	patient := make(chan struct{}, c.Patient)
	var wg sync.WaitGroup
	for _, p := range pods {
		wg.Go(func() { c.create(ctx, p, patient, s) })
	}
	wg.Wait()
	return s
}

func (c *Crowd) create(ctx context.Context, p Pod, patient chan struct{}, s *Story) {
	for pause := c.Pause; ; pause = min(2*pause, c.Longest) {
		a := c.attempt(ctx, p, patient, s)
		if ctx.Err() != nil || s.heard(p, a, c.Begun) {
			return
		}
		t := time.NewTimer(pause/2 + rand.N(pause)) //nolint:gosec // spreads Pods, guards nothing
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

func (c *Crowd) provider() string { return c.Providers[rand.N(len(c.Providers))] } //nolint:gosec // as above

// attempt is one creation of a Pod, by mutator and Gatekeeper.
func (c *Crowd) attempt(ctx context.Context, p Pod, patient chan struct{}, s *Story) Answer {
	pinned, denied := c.Client.Pin(ctx, c.provider(), p.Namespace, p.Image.Ref)
	if denied.Status != "" {
		return denied
	}
	if pinned != p.Image.Pinned {
		s.mistake(fmt.Sprintf("%s was pinned to %s, and is %s", p.Image.Ref, pinned, p.Image.Pinned))
	}
	var a Answer
	select {
	case patient <- struct{}{}:
		a = c.Client.Mutator(ctx, c.provider(), p.Namespace, pinned, patience)
		<-patient
	default:
	}
	if a.Final() {
		s.check(p, a)
	}
	return c.Client.Gatekeeper(ctx, c.provider(), p.Namespace, pinned)
}

// heard takes an answer in, and says whether it is the Pod's last.
func (s *Story) heard(p Pod, a Answer, begun func(string) int) bool {
	s.check(p, a)
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.Status != p.Image.Want {
		s.told[a.Status+": "+plain(a.Message)]++
		s.left[p] = a
		return a.Final() // it is wrong, and noted
	}
	delete(s.left, p)
	s.last = time.Now()
	if _, ok := s.first[p.Image.Digest]; !ok {
		s.first[p.Image.Digest] = s.last
		if begun != nil {
			s.begun[p.Image.Digest] = begun(p.Image.Digest)
		}
	}
	return true
}

// check notes a final answer that is not the right one.
func (s *Story) check(p Pod, a Answer) {
	if a.Final() && a.Status != p.Image.Want {
		s.mistake(fmt.Sprintf("%s reads %s in place of %s: %s", p.Image.Ref, a.Status, p.Image.Want, a.Message))
	}
}

func (s *Story) mistake(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong = append(s.wrong, what)
}

// Wrong returns the answers that were mistakes.
func (s *Story) Wrong() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.wrong)
}

// Left returns how many Pods have not ended, and what some of them were told last.
func (s *Story) Left() (n int, some []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, a := range s.left {
		if len(some) < 5 {
			some = append(some, fmt.Sprintf("%s in %s: %s: %s", p.Image.Ref, p.Namespace, a.Status, a.Message))
		}
	}
	return len(s.left), some
}

// Verdicts returns how long after the beginning the last image had its first
// verdict, and the last Pod its own.
func (s *Story) Verdicts() (image, pod time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range s.first {
		image = max(image, at.Sub(s.Began))
	}
	if !s.last.IsZero() {
		pod = s.last.Sub(s.Began)
	}
	return image, pod
}

// Answered returns how many scans of each image had begun when it was answered
// for the first time.
func (s *Story) Answered() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.begun)
}

// Told returns the distinct sentences that Pods' authors read before the last
// one, the most frequent first.
func (s *Story) Told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.SortedFunc(maps.Keys(s.told), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.told[b], s.told[a]), cmp.Compare(a, b))
	})
	for i, what := range list {
		list[i] = fmt.Sprintf("%6d x %s", s.told[what], what)
	}
	return list
}

var (
	hexes     = regexp.MustCompile(`[0-9a-f]{12,}`)
	addresses = regexp.MustCompile(`127\.0\.0\.1:[0-9]+`)
	durations = regexp.MustCompile(`\b([0-9]+h)?([0-9]+m)?[0-9]+(\.[0-9]+)?(h|m|ms|s)\b`)
	digits    = regexp.MustCompile(`[0-9]+`)
)

// plain takes out of a sentence what differs from one Pod to the next.
func plain(message string) string {
	message = hexes.ReplaceAllString(message, "HEX")
	message = addresses.ReplaceAllString(message, "HOST")
	message = durations.ReplaceAllString(message, "SOME TIME")
	message = digits.ReplaceAllString(message, "N")
	return strings.TrimSpace(message)
}
