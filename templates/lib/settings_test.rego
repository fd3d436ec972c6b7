package lib.settings_test

import data.lib.settings
import future.keywords

test_spans if {
	settings.span_ns("90m") == 5400000000000
	settings.span_ns("36h") == 129600000000000
	settings.span_ns("7d") == 604800000000000
	every text in ["", "7", "d", "7w", "-7d", "7 d", "7d ", "123456d"] {
		not settings.span_ns(text)
	}
}

test_list if {
	settings.list("x") == ["a"] with input.parameters as {"x": ["a"]}
	settings.list("x") == [] with input.parameters as {"x": "a"}
	settings.list("x") == [] with input.parameters as {}
}

test_prefixes if {
	settings.mistakes_of_prefixes("x") == set() with input.parameters as {"x": ["a"]}
	settings.mistakes_of_prefixes("x") == set() with input.parameters as {}
	settings.mistakes_of_prefixes("x") == {"invalid value for x[1] - '*', must be an image prefix: no image has a *: name each registry and path"} with input.parameters as {"x": ["a", "*"]}
	settings.mistakes_of_prefixes("x") == {"invalid value for x - '[\"\"]', must be a list of image prefixes"} with input.parameters as {"x": [""]}
}

test_denials_need_something_to_judge if {
	settings.denials({"a"}) == set() with input as {"review": {"kind": {"kind": "Pod"}, "object": {"spec": {"containers": []}}}}
	found := settings.denials({"a"}) with input as {"review": {"kind": {"kind": "Pod"}, "object": {"spec": {"containers": [{"image": "x"}]}}}}
	found == {{"msg": "Configuration error: a", "details": {"phase": "configuration"}}}
}
