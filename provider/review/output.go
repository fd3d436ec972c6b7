package review

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// document of the JSON output.
type resultsDocument struct {
	Results []Result `json:"results"`
}

func writeJSON(w io.Writer, results []Result) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	// Messages are for people, and "<none>" reads better than its escapes.
	enc.SetEscapeHTML(false)
	if err := enc.Encode(resultsDocument{Results: results}); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	return nil
}

// writeText prints one block for each object, with the messages as the API
// server would print them.
func writeText(w io.Writer, results []Result) error {
	var b bytes.Buffer
	denied := 0
	for _, r := range results {
		word := "allowed"
		if !r.Allowed {
			word = "denied"
			denied++
		}
		fmt.Fprintf(&b, "%-8s %s %s\n", word, r.Kind, r.Object)
		for _, v := range r.Violations {
			_, name, _ := strings.Cut(v.Constraint, "/")
			fmt.Fprintf(&b, "  %-7s [%s] %s\n", v.EnforcementAction, name, indented(v.Message))
		}
		if len(r.Scanned) > 0 {
			fmt.Fprintf(&b, "  %-7s %s\n", "scanned", strings.Join(r.Scanned, ", "))
		}
		for _, x := range r.Explained {
			if err := writeExplanation(&b, x); err != nil {
				return err
			}
		}
	}
	if len(results) > 1 {
		fmt.Fprintf(&b, "%d objects, %d denied\n", len(results), denied)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	return nil
}

func writeExplanation(b *bytes.Buffer, x Explanation) error {
	unasked := ""
	if !x.Asked {
		unasked = " (not evaluated: nobody asked for its report)"
	}
	fmt.Fprintf(b, "  # input of deny_image: Pod %s, %s, image %s%s\n", x.Pod, x.Container, x.Image, unasked)
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, x.Input, "", "  "); err != nil {
		return fmt.Errorf("writing an explanation: %w", err)
	}
	b.Write(pretty.Bytes())
	b.WriteByte('\n')
	return nil
}

// indented keeps the further lines of a message under its first.
func indented(message string) string {
	return strings.ReplaceAll(strings.TrimRight(message, "\n"), "\n", "\n          ")
}
