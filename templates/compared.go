package templates

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// constantsOf are the rules of a file that are names for something written out: a word,
// a number, a set of words.
func constantsOf(module *ast.Module) map[ast.Var]*ast.Term {
	constants := map[ast.Var]*ast.Term{}
	for _, rule := range module.Rules {
		name := ast.Var(ruleName(rule))
		if _, twice := constants[name]; twice {
			constants[name] = nil
			continue
		}
		constants[name] = nil
		if len(rule.Head.Args) == 0 && rule.Head.Value != nil && rule.Else == nil && always(rule.Body) && rule.Head.RuleKind() == ast.SingleValue {
			constants[name] = rule.Head.Value
		}
	}
	return constants
}

// always reports whether a body is the one of name := value, which always holds.
func always(body ast.Body) bool {
	return len(body) == 1 && body[0].Equal(ast.NewExpr(ast.BooleanTerm(true)))
}

// comparison looks at what a rule holds against words that are written out.
type comparison struct {
	schema    schema
	names     variables
	constants map[ast.Var]*ast.Term
}

// literal is what a term is as it is written out, or as the constant says that it names.
func (c comparison) literal(term *ast.Term) *ast.Term {
	name, ok := term.Value.(ast.Var)
	if !ok {
		return term
	}
	if given, ok := c.names.literals[name]; ok {
		term = given
	} else if constant := c.constants[name]; constant != nil {
		if _, assigned := c.names.of[name]; !assigned {
			term = constant
		}
	}
	return term
}

// word is the text that a term is; false where it is none or is not known.
func (c comparison) word(term *ast.Term) (string, bool) {
	if term = c.literal(term); term == nil {
		return "", false
	}
	word, ok := term.Value.(ast.String)
	return string(word), ok
}

// wrong says what can never be in an expression; empty where nothing is wrong.
func (c comparison) wrong(e *ast.Expr) []error {
	if !e.IsCall() || len(e.Operands()) < 2 {
		return nil
	}
	a, b := e.Operands()[0], e.Operands()[1]
	switch operator := e.Operator().String(); operator {
	case ast.Equality.Name, ast.Equal.Name, ast.NotEqual.Name:
		return append(c.never(a, b), c.never(b, a)...)
	case ast.Member.Name:
		return c.neverAmong(a, b)
	case ast.GreaterThan.Name, ast.GreaterThanEq.Name, ast.LessThan.Name, ast.LessThanEq.Name:
		return append(c.unordered(a, b), c.unordered(b, a)...)
	case ast.StartsWith.Name, ast.EndsWith.Name, ast.Contains.Name:
		return c.neverPart(a, b, operator)
	}
	return nil
}

// never says that a part of input is never the word that it is held against.
func (c comparison) never(part, against *ast.Term) []error {
	word, ok := c.word(against)
	if !ok {
		return nil
	}
	fold, inner := folded(part)
	written := referenced(inner)
	if written == nil && !isRef(inner) {
		if fold != nil && fold(word) != word {
			return []error{fmt.Errorf("%s is never %q: write %q", part, word, fold(word))}
		}
		return nil
	}
	words := c.schema.words(c.names, written)
	if fold == nil {
		if len(words) == 0 || slices.Contains(words, word) {
			return nil
		}
		return []error{fmt.Errorf("%s is never %q, only %s%s", written, word, strings.Join(present(words), ", "), didYouMean(word, words))}
	}
	if fold(word) != word {
		return []error{fmt.Errorf("%s is never %q: write %q", part, word, fold(word))}
	}
	for i, known := range words {
		words[i] = fold(known)
	}
	if len(words) == 0 || slices.Contains(words, word) {
		return nil
	}
	return []error{fmt.Errorf("%s is never %q, only %s%s", part, word, strings.Join(present(words), ", "), didYouMean(word, words))}
}

func isRef(term *ast.Term) bool { return referenced(term) != nil }

// folded is what lower or upper makes of a text, and the text; nil and the term itself
// for any other term.
func folded(term *ast.Term) (fold func(string) string, of *ast.Term) {
	const callOfOne = 2
	call, ok := term.Value.(ast.Call)
	if !ok || len(call) != callOfOne {
		return nil, term
	}
	switch call[0].String() {
	case ast.Lower.Name:
		return strings.ToLower, call[1]
	case ast.Upper.Name:
		return strings.ToUpper, call[1]
	}
	return nil, term
}

// neverAmong says which words of a list or set a part of input never is.
func (c comparison) neverAmong(part, among *ast.Term) (wrong []error) {
	if among = c.literal(among); among == nil {
		return nil
	}
	each := func(element *ast.Term) { wrong = append(wrong, c.never(part, element)...) }
	switch list := among.Value.(type) {
	case *ast.Array:
		list.Foreach(each)
	case ast.Set:
		list.Foreach(each)
	}
	return wrong
}

// lookedUp says which words of a set a part of input never is that it is looked up by:
// bad[input.ScanReport.Status].
func (c comparison) lookedUp(ref ast.Ref) []error {
	const setAndElement = 2
	name, ok := ref[0].Value.(ast.Var)
	if !ok || len(ref) != setAndElement {
		return nil
	}
	set := c.literal(ast.NewTerm(name))
	if set == nil {
		return nil
	}
	if _, ok := set.Value.(ast.Set); !ok || !isRef(ref[1]) {
		return nil
	}
	return c.neverAmong(ref[1], set)
}

// unordered says that a part of input is put into an order which it does not have: a
// number and a text, or words.
func (c comparison) unordered(part, against *ast.Term) []error {
	word, ok := c.word(against)
	if !ok {
		return nil
	}
	if call, ok := part.Value.(ast.Call); ok && call[0].String() == ast.Count.Name {
		return []error{fmt.Errorf("%s is a number and %q is a text, which is above every number: write it without quotes", part, word)}
	}
	written := referenced(part)
	if written == nil {
		return nil
	}
	if words := c.schema.words(c.names, written); len(words) > 0 {
		return []error{fmt.Errorf("%s is a word, and words are in the order of their letters: name those that you mean, of %s", written, strings.Join(present(words), ", "))}
	}
	if c.schema.isNumber(c.names, written) {
		return []error{fmt.Errorf("%s is a number and %q is a text, which is above every number: write it without quotes", written, word)}
	}
	return nil
}

// neverPart says that no word which a part of input may be begins with, ends with or
// contains the one that is looked for.
func (c comparison) neverPart(part, sought *ast.Term, operator string) []error {
	word, ok := c.word(sought)
	written := referenced(part)
	if !ok || written == nil {
		return nil
	}
	has := map[string]func(s, part string) bool{
		ast.StartsWith.Name: strings.HasPrefix, ast.EndsWith.Name: strings.HasSuffix, ast.Contains.Name: strings.Contains,
	}[operator]
	words := c.schema.words(c.names, written)
	if len(words) == 0 || slices.ContainsFunc(words, func(known string) bool { return has(known, word) }) {
		return nil
	}
	return []error{fmt.Errorf("%s(%s, %q) never holds: it is only %s", operator, written, word, strings.Join(present(words), ", "))}
}

var verb = regexp.MustCompile(`%[-+# 0]*[0-9]*(\.[0-9]+)?[a-zA-Z%]`)

// sprintfs says where a sprintf has more or fewer values than its text has places for:
// its message would be about something else than its rule.
func sprintfs(rule *ast.Rule, report func(at *ast.Location, err error)) {
	look := func(operator string, operands []*ast.Term, at *ast.Location) {
		const textAndValues = 2
		if operator != ast.Sprintf.Name || len(operands) < textAndValues {
			return
		}
		text, isText := operands[0].Value.(ast.String)
		values, isList := operands[1].Value.(*ast.Array)
		if !isText || !isList || strings.ContainsAny(string(text), "*[") {
			return
		}
		places := 0
		for _, found := range verb.FindAllString(string(text), -1) {
			if !strings.HasSuffix(found, "%") {
				places++
			}
		}
		if places != values.Len() {
			report(at, fmt.Errorf("sprintf has places for %d values in %s, and gets %d", places, text, values.Len()))
		}
	}
	ast.WalkExprs(rule, func(e *ast.Expr) bool {
		if e.IsCall() {
			look(e.Operator().String(), e.Operands(), e.Location)
		}
		return false
	})
	ast.WalkTerms(rule, func(t *ast.Term) bool {
		if call, ok := t.Value.(ast.Call); ok {
			look(call[0].String(), call[1:], t.Location)
		}
		return false
	})
}
