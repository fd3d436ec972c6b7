package attached

import (
	"errors"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
)

// errMorePages fails the look-up: what is not read might overrule the rest.
var errMorePages = errors.New("the registry hands out its list of referrers in pages, of which only the first is read")

// checkList makes up for what go-containerregistry does with the answer to a
// question for referrers: it reads the first page, and takes a media type with
// parameters for no answer.
func checkList(h http.Header) error {
	if hasNext(h.Values("Link")) {
		return errMorePages
	}
	if t, _, err := mime.ParseMediaType(h.Get("Content-Type")); err == nil && t == string(types.OCIImageIndex) {
		h.Set("Content-Type", t)
	}
	return nil
}

// hasNext reports whether Link headers (RFC 8288) lead on to a next page.
func hasNext(headers []string) bool {
	for part := range strings.FieldsFuncSeq(strings.Join(headers, ","), func(r rune) bool { return r == ',' || r == ';' }) {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		relations := strings.Fields(strings.ToLower(strings.Trim(strings.TrimSpace(value), `"`)))
		if strings.EqualFold(strings.TrimSpace(key), "rel") && slices.Contains(relations, "next") {
			return true
		}
	}
	return false
}
