# The words of a denial. What matters most comes first: audit keeps 256 bytes.
package lib.messages

import data.lib.pod
import data.lib.reports
import future.keywords

# Image '<image>' REJECTED. <scope>[ - <reason>][: <what helps the reader>]
rejection(image, scope, reason, details) := concat("", [
	sprintf("Image '%s' REJECTED. %s", [image, scope]),
	after(" - ", reason),
	after(": ", concat(" ", [detail | some detail in details; detail != ""])),
])

# Image '<image>' REJECTED. <what is wrong with it>. [<what helps the reader>]
fault(image, what, details) := concat(" ", [sentence |
	some sentence in array.concat([sprintf("Image '%s' REJECTED.", [image]), ended(what)], details)
	sentence != ""
])

ended(text) := text if {
	endswith(text, ".")
} else := concat("", [text, "."])

after(_, "") := ""

after(separator, text) := concat("", [separator, text]) if text != ""

# The name of the image in messages: what its author wrote, if that is known.
name(subject, report) := report.ImageAndTag if {
	reports.vouched(subject, report)
} else := subject[0]

# What a reader may need beside the reason: the report's own message, the other
# name of the image, and where to ask for an exception.
details(subject, report) := [said(report), otherwise(subject, report), help]

said(report) := ended(report.Message) if {
	pod.present(report.Message)
} else := ""

# What the image was pinned to or, where nobody vouches for it, written with.
otherwise(subject, report) := sprintf("It is pinned to '%s'.", [subject[0]]) if {
	reports.vouched(subject, report)
} else := sprintf("The Pod was written with '%s'.", [brief(subject[1])]) if {
	subject[1] != ""
	not startswith(subject[0], concat("", [subject[1], "@"]))
} else := ""

help := input.parameters.help if {
	pod.present(input.parameters.help)
} else := ""

# What somebody else wrote, cut to a length that leaves the message readable.
brief(text) := text if {
	count(text) <= 200
} else := concat("", [substring(text, 0, 200), "..."])
