package view

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/imagegate/imagegate/provider/report"
)

// table is a list as it is shown: the page, its CSV and its JSON are three ways to
// write one.
type table struct {
	Columns []column
	Rows    [][]cell
}

// The classes of columns: numbers, sentences, and texts of which the beginning is enough
// to see.
const (
	numbers = "number"
	long    = "long"
	brief   = "brief"
)

// column is one of a table.
type column struct {
	// Key names it in CSV and JSON, Name on the page.
	Key, Name string
	// Class is for how it looks: one of those below, or empty.
	Class string
	// Sort is the link that sorts by it; empty where that cannot be.
	Sort string
	// Sorted is "ascending" or "descending" for the one that the rows are sorted by.
	Sorted string
}

// cell is one value.
type cell struct {
	// Text is how it is read.
	Text string
	// Value is for JSON; nil is Text, unless it is Unknown.
	Value any
	// Unknown says that nobody knows it: JSON has null.
	Unknown bool
	Link    string
	// Class is for how it looks, Status for one of the four.
	Class  string
	Status report.Status
	// More are further lines.
	More []string
}

func textCell(s string) cell { return cell{Text: clean(s)} }

func unknown() cell { return cell{Text: "not known", Unknown: true} }

func numberCell(n int) cell { return cell{Text: strconv.Itoa(n), Value: n} }

// writeCSV writes a table for a spreadsheet, which must not take a text for a formula.
func (t *table) writeCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	head := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		head[i] = c.Key
	}
	if err := out.Write(head); err != nil {
		return err
	}
	for _, row := range t.Rows {
		line := make([]string, len(row))
		for i, c := range row {
			line[i] = tame(c.text())
		}
		if err := out.Write(line); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// text is all that is read in a cell.
func (c *cell) text() string { return strings.Join(append([]string{c.Text}, c.More...), "; ") }

// tame has a spreadsheet read a text as a text.
func tame(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) && s != "-" {
		return "'" + s
	}
	return s
}

// writeJSON writes a table as a list of objects.
func (t *table) writeJSON(w io.Writer) error {
	rows := make([]map[string]any, len(t.Rows))
	for n, row := range t.Rows {
		rows[n] = map[string]any{}
		for i, c := range row {
			value := c.Value
			switch {
			case c.Unknown:
				value = nil
			case value == nil:
				value = c.text()
			}
			rows[n][t.Columns[i].Key] = value
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(rows)
}

// query is what a list is asked for: all of it is in the address, so that every view is
// a link.
type query struct {
	path   string
	values url.Values
}

const (
	defaultSize = 50
	maxSize     = 1000
	// maxParameter bounds one parameter, in bytes.
	maxParameter = 256
)

// readQuery takes the parameters that a list knows; others are left out of its links.
func readQuery(u *url.URL, path string, known ...string) query {
	q := query{path: path, values: url.Values{}}
	in := u.Query()
	for _, name := range append(known, "sort", "page", "size") {
		if v := in.Get(name); v != "" && len(v) <= maxParameter {
			q.values.Set(name, v)
		}
	}
	return q
}

func (q query) get(name string) string { return q.values.Get(name) }

// one returns a parameter that is one of several values, else the first of them.
func (q query) one(name string, allowed ...string) string {
	if v := q.get(name); slices.Contains(allowed, v) {
		return v
	}
	return allowed[0]
}

func (q query) number(name string, otherwise, most int) int {
	n, err := strconv.Atoi(q.get(name))
	if err != nil || n < 1 {
		return otherwise
	}
	return min(n, most)
}

// with is the address with some parameters otherwise; empty ones are left out.
func (q query) with(pairs ...string) string {
	v := url.Values{}
	for name, value := range q.values {
		v[name] = value
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Del(pairs[i])
		if pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	return address(q.path, v)
}

// as is the same list in another format: .csv or .json.
func (q query) as(ending string) string { return address(q.path+ending, q.values) }

func address(path string, v url.Values) string {
	if len(v) == 0 {
		return path
	}
	return path + "?" + v.Encode()
}

// sorting is the column that a list is sorted by, and whether it is the other way
// round: "scanned", "-scanned".
func (q query) sorting(allowed ...string) (by string, turned bool) {
	s := q.get("sort")
	by, turned = strings.CutPrefix(s, "-")
	if !slices.Contains(allowed, by) {
		return allowed[0], false
	}
	return by, turned
}

// head makes the columns with their links; by and turned are those of sorting.
func (q query) head(by string, turned bool, columns ...column) []column {
	for i := range columns {
		c := &columns[i]
		if c.Sort == "" {
			continue
		}
		key, next := c.Sort, c.Sort
		if key == by {
			c.Sorted = "descending"
			if turned {
				c.Sorted = "ascending"
			} else {
				next = "-" + key
			}
		}
		c.Sort = q.with("sort", next, "page", "")
	}
	return columns
}

// pager tells which part of a list is shown.
type pager struct {
	From, To, Total     int
	First, Before, Next string
	Noun                string
}

// pages cuts a list to the page that is asked for.
func pages[T any](q query, all []T, noun string) ([]T, pager) {
	size := q.number("size", defaultSize, maxSize)
	last := max((len(all)+size-1)/size, 1)
	n := q.number("page", 1, last)
	from := (n - 1) * size
	to := min(from+size, len(all))
	p := pager{From: from + 1, To: to, Total: len(all), Noun: noun}
	if len(all) == 0 {
		p.From = 0
	}
	if n > 1 {
		p.First, p.Before = q.with("page", ""), q.with("page", strconv.Itoa(n-1))
	}
	if n < last {
		p.Next = q.with("page", strconv.Itoa(n+1))
	}
	return all[from:to], p
}

// String says what is shown.
func (p pager) String() string {
	if p.Total == 0 {
		return "No " + p.Noun + " to show"
	}
	return fmt.Sprintf("%d to %d of %d %s", p.From, p.To, p.Total, p.Noun)
}
