package pullthrough

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// schemeOf reads the address that scanners are given. They take scheme, host and
// port of it and nothing else.
func schemeOf(s string) (string, error) {
	if s == "" {
		return "http", nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil ||
		u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("must be http(s)://host[:port] without a path")
	}
	return u.Scheme, nil
}

// CheckURL says what is wrong with an address for scanners.
func CheckURL(s string) error {
	_, err := schemeOf(s)
	return err
}

// ServeHTTP implements the part of the distribution API that pulls one image:
// the version check, its manifest by digest or by the tag that the scanner was
// told, its configuration and its layers. Ranges are not served; a request for
// one is answered with the whole, as HTTP allows.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "images can only be pulled here")
		return
	}
	if r.ContentLength != 0 {
		w.Header().Set("Connection", "close") // rather than read what nobody asked for
		refuse(w, http.StatusBadRequest, "UNSUPPORTED", "requests have no body here")
		return
	}
	_, password, _ := r.BasicAuth()
	n := s.session(token(password))
	if n == nil || !n.enter() {
		w.Header().Set("WWW-Authenticate", `Basic realm="imagegate"`)
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "a scan's token is required, which is good until the scan ends")
		return
	}
	defer n.serving.Done()
	if r.URL.Path == "/v2/" || r.URL.Path == "/v2" {
		writeJSON(w, http.StatusOK, struct{}{})
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/v2/"+n.image.Repository+"/")
	if !ok {
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "this is not the repository of the scan")
		return
	}
	c := n.content
	kind, name, _ := strings.Cut(path, "/")
	switch {
	case kind == "manifests" && (name == n.image.Digest || name == n.image.Tag && name != ""):
		document(w, r, c.manifest, c.mediaType, n.image.Digest)
	case kind == "manifests":
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "this is not the manifest of the scan")
	case kind == "blobs" && name == c.configDigest:
		document(w, r, c.config, blobType, c.configDigest)
	case kind == "blobs" && c.layers[name] != nil:
		s.layer(w, r, n, c.layers[name])
	case kind == "blobs":
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", "the manifest does not list it")
	default:
		refuse(w, http.StatusNotFound, "UNSUPPORTED", "only manifests and blobs are served")
	}
}

const blobType = "application/octet-stream"

func head(w http.ResponseWriter, mediaType, digest string, size int64) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.FormatInt(size, 10))
	h.Set("Docker-Content-Digest", digest)
	h.Set("Accept-Ranges", "none")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
}

func document(w http.ResponseWriter, r *http.Request, b []byte, mediaType, digest string) {
	head(w, mediaType, digest, int64(len(b)))
	if r.Method == http.MethodGet {
		_, _ = (&writer{w: w}).Write(b) // who does not read it has given up
	}
}

// layer verifies a layer and hands it on. Its header is sent at once, for the
// scanner waits for the body rather than for an answer; a layer that is found
// to be wrong breaks the answer off before the first byte of it.
func (s *Server) layer(w http.ResponseWriter, r *http.Request, n *session, l *layer) {
	head(w, blobType, l.digest, l.size)
	if r.Method == http.MethodHead {
		return
	}
	_ = http.NewResponseController(w).Flush()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	select {
	case n.slots <- struct{}{}:
		defer func() { <-n.slots }()
	case <-ctx.Done():
		panic(http.ErrAbortHandler)
	}
	err := l.verify(ctx, n.origin, n.work)
	if err == nil {
		err = l.send(ctx, n.origin, n.work, &writer{w: w})
	}
	if err == nil {
		n.served(l.digest)
		s.metrics.layers.WithLabelValues(outcomeVerified).Inc()
		return
	}
	// A scanner that goes away is none of the registry's faults.
	if f, ok := errors.AsType[*report.Failure](err); ok && ctx.Err() == nil {
		s.metrics.count(f)
		s.log.Warn("a layer is not handed on to the scanner", "registry", n.origin.host, "repository", n.image.Repository,
			"digest", n.image.Digest, "layer", l.digest, "message", f.Message, "error", f.Err)
		n.failed(l.digest, f)
	}
	panic(http.ErrAbortHandler)
}

// writer gives a scanner that does not read on a time limit.
type writer struct{ w http.ResponseWriter }

func (w *writer) Write(b []byte) (int, error) {
	control := http.NewResponseController(w.w)
	written := 0
	for len(b) > 0 {
		part := b[:min(len(b), chunkSize)]
		if err := control.SetWriteDeadline(time.Now().Add(chunkTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return written, err
		}
		n, err := w.w.Write(part)
		written += n
		if err != nil {
			return written, err
		}
		if n < len(part) {
			return written, io.ErrShortWrite
		}
		b = b[n:]
	}
	return written, nil
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	type problem struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	writeJSON(w, status, map[string][]problem{"errors": {{code, message}}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the scanner's own loss
}
