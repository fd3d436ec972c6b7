package lib.breakglass_test

import data.lib.breakglass
import data.lib.fixtures_test as fixtures
import future.keywords

denials := {{"msg": "no", "details": {"image": "a"}}}

warnings := {{"msg": "soon"}}

outcome(who, parameters) := found if {
	found := breakglass.outcome(denials, warnings) with input as object.union(fixtures.breaking(["a"], parameters), {"review": {"userInfo": who}})
}

# The denials with what is said of a glass that stayed whole.
kept_by(why) := {{"msg": sprintf("no. Break-glass was refused: %s.", [why]), "details": {"image": "a"}}}

not_among(name) := sprintf("'%s' is not among breakGlass.users and in none of breakGlass.groups", [name])

nobody_may := "nobody may here, for breakGlass.users and breakGlass.groups are empty"

alice := {"username": "alice", "groups": ["developers"]}

told := {{"msg": "Break-glass: admitted for 'alice', reason 'incident 7', in spite of: no", "details": {"image": "a"}}}

test_users if {
	outcome(alice, {}) == set()
	outcome(alice, {"report": "violations"}) == set()
	outcome(alice, {"report": "warnings"}) == warnings | told
	outcome({"username": "bob", "groups": ["alice"]}, {}) == kept_by(not_among("bob"))
	outcome({"username": "bob", "groups": ["alice"]}, {"report": "warnings"}) == warnings
}

test_groups if {
	sre := {"breakGlass": {"users": [], "groups": ["sre"]}}
	outcome({"username": "eve", "groups": ["developers", "sre"]}, sre) == set()
	outcome(alice, sre) == kept_by(not_among("alice"))
}

test_off_by_default if {
	every settings in [{}, {"breakGlass": {}}, {"breakGlass": {"users": [], "groups": []}}] {
		found := breakglass.outcome(denials, warnings) with input as {"review": fixtures.breaking(["a"], {}).review, "parameters": settings}
		found == kept_by(nobody_may)
	}
	blank := breakglass.outcome(denials, warnings) with input as {"review": fixtures.breaking(["a"], {}).review, "parameters": {"breakGlass": null}}
	blank == kept_by("a mistake in the parameters keeps it shut")
}

test_who_is_not_told_may_not if {
	nobody := object.union(fixtures.breaking(["a"], {}), {"parameters": {"breakGlass": {"users": ["", "alice"]}}})
	every review in [
		object.remove(nobody.review, ["userInfo"]),
		object.union(object.remove(nobody.review, ["userInfo"]), {"userInfo": {"username": ""}}),
		object.union(object.remove(nobody.review, ["userInfo"]), {"userInfo": {}}),
	] {
		breakglass.outcome(denials, warnings) == denials with input as {"review": review, "parameters": nobody.parameters}
		not breakglass.may with input as {"review": review, "parameters": nobody.parameters}
	}
}

test_a_controller_may_not_for_the_author_of_a_template if {
	outcome({"username": "system:serviceaccount:kube-system:replicaset-controller", "groups": ["system:serviceaccounts", "system:authenticated"]}, {}) == kept_by(concat("; ", [not_among("system:serviceaccount:kube-system:replicaset-controller"), "a workload's Pods are sent by its controller"]))
}

test_a_reason_is_needed if {
	unsaid := kept_by("the annotation break-glass.imagegate.dev/reason gives no reason")
	every annotations, expected in {
		{}: denials,
		{"break-glass.imagegate.dev/reason": ""}: unsaid,
		{"break-glass.imagegate.dev/reason": " \n"}: unsaid,
		{"other": "incident 7"}: denials,
	} {
		plain := object.union(fixtures.pod(["a"]), {"metadata": {"annotations": annotations}})
		found := breakglass.outcome(denials, warnings) with input as {"review": fixtures.review(plain), "parameters": {"breakGlass": {"users": ["alice"]}}}
		found == expected
	}
}

test_an_annotation_of_ones_own if {
	annotated := object.union(fixtures.pod(["a"]), {"metadata": {"annotations": {"why": "incident 8"}}})
	parameters := {"report": "warnings", "breakGlass": {"users": ["alice"], "annotation": "why"}}
	found := breakglass.outcome(denials, set()) with input as {"review": fixtures.review(annotated), "parameters": parameters}
	{violation.msg | some violation in found} == {"Break-glass: admitted for 'alice', reason 'incident 8', in spite of: no"}
	outcome(alice, {"breakGlass": {"users": ["alice"], "annotation": "why"}}) == denials
	blank := object.union(annotated, {"metadata": {"annotations": {"why": " "}}})
	unsaid := breakglass.outcome(denials, set()) with input as {"review": fixtures.review(blank), "parameters": object.remove(parameters, ["report"])}
	unsaid == kept_by("the annotation why gives no reason")
}

test_a_mistake_in_the_settings_keeps_it_whole if {
	outcome(alice, {"breakGlass": {"users": ["alice"], "groups": ["system:authenticated"]}}) == kept_by("a mistake in the parameters keeps it shut")
}
