package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/open-policy-agent/frameworks/constraint/pkg/externaldata"

	"github.com/imagegate/imagegate/provider/report"
)

const (
	apiVersion   = "externaldata.gatekeeper.sh/v1beta1"
	kindResponse = "ProviderResponse"
	kindRequest  = "ProviderRequest"
)

// transientSuffix makes a key that nobody asks for. "#" occurs neither in a
// reference nor in an encoded query.
const transientSuffix = "#"

// NewResponse wraps items. Idempotent is set: Gatekeeper requires it of
// providers that mutation asks.
func NewResponse(items []externaldata.Item) *externaldata.ProviderResponse {
	return &externaldata.ProviderResponse{
		APIVersion: apiVersion,
		Kind:       kindResponse,
		Response:   externaldata.Response{Idempotent: true, Items: items},
	}
}

// SystemError answers a request that failed as a whole. Gatekeeper does not
// cache it.
func SystemError(message string) *externaldata.ProviderResponse {
	r := NewResponse(nil)
	r.Response.SystemError = report.CleanMessage(message)
	return r
}

// ReportItem answers key with a report. Gatekeeper caches every item under the
// key of the answer, for minutes. So only a final status answers under the
// requested key; any other goes under a key that is never asked for, which
// leaves the requested one unanswered and therefore asked again next time.
// Readers match answers by the reference they are about, not by key.
func ReportItem(key string, r report.ScanReport) externaldata.Item {
	if !r.Status.Final() {
		key += transientSuffix
	}
	return externaldata.Item{Key: key, Value: r}
}

// ErrorItem answers key with an error. Gatekeeper caches it like a value: use
// it only for what no repetition can change, such as a malformed key.
func ErrorItem(key string, err error) externaldata.Item {
	return externaldata.Item{Key: key, Error: report.CleanMessage(err.Error())}
}

// Encode returns the JSON form of an answer. Nothing in it is meant for a
// browser: escaping for one would make a scanner's report of markup six times as
// long.
func Encode(resp *externaldata.ProviderResponse) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(resp); err != nil {
		return nil, fmt.Errorf("encoding a ProviderResponse: %w", err)
	}
	return b.Bytes(), nil
}

// Reports reads the answer to keys out of a response of /scan-reports: one
// report for each key, in order. A key without an answer is report_not_available
// and a key with an error is scan_failed, as every template must read them. The
// error is the response's systemError, or a malformed value.
func Reports(keys []Key, resp *externaldata.ProviderResponse) ([]report.ScanReport, error) {
	if resp.Response.SystemError != "" {
		return nil, fmt.Errorf("the provider answered: %s", resp.Response.SystemError)
	}
	byImage := make(map[string]report.ScanReport, len(resp.Response.Items))
	byOriginal := map[original]report.ScanReport{}
	for _, item := range resp.Response.Items {
		if item.Error != "" {
			ref, _, _ := strings.Cut(strings.TrimSuffix(item.Key, transientSuffix), "?")
			byImage[ref] = report.ScanReport{ImageAndTag: ref, Status: report.ScanFailed, Message: item.Error}
			continue
		}
		r, err := decodeReport(item.Value)
		if err != nil {
			return nil, fmt.Errorf("reading the answer to key %q: %w", item.Key, err)
		}
		if r.Image != "" {
			byOriginal[original{r.Image, r.ImageAndTag}] = r
		}
		byImage[r.Asked()] = r
	}
	out := make([]report.ScanReport, len(keys))
	for i, k := range keys {
		r, ok := byOriginal[original{k.Reference, k.Original}]
		if !ok {
			r, ok = byImage[k.Reference]
			// What was written for another of the Pod's containers.
			if r.Image != "" {
				r.ImageAndTag = r.Image
			}
		}
		if !ok {
			r = report.ScanReport{ImageAndTag: k.Reference, Status: report.NotAvailable, Message: "the provider gave no answer"}
		}
		out[i] = r
	}
	return out, nil
}

// original is an image and what its author wrote.
type original struct{ image, written string }

// decodeReport turns a decoded JSON value into a ScanReport.
func decodeReport(v any) (report.ScanReport, error) {
	if r, ok := v.(report.ScanReport); ok {
		return r, nil
	}
	var r report.ScanReport
	b, err := json.Marshal(v)
	if err != nil {
		return r, fmt.Errorf("encoding the value: %w", err)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("decoding a ScanReport: %w", err)
	}
	if _, err := report.ParseStatus(string(r.Status)); err != nil {
		return r, err
	}
	return r, nil
}
