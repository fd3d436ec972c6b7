package server

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/harbor"
	"github.com/imagegate/imagegate/scanner/jobs"
)

// accept is POST /api/v1/scan.
func (s server) accept(w http.ResponseWriter, r *http.Request) {
	version, ok := harbor.RequestVersion(r.Header.Get("Content-Type"))
	if !ok {
		s.fail(w, http.StatusUnsupportedMediaType, failure.New(failure.BadRequest,
			"Content-Type must be %q", harbor.WithVersion(harbor.TypeScanRequest, harbor.Version11)))
		return
	}
	mediaType := harbor.WithVersion(harbor.TypeScanResponse, version)
	if _, ok := harbor.Negotiate(r.Header.Get("Accept"), mediaType, harbor.WithVersion(harbor.TypeScanResponse, harbor.Version11)); !ok {
		s.fail(w, http.StatusNotAcceptable, failure.New(failure.BadRequest, "the answer can only be %q", mediaType))
		return
	}
	req, status, f := s.decode(w, r)
	if f == nil {
		status, f = s.check(req)
	}
	if f != nil {
		s.fail(w, status, f)
		return
	}
	if err := s.Database.Ready(); err != nil {
		w.Header().Set("Retry-After", "30")
		s.fail(w, http.StatusServiceUnavailable, failure.Of(err))
		return
	}
	share := r.Header.Get(harbor.HeaderShare)
	if len(share) > maxField {
		s.fail(w, http.StatusBadRequest, failure.New(failure.BadRequest, "%s has more than %d bytes", harbor.HeaderShare, maxField))
		return
	}
	id, err := s.Queue.Add(req, share)
	if err != nil {
		w.Header().Set("Retry-After", "5")
		s.fail(w, http.StatusTooManyRequests, failure.Of(err))
		return
	}
	s.write(w, http.StatusAccepted, mediaType, harbor.ScanResponse{ID: id})
}

func (s server) decode(w http.ResponseWriter, r *http.Request) (req harbor.ScanRequest, status int, f *failure.Failure) {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, s.BodyLimit))
	err := dec.Decode(&req)
	if err == nil {
		// One document, and nothing after it.
		if _, more := dec.Token(); errors.Is(more, io.EOF) {
			return req, 0, nil
		}
		err = errors.New("there is more than one document")
	}
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return req, http.StatusRequestEntityTooLarge, failure.New(failure.BadRequest, "the request has more than %d bytes", s.BodyLimit)
	}
	return req, http.StatusBadRequest, failure.Wrap(failure.BadRequest, err, "the request is not a scan request in JSON")
}

var (
	// From the distribution specification: path components and digests.
	repository = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	digest     = regexp.MustCompile(`^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)
	tag        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
)

// maxField bounds the fields of a request.
const maxField = 1024

// check looks at the fields; the answer names the one that is wrong.
func (s server) check(req harbor.ScanRequest) (int, *failure.Failure) {
	bad := func(format string, args ...any) (int, *failure.Failure) {
		return http.StatusUnprocessableEntity, failure.New(failure.BadRequest, format, args...)
	}
	u, err := url.Parse(req.Registry.URL)
	switch {
	case err != nil, u.Host == "", len(req.Registry.URL) > maxField:
		return bad("registry.url must be a URL with scheme and host")
	case u.Scheme != "https" && u.Scheme != "http":
		return bad("registry.url must begin with https:// or http://")
	case u.User != nil, u.RawQuery != "", u.Fragment != "", u.Path != "" && u.Path != "/":
		return bad("registry.url must have a scheme, a host and nothing else")
	case u.Scheme == "http" && !s.PlainHTTP(u.Host):
		return bad("registry.url: %s may not be reached without TLS; list it in the scanner worker's insecure registries", u.Host)
	case len(req.Artifact.Repository) > maxField || !repository.MatchString(req.Artifact.Repository):
		return bad("artifact.repository must be a repository name in lower case")
	case !digest.MatchString(req.Artifact.Digest):
		return bad("artifact.digest must be a digest like sha256:...; scans are by digest only")
	case req.Artifact.Tag != "" && !tag.MatchString(req.Artifact.Tag):
		return bad("artifact.tag is not a tag")
	case !supported(req.Artifact.MimeType):
		return http.StatusUnprocessableEntity, failure.New(failure.Unsupported, "artifacts of type %.100q are not scanned", req.Artifact.MimeType)
	case !authorization(req.Registry.Authorization):
		return bad("registry.authorization must be empty, Basic or Bearer")
	default:
		return 0, nil
	}
}

// supported lets an absent type pass: the manifest itself decides.
func supported(mediaType string) bool {
	return mediaType == "" || mediaType == harbor.TypeOCIManifest || mediaType == harbor.TypeDockerManifest
}

func authorization(header string) bool {
	scheme, value, found := strings.Cut(header, " ")
	return header == "" || found && strings.TrimSpace(value) != "" && (strings.EqualFold(scheme, "Basic") || strings.EqualFold(scheme, "Bearer"))
}

// report is GET /api/v1/scan/{id}/report.
func (s server) report(w http.ResponseWriter, r *http.Request) {
	mediaType, ok := harbor.Negotiate(r.Header.Get("Accept"),
		harbor.WithVersion(harbor.TypeReport, harbor.Version11),
		harbor.WithVersion(harbor.TypeReport, harbor.Version10),
		harbor.WithVersion(harbor.TypeReportLegacy, harbor.Version11),
		harbor.WithVersion(harbor.TypeReportLegacy, harbor.Version10),
	)
	if !ok {
		s.fail(w, http.StatusNotAcceptable, failure.New(failure.BadRequest,
			"the report can only be %q", harbor.WithVersion(harbor.TypeReport, harbor.Version11)))
		return
	}
	switch res := s.Queue.Get(chi.URLParam(r, "id")); res.State {
	case jobs.Pending:
		w.Header().Set("Refresh-After", strconv.Itoa(seconds(s.Refresh)))
		w.Header().Set("Location", r.URL.Path)
		w.WriteHeader(http.StatusFound)
	case jobs.Done:
		s.send(w, http.StatusOK, mediaType, res.Report)
	case jobs.Failed:
		s.fail(w, http.StatusInternalServerError, res.Failure)
	default:
		s.fail(w, http.StatusNotFound, failure.New(failure.UnknownScan, "there is no scan with this identifier (any more); start it again"))
	}
}

// cancel is DELETE /api/v1/scan/{id}, which is not in Harbor's API: the asker does
// not wait for the report any more.
func (s server) cancel(w http.ResponseWriter, r *http.Request) {
	if !s.Queue.Cancel(chi.URLParam(r, "id")) {
		s.fail(w, http.StatusNotFound, failure.New(failure.UnknownScan, "there is no scan with this identifier that has not ended"))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func seconds(d time.Duration) int { return max(1, int(math.Ceil(d.Seconds()))) }
