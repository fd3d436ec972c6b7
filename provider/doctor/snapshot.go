// Package doctor looks at an installation from an administrator's machine and says what
// keeps it from enforcing, or soon will. The replica that installs tells what it sees
// itself; this sees what that may not read, and sees it when that is not there.
//
// It reads a snapshot of the cluster first and decides then: checks ask nobody, so that
// each can be tried with objects alone. What could not be read is a finding, never
// silence.
package doctor

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/imagegate/imagegate/provider/install/finding"
	"github.com/imagegate/imagegate/provider/install/webhooks"
)

// Release is the installation as its own configuration says it is meant.
type Release struct {
	// Name is Helm's, Namespace where it runs.
	Name, Namespace string
	// Version is the chart's; empty: it was not installed by the chart.
	Version string
	// Instance is what the objects of the installation are named after.
	Instance string
	// Installs says that a replica of the provider installs anything at all, Policies
	// that it puts the policies into the cluster too.
	Installs, Policies bool
	// Bundled says that images are scanned by the worker beside the provider, which
	// tells how old its vulnerability data is.
	Bundled bool
	// Provider is the Provider object's name, URL its spec.url, Timeout its
	// spec.timeout in seconds.
	Provider, URL string
	Timeout       int
	// Budget is within what the provider answers.
	Budget time.Duration
	// Webhook is the name of the MutatingWebhookConfiguration; empty: nothing pins.
	Webhook string
	// Wait and ResolveTimeout are the mutator's; zero: unknown.
	Wait, ResolveTimeout time.Duration
	// Validating is the name of Gatekeeper's ValidatingWebhookConfiguration.
	Validating string
	// Exempt are the namespaces that are meant not to be judged; a * may stand at
	// either end.
	Exempt []string
}

// seen is what was looked at. Without Done it is not known, which has a finding of its
// own; the zero It of one that was looked at means that there is none.
type seen[T any] struct {
	It   T
	Done bool
}

// snapshot is a cluster as it was read.
type snapshot struct {
	Now     time.Time
	Release Release
	Limits  Limits
	// Unseen are what could not be looked at.
	Unseen []finding.Finding

	// Judging is Gatekeeper's configuration, Pinning ours, Mutating all of that kind.
	Judging, Pinning seen[*webhooks.Configuration]
	Mutating         seen[[]webhooks.Configuration]
	Namespaces       seen[[]corev1.Namespace]
	// Gatekeeper is its namespace; empty: unknown.
	Gatekeeper     string
	GatekeeperPods seen[[]corev1.Pod]
	// Config is Gatekeeper's object of that kind.
	Config seen[*unstructured.Unstructured]
	// ExternalData says that there are Providers at all.
	ExternalData seen[bool]
	Provider     seen[*unstructured.Unstructured]
	Templates    seen[[]unstructured.Unstructured]
	// Constraints are those whose templates ask our provider.
	Constraints seen[[]unstructured.Unstructured]
	// Pods are the provider's, Answers what those said that are ready, by name.
	Pods    seen[[]corev1.Pod]
	Answers map[string]answer
	// Authorities are the published CAs of our certificates, PEM; Leader is what the replica
	// that installs says is wrong. Installed says that there is a state of it.
	Installed   seen[bool]
	Authorities []byte
	Leader      []finding.Finding
	// Renewed is when the Lease of the installation was last renewed; zero: never.
	Renewed seen[time.Time]
	// FailedOpen counts by webhook what the API server let through because it had no
	// answer.
	FailedOpen seen[map[string]float64]
}

// answer is what a replica says of itself.
type answer struct {
	// Parts are the lines of /readyz that are not ok, by part.
	Parts map[string]string
	// Databases are when the scanners' vulnerability data were made, Ends when
	// certificates end, by part.
	Databases, Ends map[string]time.Time
}

// Limits are from when what ages is too old.
type Limits struct {
	// Database is how old vulnerability data may be, Certificate how much of its
	// life a certificate must have left.
	Database, Certificate time.Duration
}
