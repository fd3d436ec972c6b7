package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/open-policy-agent/frameworks/constraint/pkg/externaldata"
)

// Limits bounds one ProviderRequest.
type Limits struct {
	// BodyBytes bounds the request body.
	BodyBytes int64
	// Keys bounds how many keys a request may have, duplicates included.
	Keys int
	// KeyBytes bounds one key.
	KeyBytes int
}

// ReadRequest reads a ProviderRequest and returns its keys in order of first
// appearance, without duplicates. An error means the request as a whole is
// refused and is a sentence for its sender. A key over KeyBytes is returned
// like any other: CheckKey tells, so that one bad image does not fail a Pod's
// other images with an unclear error.
func ReadRequest(body io.Reader, limits Limits) ([]string, error) {
	var req externaldata.ProviderRequest
	dec := json.NewDecoder(body)
	if err := dec.Decode(&req); err != nil {
		if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, fmt.Errorf("request body is over the limit of %d bytes", tooLarge.Limit)
		}
		return nil, fmt.Errorf("request body is not a ProviderRequest: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("request body has data after the ProviderRequest")
	}
	if req.APIVersion != apiVersion || req.Kind != kindRequest {
		return nil, fmt.Errorf("request is %q %q, want %q %q", req.APIVersion, req.Kind, apiVersion, kindRequest)
	}
	if n := len(req.Request.Keys); n > limits.Keys {
		return nil, fmt.Errorf("request has %d keys, over the limit of %d", n, limits.Keys)
	}
	return distinct(req.Request.Keys), nil
}

// CheckKey reports a key that is over the limit.
func (l Limits) CheckKey(key string) error {
	if len(key) > l.KeyBytes {
		return fmt.Errorf("key is %d bytes long, over the limit of %d", len(key), l.KeyBytes)
	}
	return nil
}

func distinct(keys []string) []string {
	seen := make(map[string]bool, len(keys))
	out := make([]string, 0, len(keys))
	for _, k := range keys {
		if !seen[k] {
			seen[k] = true
			out = append(out, k)
		}
	}
	return out
}
