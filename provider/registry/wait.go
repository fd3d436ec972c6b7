package registry

import (
	"errors"
	"fmt"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// maxWait is the longest that a registry is left alone because it asks for it:
// it may be well sooner, and nothing but a restart would find out.
const maxWait = time.Hour

// asksFor remembers that a registry asked the credential's owner to wait. It is
// kept by credential, as registries count by it: what one account used up is no
// reason to turn away another.
func (r *Resolver) asksFor(t target, cred credential, err error) {
	if throttled, ok := errors.AsType[*throttledError](err); ok && throttled.retryAfter > 0 {
		r.waits.Add(waitKey(t, cred), time.Now().Add(min(throttled.retryAfter, maxWait)))
	}
}

// left says that the registry is not asked yet, or is nil.
func (r *Resolver) left(t target, cred credential) *report.Failure {
	until, ok := r.waits.Get(waitKey(t, cred))
	wait := time.Until(until)
	if !ok || wait <= 0 {
		return nil
	}
	return &report.Failure{
		Reason:     report.ReasonUnavailable,
		Message:    fmt.Sprintf("registry %s asks for fewer requests and is not asked again before %s", t.host(), until.UTC().Format("15:04:05 UTC")),
		RetryAfter: wait,
	}
}

func waitKey(t target, cred credential) string { return t.host() + "\n" + cred.id }
