package templates

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// variables are the names within a rule that stand for a part of input.
type variables struct {
	// of is what each stands for; an empty one for what has several meanings.
	of map[ast.Var]ast.Ref
	// each are those of every ... in ... and arguments of functions, whose fields OPA
	// does not look at.
	each map[ast.Var]bool
	// literals are those that stand for something written out.
	literals map[ast.Var]*ast.Term
}

// variablesOf reads them from assignments, iterations and what a function is called
// with. Scopes are not told apart: a name that is given twice stands for nothing.
func variablesOf(rule *ast.Rule, given arguments) variables {
	v := variables{of: map[ast.Var]ast.Ref{}, each: map[ast.Var]bool{}, literals: map[ast.Var]*ast.Term{}}
	parts := given[ruleName(rule)]
	for i, arg := range rule.Head.Args {
		if i >= len(parts) || parts[i] == nil {
			v.give(arg, nil)
			continue
		}
		v.give(arg, parts[i])
		if name, ok := arg.Value.(ast.Var); ok {
			v.each[name] = true
		}
	}
	ast.WalkExprs(rule, func(e *ast.Expr) bool {
		switch terms := e.Terms.(type) {
		case *ast.SomeDecl:
			for _, symbol := range terms.Symbols {
				if call, ok := symbol.Value.(ast.Call); ok && len(call) > 2 {
					v.give(call[len(call)-2], elements(call[len(call)-1]))
				}
			}
		case *ast.Every:
			v.give(terms.Value, elements(terms.Domain))
			if name, ok := terms.Value.Value.(ast.Var); ok {
				v.each[name] = true
			}
		case []*ast.Term:
			if operands := e.Operands(); e.IsAssignment() || e.IsEquality() && len(operands) > 1 {
				v.give(operands[0], referenced(operands[1]))
				if name, ok := operands[0].Value.(ast.Var); ok && e.IsAssignment() {
					v.write(name, operands[1])
				}
			}
		}
		return false
	})
	return v
}

func (v variables) give(name *ast.Term, meaning ast.Ref) {
	variable, ok := name.Value.(ast.Var)
	if !ok || variable.IsWildcard() {
		return
	}
	if before, given := v.of[variable]; given && !before.Equal(meaning) {
		meaning = nil
	}
	v.of[variable] = meaning
}

// write notes what a name is as it is written out, if it is so once.
func (v variables) write(name ast.Var, value *ast.Term) {
	if _, twice := v.literals[name]; twice {
		value = nil
	}
	v.literals[name] = value
}

func referenced(term *ast.Term) ast.Ref {
	switch value := term.Value.(type) {
	case ast.Ref:
		return value
	case ast.Var:
		return ast.Ref{term}
	default:
		return nil
	}
}

// elements are what a list has in it, whichever.
func elements(list *ast.Term) ast.Ref {
	if ref := referenced(list); ref != nil {
		return slices.Concat(ref, ast.Ref{ast.VarTerm(ast.Wildcard.Value.String())})
	}
	return nil
}

// inInput is what a reference means below input, if that is where it leads.
func (v variables) inInput(ref ast.Ref) (ast.Ref, bool) {
	for range len(v.of) + 1 { // names may stand for one another in a circle
		if ref.HasPrefix(ast.InputRootRef) {
			return ref, true
		}
		name, ok := ref[0].Value.(ast.Var)
		if meaning := v.of[name]; ok && len(meaning) > 0 {
			ref = slices.Concat(meaning, ref[1:])
			continue
		}
		return nil, false
	}
	return nil, false
}
