# The words of a denial. What matters most comes first: audit keeps 256 bytes.
package lib.messages

import data.lib.pod
import future.keywords

# Image '<image>' REJECTED. <scope>[ - <reason>][: <what helps the reader>]
rejection(image, scope, reason, details) := concat("", [
	sprintf("Image '%s' REJECTED. %s", [image, scope]),
	after(" - ", reason),
	after(": ", concat(" ", [detail | some detail in details; detail != ""])),
])

after(_, "") := ""

after(separator, text) := concat("", [separator, text]) if text != ""

# What a reader may need beside the reason: the report's own message, the
# reference before it was pinned, and where to ask for an exception.
details(image, report) := [said(report), written(image), help]

said(report) := concat("", [trim_right(report.Message, "."), "."]) if {
	pod.present(report.Message)
} else := ""

written(image) := sprintf("The Pod was written with '%s'.", [brief(concat("', '", sort(pod.originals(image))))]) if {
	count(pod.originals(image)) > 0
} else := ""

help := input.parameters.help if {
	pod.present(input.parameters.help)
} else := ""

# What somebody else wrote, cut to a length that leaves the message readable.
brief(text) := text if {
	count(text) <= 200
} else := concat("", [substring(text, 0, 200), "..."])
