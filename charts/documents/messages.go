package documents

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Message is a text of the code that a person may read.
type Message struct {
	// At is file:line.
	At string
	// Text has Gap where something is filled in.
	Text string
	// Part is true where it is too short to be looked up, or only the beginning or the
	// end of one: an error that wraps another, a reason that begins with "it".
	Part bool
}

// Gap stands for what a message fills in, in messages and in entries.
const Gap = "..."

// quiet are folders and files whose texts have no entry of their own, and why.
func quiet() map[string]string {
	return map[string]string{
		"provider/review":            "of the command for policy authors, which has a README of its own",
		"provider/admin":             "of `provider queue`, said to who types it",
		"provider/doctor":            "of `provider doctor`: each has its command, and its id is in the runbook",
		"provider/view":              "of pages, which explain themselves beside what they show",
		"provider/report/said.go":    "cells of tables",
		"provider/verdict/effect.go": "cells of pages, with their explanation",
		"provider/store/fill":        "a tool of benchmarks",
		"provider/bucket":            "reach people by the sentences about the store only",
		"provider/backend/attached":  "reasons in the log line 'an attachment is passed over'",
		"templates/gen":              "the generator's",
		"templates/mutate":           "a tool of who changes a policy",
		"templates/regotest":         "a tool of tests",
		"scanner/server":             "answers to a wrong request, said to who speaks the API",
		"scanner/rootfs":             "reasons behind 'container runtimes do not unpack it'",
		"scanner/advisories":         "of the build of the sample database",
	}
}

// Messages returns those of the programs, the templates and the chart.
func Messages(root string) ([]Message, error) {
	var all []Message
	sources, err := Sources(root, false, "provider", "mutator", "scanner", "templates")
	if err != nil {
		return nil, err
	}
	for name, text := range sources {
		if skipped(name) {
			continue
		}
		found, err := goMessages(name, text)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	rego, err := read(root, func(p string) bool {
		lib, _ := path.Match("templates/lib/*.rego", p)
		source, _ := path.Match("templates/*/src.rego", p)
		return (lib || source) && !strings.HasSuffix(p, "_test.rego")
	})
	if err != nil {
		return nil, err
	}
	for name, text := range rego {
		all = append(all, lineMessages(name, text, regoText)...)
	}
	chart, err := read(root, func(p string) bool { return path.Dir(p) == "charts/imagegate/templates" })
	if err != nil {
		return nil, err
	}
	for name, text := range chart {
		all = append(all, lineMessages(name, text, chartText)...)
	}
	slices.SortFunc(all, func(a, b Message) int { return strings.Compare(a.At, b.At) })
	return all, nil
}

// skipped says whether a file's texts are not collected: those of quiet folders, of test
// helpers, and what only describes flags and metrics.
func skipped(name string) bool {
	folder, file := path.Dir(name), path.Base(name)
	if folder == "templates" && !slices.Contains([]string{"custom.go", "input.go", "compared.go", "idle.go", "join.go"}, file) {
		return true // the generator's
	}
	if strings.HasSuffix(folder, "test") || file == "flags.go" || file == "metrics.go" {
		return true
	}
	for q := range quiet() {
		if folder == q || name == q || strings.HasPrefix(folder, q+"/") {
			return true
		}
	}
	return false
}

var (
	verb = regexp.MustCompile(`%[-+# 0]*(?:\[\d+\])?[\d*]*(?:\.\d+)?[a-zA-Z]`)
	gaps = regexp.MustCompile(`(?:\.\.\.\s*){2,}`)
	word = regexp.MustCompile(`(?:^|\s|')[(]?[A-Za-z][a-z']*`)

	regoText  = regexp.MustCompile("\"((?:[^\"\\\\]|\\\\.)*)\"|`([^`]*)`")
	chartText = regexp.MustCompile(`(?:fail|append \$w) \(?(?:printf )?"((?:[^"\\]|\\.)*)"`)
)

// message makes one of a format, or none where it has no words.
func message(at, format string) (Message, bool) {
	part := strings.HasSuffix(format, ": %w") || strings.HasPrefix(format, "it ") || strings.HasPrefix(format, "its ")
	format = strings.ReplaceAll(format, "%%", "%")
	text := strings.TrimSpace(gaps.ReplaceAllString(verb.ReplaceAllString(format, Gap), Gap))
	words := len(word.FindAllString(strings.ReplaceAll(text, Gap, " "), -1))
	return Message{At: at, Text: text, Part: part || words < 3}, words > 0 && !strings.Contains(text, "\n") && !strings.HasPrefix(text, "#")
}

func lineMessages(name, text string, pattern *regexp.Regexp) (found []Message) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for _, m := range pattern.FindAllStringSubmatch(line, -1) {
			format := strings.ReplaceAll(strings.Join(m[1:], ""), `\"`, `"`)
			if msg, ok := message(fmt.Sprintf("%s:%d", name, n), format); ok {
				found = append(found, msg)
			}
		}
	}
	return found
}

// goMessages are the literals of a file that are not what logs, metrics, flags and
// commands describe themselves with.
func goMessages(name, text string) (found []Message, err error) {
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, name, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("read a file of Go: %w", err)
	}
	errorsOnly := slices.Contains([]string{"provider/cli", "provider/plugin", "scanner/cli"}, path.Dir(name))
	add := func(n ast.Node, format string) {
		if msg, ok := message(fmt.Sprintf("%s:%d", name, files.Position(n.Pos()).Line), format); ok {
			found = append(found, msg)
		}
	}
	var visit func(n ast.Node) bool
	visit = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec, *ast.Field:
			return false
		case *ast.KeyValueExpr:
			key, ok := n.Key.(*ast.Ident)
			return !ok || !slices.Contains([]string{"Help", "Use", "Short", "Long", "Example"}, key.Name)
		case *ast.CallExpr:
			if !errorsOnly {
				return !describes(n)
			}
			if makesError(n) && len(n.Args) > 0 {
				if format, ok := joined(n.Args[0]); ok {
					add(n, format)
				}
			}
		case *ast.BinaryExpr, *ast.BasicLit:
			format, ok := joined(n.(ast.Expr))
			if errorsOnly || !ok {
				return true
			}
			add(n, format)
			ast.Inspect(n, func(within ast.Node) bool { // a call's arguments have texts of their own
				call, ok := within.(*ast.CallExpr)
				if ok {
					ast.Inspect(call, visit)
				}
				return !ok
			})
			return false
		}
		return true
	}
	ast.Inspect(f, visit)
	return found, nil
}

func makesError(call *ast.CallExpr) bool {
	s, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := s.X.(*ast.Ident)
	return ok && (pkg.Name == "errors" && s.Sel.Name == "New" || pkg.Name == "fmt" && s.Sel.Name == "Errorf")
}

// describes says whether a call's texts are for logs, metrics, flags or programmers, or
// are looked for in what others say.
func describes(call *ast.CallExpr) bool {
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		return fun.Name == "panic"
	case *ast.SelectorExpr:
		if pkg, ok := fun.X.(*ast.Ident); ok && (pkg.Name == "prometheus" || pkg.Name == "strings") {
			return true
		}
		return strings.HasSuffix(fun.Sel.Name, "Var") || slices.Contains([]string{
			"Info", "Warn", "Error", "Debug", "InfoContext", "WarnContext", "ErrorContext", "DebugContext", "Log", "LogAttrs", "MustCompile", "NewDesc",
		}, fun.Sel.Name)
	}
	return false
}

// joined is a literal, or literals with other things between them, as one format.
func joined(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return "", false
		}
		left, l := joined(e.X)
		right, r := joined(e.Y)
		if !l && !r {
			return "", false
		}
		if !l {
			left = "%s"
		}
		if !r {
			right = "%s"
		}
		return left + right, true
	case *ast.ParenExpr:
		return joined(e.X)
	}
	return "", false
}

// Entry is a message that a document explains.
type Entry string

// Entries are what is between backquotes in the first cells of a document's tables.
func Entries(text string) (all []Entry) {
	for _, table := range Tables(text) {
		for _, row := range table[1:] {
			for _, span := range CodeSpans(row[0]) {
				all = append(all, Entry(span))
			}
		}
	}
	return all
}

// Explains reports whether the entry's words are in a message, in their order.
func (e Entry) Explains(m Message) bool {
	rest := m.Text
	for piece := range strings.SplitSeq(string(e), Gap) {
		piece = strings.TrimSpace(piece)
		_, after, ok := strings.Cut(rest, piece)
		if !ok {
			return false
		}
		rest = after
	}
	return true
}
