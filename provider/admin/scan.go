package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/imagegate/imagegate/provider/queue"
	"github.com/imagegate/imagegate/provider/service"
)

// State is what becomes of a scan. The set is closed.
type State string

// The states.
const (
	Waiting State = "waiting"
	Running State = "running"
	// Failed is remembered: nobody tries it until Scan.Until.
	Failed State = "failed"
)

// Scan is one that a namespace has asked for, or that failed.
type Scan struct {
	// ID names it in the other calls.
	ID    string `json:"id"`
	State State  `json:"state"`

	// Namespace is on whose behalf it is made.
	Namespace string `json:"namespace,omitempty"`
	// Image is the reference, pinned, in the spelling of whoever asked first; empty
	// when it was ordered by another version of the provider.
	Image string `json:"image,omitempty"`
	Tag   string `json:"tag,omitempty"`
	// Registry is its canonical URL.
	Registry   string `json:"registry,omitempty"`
	Repository string `json:"repository,omitempty"`
	// Digest is the manifest's.
	Digest   string `json:"digest,omitempty"`
	Platform string `json:"platform,omitempty"`
	// ServiceAccount and PullSecrets name the credentials that it is read with.
	ServiceAccount string   `json:"serviceAccount,omitempty"`
	PullSecrets    []string `json:"pullSecrets,omitempty"`

	// Asked is when the namespace asked for it first.
	Asked time.Time `json:"asked,omitzero"`
	// Holder is the replica that makes it, since Since.
	Holder string    `json:"holder,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	// Attempt counts those begun; of what failed, the failures in a row.
	Attempt int `json:"attempt,omitempty"`

	// Reason and Message say why it failed, or why the last attempt did.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// FailedAt is when it failed, Until when whoever asks has it tried again.
	FailedAt time.Time `json:"failedAt,omitzero"`
	Until    time.Time `json:"until,omitzero"`
}

// Depth is how much there is to do, over all replicas.
type Depth struct {
	Waiting int `json:"waiting"`
	Running int `json:"running"`
	// Slots is how many scans can be under way at once; zero: no worker runs.
	Slots  int `json:"slots"`
	Failed int `json:"failed"`
}

// Listing is what was asked for, and how much there is in all.
type Listing struct {
	Scans []Scan `json:"scans"`
	Depth Depth  `json:"depth"`
}

// Result is what became of a retry or purge.
type Result struct {
	// Done are the IDs of those that it was done for.
	Done []string `json:"done"`
	// Errors say what kept the others from it.
	Errors []string `json:"errors,omitempty"`
}

// idLength is short enough to be typed, and of ten thousands none is twice.
const idLength = 12

func askID(i queue.Item) string {
	sum := sha256.Sum256([]byte(i.Job + "\n" + i.Namespace))
	return hex.EncodeToString(sum[:])[:idLength]
}

func failedID(f service.Failed) string { return f.ID[:min(idLength, len(f.ID))] }

func ofItem(i queue.Item) Scan {
	var o service.Order
	if err := json.Unmarshal(i.Work, &o); err != nil {
		o = service.Order{} // of another version: what the queue knows is all there is
	}
	s := Scan{ID: askID(i), State: Waiting, Asked: i.Asked, Holder: i.Holder, Since: i.Since, Attempt: i.Attempt, Message: i.Last}
	s.ordered(o)
	s.Namespace, s.Registry = i.Namespace, i.Registry
	if i.Holder != "" {
		s.State = Running
	}
	return s
}

func ofFailed(f service.Failed) Scan {
	s := Scan{
		ID: failedID(f), State: Failed, Attempt: f.Row,
		Reason: string(f.Reason), Message: f.Message, FailedAt: f.At, Until: f.Until,
	}
	s.ordered(f.Order)
	return s
}

func (s *Scan) ordered(o service.Order) {
	s.Namespace, s.ServiceAccount, s.PullSecrets = o.Namespace, o.ServiceAccount, o.PullSecrets
	s.Image, s.Tag, s.Registry, s.Repository = o.Reference, o.Tag, o.Registry, o.Repository
	s.Digest, s.Platform = o.Digest, o.Platform
}
