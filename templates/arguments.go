package templates

import (
	"github.com/open-policy-agent/opa/v1/ast"
)

// arguments are the parts of input that the functions of a file are called with, by the
// function's name; nil for an argument that is not always the same part.
type arguments map[string][]ast.Ref

// callDepth is how far a part of input is followed from one function into the next.
const callDepth = 3

// argumentsOf reads them from all calls in a file.
func argumentsOf(module *ast.Module) arguments {
	given := arguments{}
	for range callDepth {
		next := arguments{}
		for _, rule := range module.Rules {
			names := variablesOf(rule, given)
			ast.WalkExprs(rule, func(e *ast.Expr) bool {
				if e.IsCall() {
					next.add(e.Operator(), e.Operands(), names)
				}
				return false
			})
			ast.WalkTerms(rule, func(t *ast.Term) bool {
				if call, ok := t.Value.(ast.Call); ok {
					if operator, ok := call[0].Value.(ast.Ref); ok {
						next.add(operator, call[1:], names)
					}
				}
				return false
			})
		}
		given = next
	}
	return given
}

func (a arguments) add(function ast.Ref, operands []*ast.Term, names variables) {
	name := function.String()
	parts := make([]ast.Ref, len(operands))
	for i, operand := range operands {
		if ref := referenced(operand); ref != nil {
			if in, ok := names.inInput(ref); ok {
				parts[i] = anyElement(in)
			}
		}
	}
	before, called := a[name]
	for i := range parts {
		if called && (i >= len(before) || !before[i].Equal(parts[i])) {
			parts[i] = nil
		}
	}
	a[name] = parts
}

// anyElement is ref with one spelling for all that stands for whichever element.
func anyElement(ref ast.Ref) ast.Ref {
	out := make(ast.Ref, len(ref))
	copy(out, ref)
	for i := 1; i < len(out); i++ {
		if _, ok := out[i].Value.(ast.Var); ok {
			out[i] = ast.VarTerm(ast.Wildcard.Value.String())
		}
	}
	return out
}
