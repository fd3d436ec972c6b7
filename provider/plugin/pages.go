package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/imagegate/imagegate/provider/exit"
	"github.com/imagegate/imagegate/provider/report"
)

const (
	// maxAnswer bounds one answer of the report pages, in bytes.
	maxAnswer = 32 << 20
	// pageRows are asked for at once.
	pageRows = "1000"
)

// answered is a list of the report pages, as JSON has it.
type answered struct {
	Rows  []map[string]any `json:"rows"`
	Total int              `json:"total"`
	// Warnings say what may be missing.
	Warnings []string `json:"warnings"`
}

// read asks a provider's report pages for a whole list.
func (l *listing) read(ctx context.Context, path string, query url.Values) (*answered, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if l.pages != "" {
		base, err := pagesAt(l.pages)
		if err != nil {
			return nil, err
		}
		return readAll(ctx, base, path, query)
	}
	t, err := l.from.open(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer t.close()
	return readAll(ctx, "http://127.0.0.1:"+strconv.Itoa(t.port), path, query)
}

// pagesAt is an address that --pages gives, without a slash at its end.
func pagesAt(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("--pages %s: must be an address such as http://127.0.0.1:8090", address)
	}
	return u.Scheme + "://" + u.Host, nil
}

// readAll reads a list, however many pages it takes.
func readAll(ctx context.Context, base, path string, query url.Values) (*answered, error) {
	query.Set("size", pageRows)
	all := &answered{Rows: []map[string]any{}, Warnings: []string{}}
	next := path + ".json?" + query.Encode()
	for next != "" {
		var page struct {
			answered
			Next string `json:"next"`
		}
		if err := readPage(ctx, base+next, &page); err != nil {
			return nil, err
		}
		if page.Next != "" && len(page.Rows) == 0 {
			return nil, fmt.Errorf("the report pages: there is no end to %s", path)
		}
		all.Rows = append(all.Rows, page.Rows...)
		all.Total, all.Warnings, next = page.Total, page.Warnings, page.Next
	}
	return all, nil
}

func readPage(ctx context.Context, at string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("asking the report pages: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the report pages: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		const most = 1 << 10
		return fmt.Errorf("the report pages: %s: %s", response.Status, report.Clean(strings.TrimSpace(string(b)), most))
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("reading the report pages: %w", err)
	}
	return nil
}

// warn tells people what may be missing.
func (a *answered) warn(w io.Writer) {
	for _, warning := range a.Warnings {
		_, _ = fmt.Fprintln(w, "warning:", report.Clean(warning, maxLine)) // the answer says it too
	}
}

// nothing is an error where there is no row although there may be some.
func (a *answered) nothing(said string) error {
	if a.Total > 0 || len(a.Warnings) == 0 {
		return nil
	}
	return &exit.Error{Code: failedCode, Err: errors.New(said + ", and not all is known: that is no good news")}
}
