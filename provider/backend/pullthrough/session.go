package pullthrough

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"sync"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/report"
)

// transfersPerJob bounds the layers of one image that are read at once.
const transfersPerJob = 3

// session is one image opened for one scan.
type session struct {
	image   backend.Image
	origin  *origin
	content *content
	work    *work
	// ctx ends with the scan, and with what is found to be wrong.
	ctx    context.Context // the session is the time of a scan
	cancel context.CancelCauseFunc
	slots  chan struct{}
	// serving are the requests under way.
	serving sync.WaitGroup

	mu     sync.Mutex
	closed bool
	// lasting is what is wrong with the image, passing what went wrong last with
	// each of its layers that were not handed on yet.
	lasting  *report.Failure
	passing  map[string]*report.Failure
	handedOn map[string]bool
}

// token opens a session. It is kept hashed, so that looking one up tells
// nothing about those there are.
type token string

const tokenUser = "imagegate"

func newToken() token { return token(rand.Text()) }

func (t token) key() [sha256.Size]byte { return sha256.Sum256([]byte(t)) }

func (t token) header() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(tokenUser+":"+string(t)))
}

// enter counts a request in, unless the scan is over.
func (s *session) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.serving.Add(1)
	return true
}

// end breaks off what is still being handed on and gives everything back.
func (s *session) end() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel(nil)
	s.serving.Wait()
	for _, l := range s.content.layers {
		l.drop()
	}
}

// failed takes note of what is wrong with a layer. What lasts ends the scan:
// nothing that its scanner could still find would count.
func (s *session) failed(digest string, f *report.Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.ctx.Err() != nil {
		return // the scan is over already, and this is only its end
	}
	if f.Transient() || f.Reason == report.ReasonUnauthorized || f.Reason == report.ReasonNotFound {
		if !s.handedOn[digest] {
			s.passing[digest] = f
		}
		return
	}
	s.lasting = f
	s.cancel(f)
}

// served takes note that a layer was handed on after all.
func (s *session) served(digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.passing, digest)
	s.handedOn[digest] = true
}

// failure is what kept the scanner from reading all of the image that it asked
// for, or nil. It overrules what the scanner says.
func (s *session) failure() *report.Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lasting != nil {
		return s.lasting
	}
	for _, f := range s.passing {
		return f
	}
	return nil
}
