package plugin

import (
	"fmt"
	"io"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/imagegate/imagegate/provider/report"
)

// maxColumn bounds one text of a table in bytes.
const maxColumn = 160

// column is one of a table for people: of a list's rows, by its key in JSON.
type column struct{ head, key string }

// table prints rows as kubectl does. Pods' authors write some of it, and terminals obey
// control characters.
func table(w io.Writer, columns []column, rows []map[string]any) error {
	out := printers.GetNewTabWriter(w)
	line := func(texts []string) { _, _ = fmt.Fprintln(out, strings.Join(texts, "\t")) } // Flush says what failed
	texts := make([]string, len(columns))
	for i, c := range columns {
		texts[i] = c.head
	}
	line(texts)
	for _, row := range rows {
		for i, c := range columns {
			texts[i] = shown(row[c.key])
		}
		line(texts)
	}
	return out.Flush()
}

// shown is a value of a row; null is what nobody knows.
func shown(value any) string {
	switch v := value.(type) {
	case nil:
		return "not known"
	case string:
		if at, err := time.Parse(time.RFC3339, v); err == nil {
			return duration.HumanDuration(time.Since(at))
		}
		return report.Clean(v, maxColumn)
	default:
		return fmt.Sprint(v)
	}
}
