package lib.messages_test

import data.lib.messages
import future.keywords

test_rejection if {
	messages.rejection("a", "scope", "", []) == "Image 'a' REJECTED. scope"
	messages.rejection("a", "scope", "reason", []) == "Image 'a' REJECTED. scope - reason"
	messages.rejection("a", "scope", "", ["x", "", "y"]) == "Image 'a' REJECTED. scope: x y"
	messages.rejection("a", "scope", "reason", ["", ""]) == "Image 'a' REJECTED. scope - reason"
}

test_fault if {
	messages.fault("a", "It is old", []) == "Image 'a' REJECTED. It is old."
	messages.fault("a", "It failed: no such image.", ["", "Ask us", ""]) == "Image 'a' REJECTED. It failed: no such image. Ask us"
}

test_brief if {
	long := concat("", [c | some _ in numbers.range(1, 200); c := "é"])
	messages.brief(long) == long
	messages.brief(concat("", [long, "x"])) == concat("", [long, "..."])
	messages.brief("") == ""
}
