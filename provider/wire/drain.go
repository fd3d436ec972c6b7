package wire

import (
	"io"
	"net/http"
)

// Drain reads what is left of a request's body, most bytes of it, before an answer
// that needs none of it. Over HTTP/2 an answer that comes before the whole question
// ends with the stream being reset, and many clients then show the reset in place of
// the answer.
func Drain(w http.ResponseWriter, r *http.Request, most int64) {
	_, _ = io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, most)) // the answer does not depend on it
}
