package regotest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Mutant is one change to the policies that a unit test should notice.
type Mutant struct {
	// Kind is one of Kinds.
	Kind string
	// Where the change is and what it is, for people.
	Where, What string
	// file and index, the number of the place within the file, are for apply.
	file  string
	index int
}

func (m Mutant) String() string { return m.Where + " " + m.Kind + " " + m.What }

// Verdict is what became of a mutant.
type Verdict string

// The verdicts. An invalid mutant does not compile, so it could not be shipped.
const (
	Noticed  Verdict = "noticed"
	Survived Verdict = "survived"
	Invalid  Verdict = "invalid"
)

// Kinds are the kinds of changes, in the order they are reported.
func Kinds() []string { return []string{"delete", "default", "else", "not", "compare"} }

// Mutants lists every change that can be made to the files that are no tests.
func Mutants(from Sources) ([]Mutant, error) {
	modules, err := Parse(from, ast.RegoV1)
	if err != nil {
		return nil, err
	}
	var found []Mutant
	for file, module := range modules {
		if IsTest(file) {
			continue
		}
		for _, kind := range Kinds() {
			for i, place := range places(kind, module) {
				found = append(found, Mutant{
					Kind: kind, file: file, index: i,
					Where: fmt.Sprintf("%s:%d", file, place.at.Row), What: place.what,
				})
			}
		}
	}
	slices.SortFunc(found, func(a, b Mutant) int { return strings.Compare(a.String(), b.String()) })
	return found, nil
}

// Judge runs the unit tests on the policies with one change.
func Judge(ctx context.Context, from Sources, mutant Mutant) Verdict {
	modules, err := Parse(from, ast.RegoV1)
	if err != nil {
		return Invalid
	}
	places(mutant.Kind, modules[mutant.file])[mutant.index].change()
	// The tests of the same package notice most changes and are few.
	survived, err := passes(ctx, modules, ownTests(mutant.file))
	if err == nil && survived {
		survived, err = passes(ctx, modules, "")
	}
	switch {
	case err != nil:
		return Invalid
	case survived:
		return Survived
	default:
		return Noticed
	}
}

// place is where a module can be changed.
type place struct {
	at     *ast.Location
	what   string
	change func()
}

func places(kind string, module *ast.Module) []place {
	switch kind {
	case "delete":
		return deletions(module)
	case "else":
		return elses(module)
	case "default":
		return defaults(module)
	case "not":
		return negations(module)
	default:
		return comparisons(module)
	}
}

// deletions make a rule never hold: taking it out would mostly not compile.
func deletions(module *ast.Module) []place {
	found := make([]place, 0, len(module.Rules))
	for _, rule := range module.Rules {
		found = append(found, place{rule.Location, rule.Head.Ref().String(), func() {
			never := ast.NewExpr(ast.BooleanTerm(false))
			never.Location = rule.Location
			rule.Body.Append(never)
		}})
	}
	return found
}

func elses(module *ast.Module) []place {
	var found []place
	for _, rule := range module.Rules {
		for clause := rule; clause.Else != nil; clause = clause.Else {
			found = append(found, place{clause.Else.Location, rule.Head.Ref().String(), func() { clause.Else = nil }})
		}
	}
	return found
}

// defaults are the words reject as a value: what holds where nothing is said,
// and what an action is compared with.
func defaults(module *ast.Module) []place {
	var found []place
	for _, rule := range module.Rules {
		ast.WalkTerms(rule, func(term *ast.Term) bool {
			if term.Value.Compare(ast.String("reject")) == 0 {
				found = append(found, place{term.Location, `"reject" to "accept"`, func() { term.Value = ast.String("accept") }})
			}
			return false
		})
	}
	return found
}

func negations(module *ast.Module) []place {
	var found []place
	ast.WalkExprs(module, func(expr *ast.Expr) bool {
		if expr.Negated {
			found = append(found, place{expr.Location, expr.String(), func() { expr.Negated = false }})
		}
		return false
	})
	return found
}

func comparisons(module *ast.Module) []place {
	turned := map[string]string{"equal": "neq", "neq": "equal", "gt": "lte", "gte": "lt", "lt": "gte", "lte": "gt"}
	var found []place
	ast.WalkExprs(module, func(expr *ast.Expr) bool {
		if !expr.IsCall() {
			return false
		}
		other, ok := turned[expr.Operator().String()]
		if ok {
			found = append(found, place{expr.Location, expr.String(), func() {
				expr.SetOperator(ast.RefTerm(ast.VarTerm(other)))
			}})
		}
		return false
	})
	return found
}

// ownTests matches the names of the tests written for a file.
func ownTests(file string) string {
	name := strings.TrimSuffix(file, ".rego")
	if policy, found := strings.CutSuffix(name, "/src"); found {
		return `^data\.` + policy + `_test\.`
	}
	return `^data\.` + strings.ReplaceAll(name, "/", `\.`) + `_test\.`
}

// passes runs the unit tests with names that filter matches until one fails.
func passes(ctx context.Context, modules map[string]*ast.Module, filter string) (bool, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results, err := start(ctx, modules, nil, filter)
	if err != nil {
		return false, err
	}
	passed := true
	for result := range results {
		if !result.Pass() && passed {
			passed = false
			cancel()
		}
	}
	return passed, nil
}
