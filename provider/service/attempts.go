package service

import (
	"cmp"
	"context"

	"github.com/imagegate/imagegate/provider/denials"
	"github.com/imagegate/imagegate/provider/report"
)

// remembered tells Denials the answer to an attempt, and to an admission that may
// be what an attempt waits for. Audit is neither.
func (s *Service) remembered(q Query, r report.ScanReport) {
	if s.o.Denials == nil || q.Access.Namespace == "" {
		return
	}
	switch {
	case q.User != "":
		s.o.Denials.Saw(q.attempt(r.Digest, r.Status, r.Message))
	case q.Asker == AskerAdmission:
		s.o.Denials.Answered(q.Access.Namespace, q.Reference, r.Digest, r.Status, r.Message)
		if q.Original != "" && q.Original != q.Reference {
			s.o.Denials.Answered(q.Access.Namespace, q.Original, r.Digest, r.Status, r.Message)
		}
	}
}

// unresolved tells Denials that an image of an attempt has no digest, without which
// the mutator lets no Pod in that its settings do not name.
func (s *Service) unresolved(ctx context.Context, q Query, err error) {
	if s.o.Denials == nil || q.Access.Namespace == "" || q.User == "" {
		return
	}
	status := report.ScanFailed
	if ctx.Err() != nil {
		status = report.NotAvailable // the registry has not answered yet
	}
	s.o.Denials.Saw(q.attempt("", status, err.Error()))
}

// attempt is q with its answer. The image is what was written, by the asker's word:
// nothing is let in for it.
func (q *Query) attempt(digest string, status report.Status, message string) denials.Attempt {
	return denials.Attempt{
		Namespace: q.Access.Namespace, Owner: q.Owner, Pod: q.Pod, User: q.User,
		Image: cmp.Or(q.Original, q.Reference), Digest: digest, Status: status, Message: message,
	}
}
