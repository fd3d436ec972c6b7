package view

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/strict"
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

// leastCell is a number that may be larger.
func leastCell(n int) cell { return cell{Text: "at least " + strconv.Itoa(n)} }

// writeCSV writes a table for a spreadsheet, which must not take a text for a formula.
// notes say what is not in it. Each is a last record of as many fields as the others: it
// is seen in a spreadsheet, and a script that takes it for a row stumbles over it, where
// nobody would look at a header of the answer.
func (t *table) writeCSV(w io.Writer, notes []string) error {
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
	for _, note := range notes {
		line := make([]string, len(t.Columns))
		line[0] = "# " + note
		if err := out.Write(line); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// text is all that is read in a cell.
func (c *cell) text() string { return strings.Join(append([]string{c.Text}, c.More...), "; ") }

// tame has a spreadsheet read a text as a text. Some take a semicolon for the end of a
// cell, whatever the file says, and some signs in full width for the signs.
func tame(s string) string {
	for part := range strings.SplitSeq(s, ";") {
		part = strings.TrimSpace(part)
		if first, _ := utf8.DecodeRuneInString(part); part != "" && part != "-" && strings.ContainsRune("=+-@＝＋－＠", first) {
			return "'" + strings.ReplaceAll(s, ";", ",")
		}
	}
	return s
}

// export is a list in JSON.
type export struct {
	Rows []map[string]any `json:"rows"`
	// From and To are which of Total these are, counted from one.
	From  int `json:"from"`
	To    int `json:"to"`
	Total int `json:"total"`
	// Next is where the rows after these are; empty for the last.
	Next string `json:"next,omitempty"`
	// Warnings say what may be missing in Total, and why.
	Warnings []string `json:"warnings"`
}

// writeJSON writes a table as an export.
func (t *table) writeJSON(w io.Writer, p pager, warnings []string) error {
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
	return e.Encode(export{Rows: rows, From: p.From, To: p.To, Total: p.Total, Next: p.nextAs(endingJSON), Warnings: append([]string{}, warnings...)})
}

// query is what a list is asked for: all of it is in the address, so that every view is
// a link.
type query struct {
	path   string
	values url.Values
	// wrong is what cannot be asked for, in sentences: a filter that is left out shows
	// what nobody asked for.
	wrong *[]string
}

const (
	defaultSize = 50
	maxSize     = 1000
	// maxParameter bounds one parameter, in bytes.
	maxParameter = 256
)

// readQuery takes the parameters that a list knows.
func readQuery(u *url.URL, path string, known ...string) query {
	q := query{path: path, values: url.Values{}, wrong: new([]string)}
	in, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		q.refuse("The parameters cannot be read: %v.", err)
	}
	known = append(known, "sort", "page", "size")
	for _, name := range slices.Sorted(maps.Keys(in)) {
		switch values := in[name]; {
		case !slices.Contains(known, name):
			q.refuse("There is no parameter %q here, only %s.", clean(name), strings.Join(known, ", "))
		case len(values) > 1:
			q.refuse("The parameter %s is given %d times.", name, len(values))
		case len(values[0]) > maxParameter:
			q.refuse("The parameter %s has %d bytes; it may have %d.", name, len(values[0]), maxParameter)
		case values[0] != "":
			q.values.Set(name, values[0])
		}
	}
	return q
}

func (q query) refuse(format string, args ...any) {
	*q.wrong = append(*q.wrong, fmt.Sprintf(format, args...))
}

// among reports whether the value of a parameter is one of those allowed, and refuses it
// otherwise.
func (q query) among(name, value string, allowed ...string) bool {
	err := strict.OneOf(value, allowed...)
	if err != nil {
		q.refuse("The parameter %s is %q: %v.", name, clean(q.get(name)), err)
	}
	return err == nil
}

func (q query) get(name string) string { return q.values.Get(name) }

// one returns a parameter that is one of several values, the first of them where it is
// not given.
func (q query) one(name string, allowed ...string) string {
	if v := q.get(name); v != "" && q.among(name, v, allowed...) {
		return v
	}
	return allowed[0]
}

// only says that a filter is on which shows only what has something.
func (q query) only(name string) bool { return q.one(name, anyValue, yes) == yes }

// severity is the least that is shown, if there is one.
func (q query) severity() (least report.Severity, given bool) { return q.severityOf("severity") }

func (q query) severityOf(name string) (s report.Severity, given bool) {
	v := q.get(name)
	if v == "" {
		return s, false
	}
	s, given = report.SeverityOf(v)
	if !given {
		q.among(name, v, severityNames()...)
	}
	return s, given
}

// number is one from one up.
func (q query) number(name string, otherwise int) int {
	v := q.get(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		q.refuse("The parameter %s is %q, which is no number from 1 up.", name, clean(v))
		return otherwise
	}
	return n
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
	if s == "" {
		return allowed[0], false
	}
	by, turned = strings.CutPrefix(s, "-")
	if !q.among("sort", by, allowed...) {
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

	query query
	page  int
}

// nextAs is where the next part is in another format; empty where there is none.
func (p pager) nextAs(ending string) string {
	if p.Next == "" {
		return ""
	}
	q := p.query
	q.path += ending
	return q.with("page", strconv.Itoa(p.page+1))
}

// rest says that a list has more than is shown.
func (p pager) rest() []string {
	if p.Total == p.To-p.From+1 || p.Total == 0 {
		return nil
	}
	return []string{"These are " + p.String() + ": others are on other pages (parameters page and size)."}
}

// pages cuts a list to the page that is asked for.
func pages[T any](q query, all []T, noun string) ([]T, pager) {
	size := q.number("size", defaultSize)
	if size > maxSize {
		q.refuse("The parameter size is %d; it may be %d.", size, maxSize)
		size = maxSize
	}
	last := max((len(all)+size-1)/size, 1)
	n := min(q.number("page", 1), last) // the list may have got shorter
	from := (n - 1) * size
	to := min(from+size, len(all))
	p := pager{From: from + 1, To: to, Total: len(all), Noun: noun, query: q, page: n}
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

// orders compare rows, by the names of what they are sorted by.
type orders[T any] map[string]func(a, b T) int

// sortBy sorts by one of the orders, turned round where that is asked for, and what is
// alike then by the others that are named.
func sortBy[T any](all []T, by string, turned bool, in orders[T], then ...string) {
	slices.SortFunc(all, func(a, b T) int {
		n := in[by](a, b)
		if turned {
			n = -n
		}
		for i := 0; n == 0 && i < len(then); i++ {
			n = in[then[i]](a, b)
		}
		return n
	})
}
