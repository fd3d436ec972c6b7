package report

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// View selects how much of a report an answer carries.
type View string

const (
	// ViewSummary is at most MaxSummaryBytes whatever the image: the default.
	ViewSummary View = "summary"
	// ViewFindings adds the list of vulnerabilities.
	ViewFindings View = "findings"
	// ViewFull adds the scanner's own report as well.
	ViewFull View = "full"
)

// ParseView reads a view; empty means ViewSummary.
func ParseView(s string) (View, error) {
	switch v := View(s); v {
	case "":
		return ViewSummary, nil
	case ViewSummary, ViewFindings, ViewFull:
		return v, nil
	}
	return "", fmt.Errorf("view %q must be one of %s, %s, %s", s, ViewSummary, ViewFindings, ViewFull)
}

// MaxSummaryBytes bounds the JSON form of a report in the summary view.
const MaxSummaryBytes = 4096

// Scanners pass on what an image's author wrote (package names, versions), so
// every string that reaches a message or a summary is bounded.
const (
	maxID      = 64
	maxPackage = 128
	maxVersion = 64
	maxReason  = 160
	// maxPlatform is longer than any platform's name.
	maxPlatform = 40
	maxMessage  = 512
	// minMessage is what is left of a message at least.
	minMessage = 64
)

// Render fills in the parts of r that view asks for from scan and keeps its
// JSON form within maxBytes (for ViewSummary: MaxSummaryBytes). What does not
// fit goes in this order: the scanner's own report, then findings from the
// least severe end; Truncated and Message say so.
func Render(r ScanReport, scan *Scan, view View, maxBytes int) (ScanReport, error) {
	r, _, err := Fit(r, scan, view, maxBytes)
	return r, err
}

// Fit is Render with the size of the report's JSON form, which is no less than
// that of the form without escapes for HTML.
func Fit(r ScanReport, scan *Scan, view View, maxBytes int) (ScanReport, int, error) {
	r.Message = Clean(r.Message, maxMessage)
	if scan == nil {
		return measured(r)
	}
	r.Scanner, r.ScannedAt, r.DatabaseBuiltAt = Clean(scan.Scanner, maxPackage), scan.ScannedAt, scan.DatabaseBuiltAt
	if !scan.Unlisted {
		r.Summary = Summarize(scan.Vulnerabilities)
		r.Summary.Coverage, r.Summary.Risk = scan.Coverage.clean(), scan.risk()
	}
	if view == ViewSummary || view == "" {
		return fitSummary(r)
	}
	return fitFindings(r, scan, view, maxBytes)
}

// fitSummary shortens the longer of the two lists until the report fits, and
// then the message: characters that JSON escapes grow sixfold.
func fitSummary(r ScanReport) (ScanReport, int, error) {
	for {
		n, err := size(r)
		if err != nil || n <= MaxSummaryBytes {
			return r, n, err
		}
		s := r.Summary
		if s == nil {
			s = &Summary{}
		}
		switch {
		case len(s.Worst) > 0 && len(s.Worst) >= len(s.SuppressedBy):
			s.Worst, s.Omitted = s.Worst[:len(s.Worst)-1], s.Omitted+1
		case len(s.SuppressedBy) > 0:
			s.SuppressedBy = s.SuppressedBy[:len(s.SuppressedBy)-1]
		case len(r.Message) > minMessage:
			r.Message = Clean(r.Message, len(r.Message)/2)
		default:
			return r, n, nil
		}
	}
}

func fitFindings(r ScanReport, scan *Scan, view View, maxBytes int) (ScanReport, int, error) {
	_, base, err := measured(r)
	if err != nil {
		return r, 0, err
	}
	// Room for the field names, the Truncated flag and the note in Message.
	const overhead = 256
	room := maxBytes - base - overhead
	if room < 0 {
		r, n, err := fitSummary(r)
		return Cut(r, "no room was left for more than the summary"), n + overhead, err
	}
	kept := 0
	for _, v := range scan.Vulnerabilities {
		n, err := size(v)
		if err != nil {
			return r, 0, err
		}
		if n+1 > room {
			break
		}
		room -= n + 1
		kept++
	}
	r.Vulnerabilities = scan.Vulnerabilities[:kept]
	switch {
	case kept < len(scan.Vulnerabilities):
		r = Cut(r, fmt.Sprintf("report cut to its %d worst of %d findings", kept, len(scan.Vulnerabilities)))
	case view == ViewFull && (len(scan.Inner) > room || scan.InnerLeftOut > 0):
		r = Cut(r, fmt.Sprintf("the scanner's own report of %d bytes is over the limit and left out", max(len(scan.Inner), scan.InnerLeftOut)))
	case view == ViewFull && len(scan.Inner) > 0:
		r.InnerReport = scan.Inner
		room -= len(scan.Inner)
	}
	return r, maxBytes - room, nil
}

// Cut says of a report that something is missing, and what.
func Cut(r ScanReport, note string) ScanReport {
	r.Truncated = true
	r.Message = strings.TrimPrefix(r.Message+" ("+note+")", " ")
	return r
}

func measured(r ScanReport) (ScanReport, int, error) {
	n, err := size(r)
	return r, n, err
}

func size(v any) (int, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return 0, fmt.Errorf("measuring a report: %w", err)
	}
	return len(b), nil
}

// CleanMessage cuts a message to the length that reports carry, and cleans it.
func CleanMessage(s string) string { return Clean(s, maxMessage) }

// Clean cuts s to at most n bytes and replaces what is not printable: such
// characters would grow sixfold in JSON and could forge log lines.
func Clean(s string, n int) string {
	if len(s) > n {
		const ellipsis = "..."
		s = strings.ToValidUTF8(s[:n-len(ellipsis)], "") + ellipsis
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
