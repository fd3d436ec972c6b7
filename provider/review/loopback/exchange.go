package loopback

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"

	"github.com/open-policy-agent/frameworks/constraint/pkg/externaldata"

	"github.com/imagegate/imagegate/provider/wire"
)

// maxExchange bounds what is read of a request or kept of an answer.
const maxExchange = 256 << 20

// Exchange is one call of external_data: the keys that were sent and what came
// back for them.
type Exchange struct {
	// Path tells the endpoint: /scan-reports or /digests.
	Path string
	Keys []string
	// Items and SystemError are the answer; both are empty when it was not a
	// ProviderResponse.
	Items       []externaldata.Item
	SystemError string
}

// Take returns the exchanges since the last Take.
func (s *Server) Take() []Exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.exchanges
	s.exchanges = nil
	return taken
}

func (s *Server) record(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxExchange))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer := newBuffer()
	if handler := s.current(); handler != nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
		handler.ServeHTTP(answer, r)
	} else {
		writeResponse(answer, wire.SystemError("no external data is available in this review"))
	}
	s.note(r.URL.Path, body, answer.body.Bytes())
	answer.copyTo(w)
}

func (s *Server) current() http.Handler {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handler
}

// note writes down an exchange. What is no ProviderRequest or ProviderResponse
// is noted as empty: the engine judges it, not this server.
func (s *Server) note(path string, request, response []byte) {
	var req externaldata.ProviderRequest
	_ = json.Unmarshal(request, &req)
	var resp externaldata.ProviderResponse
	_ = json.Unmarshal(response, &resp)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exchanges = append(s.exchanges, Exchange{
		Path:        path,
		Keys:        req.Request.Keys,
		Items:       resp.Response.Items,
		SystemError: resp.Response.SystemError,
	})
}

// buffer holds an answer until it has been looked at.
type buffer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newBuffer() *buffer { return &buffer{header: http.Header{}, status: http.StatusOK} }

func (b *buffer) Header() http.Header         { return b.header }
func (b *buffer) WriteHeader(status int)      { b.status = status }
func (b *buffer) Write(p []byte) (int, error) { return b.body.Write(p) }

func (b *buffer) copyTo(w http.ResponseWriter) {
	maps.Copy(w.Header(), b.header)
	w.WriteHeader(b.status)
	// The client may be gone: there is nobody left to tell.
	_, _ = w.Write(b.body.Bytes())
}

func writeResponse(w http.ResponseWriter, resp *externaldata.ProviderResponse) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(resp)
}
