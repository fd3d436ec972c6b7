package denials

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/imagegate/imagegate/provider/owner"
	"github.com/imagegate/imagegate/provider/report"
)

// Attempt is what the provider said of one image that somebody wants to run.
type Attempt struct {
	Namespace string
	// Owner is the controller that made the Pod and tries again; the zero value is
	// none, or one of another kind. Pod is then the Pod's name, or what it begins
	// with when the API server makes it.
	Owner owner.Reference
	Pod   string
	// User is who asked the API server: for the Pods of controllers, theirs.
	User string
	// Image is the reference as it was written, Digest what it means, or empty.
	Image, Digest string
	Status        report.Status
	// Message is the reason, for the Pod's author.
	Message string
}

// The bounds of texts in bytes.
const (
	maxNamespace = 253
	maxPod       = 253
	maxUser      = 256
	maxImage     = 512
	maxDigest    = 200
	maxMessage   = 512
)

// Entry is an image that one owner was not let in with.
type Entry struct {
	Namespace     string
	Owner         owner.Reference
	Pod, User     string
	Image, Digest string
	// Status is that of the last attempt that was not accepted: rejected,
	// scan_failed or report_not_available.
	Status report.Status
	Reason string
	// First and Last are the first and the last attempt of Count.
	First, Last time.Time
	Count       int64
	// Resolved is when it was accepted; zero: it was not since.
	Resolved time.Time
}

// Open reports whether it was not accepted since.
func (e *Entry) Open() bool { return e.Resolved.IsZero() }

// at is when something was last known of it.
func (e *Entry) at() time.Time {
	if e.Resolved.After(e.Last) {
		return e.Resolved
	}
	return e.Last
}

const entryOverhead = 640

// size is about what it takes in memory.
func (e *Entry) size() int {
	return entryOverhead + len(e.Namespace) + len(e.Owner.Name) + len(e.Owner.UID) + len(e.Pod) + len(e.User) + 2*len(e.Image) + len(e.Digest) + len(e.Reason)
}

// id is the key of a's Entry in the bucket.
func (a *Attempt) id() string {
	b, err := json.Marshal([]string{a.Namespace, string(a.Owner.Kind), a.Owner.Name, a.Pod, a.Image})
	if err != nil {
		panic(fmt.Sprintf("strings have no JSON: %v", err)) // they always have
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// cleaned is a within the bounds. A Pod that has an owner goes by it.
func (a Attempt) cleaned() Attempt {
	a.Namespace, a.Pod, a.User = report.Clean(a.Namespace, maxNamespace), report.Clean(a.Pod, maxPod), report.Clean(a.User, maxUser)
	a.Image, a.Digest, a.Message = report.Clean(a.Image, maxImage), report.Clean(a.Digest, maxDigest), report.Clean(a.Message, maxMessage)
	if a.Owner != (owner.Reference{}) {
		a.Pod = ""
	}
	return a
}

// entry is the first of a.
func (a *Attempt) entry(now time.Time) Entry {
	return Entry{
		Namespace: a.Namespace, Owner: a.Owner, Pod: a.Pod, User: a.User, Image: a.Image, Digest: a.Digest,
		Status: a.Status, Reason: a.Message, First: now, Last: now, Count: 1,
	}
}

// merge adds to a what b knows beside it: further attempts, or that it is resolved.
// A zero Entry is nothing.
func merge(a, b Entry) Entry {
	switch {
	case b == (Entry{}):
		return a
	case a == (Entry{}):
		return b
	}
	early, late := a, b
	if b.at().Before(a.at()) {
		early, late = b, a
	}
	switch {
	case late.Count == 0 && !late.Open(): // it only says that early is resolved
		early.Resolved = late.Resolved
		return early
	case early.Count == 0 && !early.Open():
		return late
	case !early.Open() && late.First.After(early.Resolved): // it has begun anew
		return late
	}
	late.Count += early.Count
	if early.First.Before(late.First) {
		late.First = early.First
	}
	return late
}

// stored is an Entry as it is in the bucket. Fields may be added; those of newer
// providers are passed over.
type stored struct {
	Namespace string    `json:"namespace"`
	Owner     string    `json:"owner,omitempty"`
	Pod       string    `json:"pod,omitempty"`
	User      string    `json:"user,omitempty"`
	Image     string    `json:"image"`
	Digest    string    `json:"digest,omitempty"`
	Status    string    `json:"status"`
	Reason    string    `json:"reason,omitempty"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Count     int64     `json:"count"`
	Resolved  time.Time `json:"resolved,omitzero"`
}

func (e *Entry) encode() []byte {
	b, err := json.Marshal(stored{
		e.Namespace, e.Owner.String(), e.Pod, e.User, e.Image, e.Digest, string(e.Status), e.Reason, e.First.UTC(), e.Last.UTC(), e.Count, e.Resolved.UTC(),
	})
	if err != nil {
		panic(fmt.Sprintf("an entry of texts and times has no JSON: %v", err)) // it has, of years up to 9999
	}
	return b
}

// maxValue bounds a value that is read.
const maxValue = 16 << 10

// decode reads the value of key. What has a time in the future, which would be kept
// that long, is refused.
func decode(key string, value []byte, now time.Time) (Entry, error) {
	if len(value) > maxValue {
		return Entry{}, fmt.Errorf("it has %d bytes", len(value))
	}
	var s stored
	if err := json.Unmarshal(value, &s); err != nil {
		return Entry{}, err
	}
	a := Attempt{Namespace: s.Namespace, Pod: s.Pod, User: s.User, Image: s.Image, Digest: s.Digest, Message: s.Reason}
	var err error
	if s.Owner != "" {
		if a.Owner, err = owner.Parse(s.Owner); err != nil {
			return Entry{}, err
		}
	}
	if a.Status, err = report.ParseStatus(s.Status); err != nil {
		return Entry{}, err
	}
	if a = a.cleaned(); a.id() != key || s.Count < 1 || a.Status == report.Accepted {
		return Entry{}, errKey
	}
	for _, t := range []time.Time{s.First, s.Last, s.Resolved} {
		if report.Future(t, now) {
			return Entry{}, fmt.Errorf("it is of %s, which is in the future", t.UTC().Format(time.RFC3339))
		}
	}
	e := a.entry(s.First)
	e.Last, e.Count, e.Resolved = s.Last, s.Count, s.Resolved
	return e, nil
}
