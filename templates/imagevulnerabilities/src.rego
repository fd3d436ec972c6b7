package imagevulnerabilities

import data.lib.breakglass
import data.lib.messages
import data.lib.patterns
import data.lib.pod
import data.lib.reference
import data.lib.reports
import data.lib.settings
import future.keywords

violation contains outcome if some outcome in breakglass.outcome(denials, warnings)

denials := (settings.denials(mistakes) | rejections) | reports.overfull

rank := {"unknown": 0, "negligible": 1, "low": 2, "medium": 3, "high": 4, "critical": 5}

severities := ["Critical", "High", "Medium", "Low", "Negligible", "Unknown"]

now := time.now_ns()

# How far ahead of this one another clock may be, as the provider has it: 5 minutes.
skew_ns := time.parse_duration_ns("5m")

# What is wrong with the parameters.
mistakes contains mistake if some mistake in settings.mistakes

mistakes contains settings.invalid(key, found, settings.one_of(severities)) if {
	some key in ["severityThreshold", "unknownSeverity"]
	found := settings.parameter(key)
	not ranked(found)
}

ranked(name) if rank[lower(name)]

mistakes contains settings.invalid(key, found, "a time span such as 90m, 36h or 7d") if {
	some key in ["maxReportAge", "minCVEAge", "minFixAge", "expiresSoon"]
	found := settings.parameter(key)
	not settings.span_ns(found)
}

mistakes contains settings.invalid(key, found, settings.one_of(["accept", "reject"])) if {
	some key in ["reportPending", "scanFailed"]
	found := settings.parameter(key)
	not found in ["accept", "reject"]
}

mistakes contains settings.invalid("kev", found, settings.one_of(["report", "deny"])) if {
	found := settings.parameter("kev")
	not found in ["report", "deny"]
}

mistakes contains settings.invalid("onlyFixed", found, "true or false") if {
	found := settings.parameter("onlyFixed")
	not is_boolean(found)
}

mistakes contains settings.invalid("exceptions", found, "a list") if {
	found := settings.parameter("exceptions")
	not is_array(found)
}

mistakes contains settings.invalid(sprintf("exceptions[%d].%s", [i, key]), settings.shown(exception, key), "some text") if {
	some i, exception in settings.list("exceptions")
	some key in ["cve", "reason"]
	trim_space(pod.text(exception, key)) == ""
}

mistakes contains settings.invalid(sprintf("exceptions[%d].cve", [i]), exception.cve, sprintf("the name of one vulnerability: %s", [why])) if {
	some i, exception in settings.list("exceptions")
	pod.present(exception.cve)
	why := patterns.of_identifier(exception.cve)
}

mistakes contains sprintf("exceptions[%d].images is missing: name repositories, or write \"*\" for every image", [i]) if {
	some i, exception in settings.list("exceptions")
	is_object(exception)
	not "images" in object.keys(exception)
}

mistakes contains settings.invalid(sprintf("exceptions[%d].images[%d]", [i, j]), image, sprintf("images, \"*\" for all: %s", [why])) if {
	some i, exception in settings.list("exceptions")
	some j, image in pod.listed(exception, "images")
	pod.present(image)
	why := patterns.of_images(image)
}

mistakes contains settings.invalid(sprintf("exceptions[%d].namespaces[%d]", [i, j]), namespace, sprintf("a namespace, or the start of some as in dev-*: %s", [why])) if {
	some i, exception in settings.list("exceptions")
	some j, namespace in pod.listed(exception, "namespaces")
	pod.present(namespace)
	why := patterns.of_namespace(namespace)
}

mistakes contains settings.invalid(sprintf("exceptions[%d].packages[%d]", [i, j]), name, sprintf("the name of a package: %s", [why])) if {
	some i, exception in settings.list("exceptions")
	some j, name in pod.listed(exception, "packages")
	pod.present(name)
	why := patterns.of_package(name)
}

mistakes contains settings.invalid(sprintf("exceptions[%d].expires", [i]), settings.shown(exception, "expires"), "a date such as 2027-01-31") if {
	some i, exception in settings.list("exceptions")
	not expiry_ns(exception)
}

mistakes contains settings.invalid(sprintf("exceptions[%d].%s", [i, key]), found, "a list of texts") if {
	some i, exception in settings.list("exceptions")
	some key in ["images", "namespaces", "packages"]
	found := settings.value(exception, [key])
	not some_present(found)
}

# An empty list reads like none, and left out it would mean all.
some_present(list) if {
	settings.all_present(list)
	count(list) > 0
}

mistakes contains settings.invalid(sprintf("exceptions[%d].kev", [i]), settings.shown(exception, "kev"), "deny, or left out") if {
	some i, exception in settings.list("exceptions")
	exception.kev != null
	exception.kev != "deny"
}

mistakes contains settings.invalid(sprintf("exceptions[%d].minFixAge", [i]), settings.shown(exception, "minFixAge"), "a time span such as 90m, 36h or 7d") if {
	some i, exception in settings.list("exceptions")
	exception.minFixAge != null
	not settings.span_ns(exception.minFixAge)
}

mistakes contains settings.blank(sprintf("exceptions[%d].%s", [i, key])) if {
	some i, exception in settings.list("exceptions")
	some key, found in exception
	found == null
}

# The parameters with what holds where they are not given.
threshold := rank[lower(settings.parameter("severityThreshold"))] if {
	settings.parameter("severityThreshold")
} else := rank.high

threshold_name := settings.parameter("severityThreshold") if {
	settings.parameter("severityThreshold")
} else := "High"

# The first moment in which it holds no more. A date counts to its end, in UTC.
expiry_ns(exception) := time.add_date(time.parse_rfc3339_ns(concat("", [exception.expires, "T00:00:00Z"])), 0, 0, 1) if {
	regex.match(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`, exception.expires)
} else := time.parse_rfc3339_ns(exception.expires)

reports_of := reports.of({pod.subject(entry) | count(mistakes) == 0; some entry in pod.judged}, "findings")

# What is wrong with an image, one sentence each.
rejections := {{"msg": msg, "details": {"image": subject[0], "status": reports.status(report)}} |
	some subject, report in reports_of
	some fault in faults(names_of(subject, report), report)
	msg := messages.fault(messages.name(subject, report), fault, [messages.otherwise(subject, report), messages.help])
}

# The references that an exception may name: the image, what was written if the
# provider knows that it meant the image, and the digest that was judged.
names_of(subject, report) := {subject[0], messages.name(subject, report)} | {sprintf("%s@%s", [reference.canonical(subject[0]), report.Digest]) |
	pod.present(report.Digest)
}

# Each on its own: what one cannot say must not silence another.
faults(images, report) := ((({fault | fault := unjudged(report)} | {fault | fault := incomplete(report)}) | {fault | fault := hidden(report)}) | {fault | fault := stale(report)}) | {fault | fault := vulnerable(images, report)}

final(report) if report.Status in {"accepted", "rejected"}

# No final report: nothing to judge by.
unjudged(report) := concat("", ["Scan report is pending", messages.after(": ", messages.said(report))]) if {
	report.Status == "report_not_available"
	not accepted_by("reportPending")
}

unjudged(report) := concat("", ["Scan failed", messages.after(": ", messages.said(report))]) if {
	report.Status == "scan_failed"
	not accepted_by("scanFailed")
}

unjudged(report) := sprintf("Unexpected ScanReport.Status value '%v'", [reports.status(report)]) if {
	not final(report)
	not reports.status(report) in {"report_not_available", "scan_failed"}
}

accepted_by(key) if settings.parameter(key) == "accept"

# The list must reach below the threshold: a report without one, or with one
# that was cut too early, hides what it does not say.
incomplete(report) := "Its report has no list of vulnerabilities" if {
	final(report)
	not is_array(listed(report))
}

incomplete(report) := sprintf("Its list of vulnerabilities was cut at %v, which is not below the threshold %s", [last(report), threshold_name]) if {
	final(report)
	is_array(listed(report))
	cut(report)
	last_rank(report) >= threshold
} else := sprintf("Its list of vulnerabilities was cut, and those of severity Unknown, at its end, count as %s", [settings.parameter("unknownSeverity")]) if {
	# Unknown comes last, whatever it counts as here.
	final(report)
	is_array(listed(report))
	cut(report)
	not whole(report)
	severity({"Severity": "Unknown"}) >= threshold
}

# What is known to be exploited denies, so it must be known and listed.
hidden(report) := concat("", ["Scan failed: it is not known which of its vulnerabilities are exploited, which is needed here (kev)", messages.after(": ", unknown_risk(report))]) if {
	denies_exploited
	final(report)
	not knows_exploited(report)
	not accepted_by("scanFailed")
} else := "Its list of vulnerabilities was cut, and what is known to be exploited is not all in it" if {
	denies_exploited
	final(report)
	knows_exploited(report)
	is_array(listed(report))
	cut(report)
	not whole(report)
	not lists_exploited(report)
}

denies_exploited if settings.parameter("kev") == "deny"

knows_exploited(report) if pod.text(report.Summary.Risk, "KnownExploitedAsOf") != ""

lists_exploited(report) if count([v | some v in listed(report); is_exploited(v); pod.text(v, "Suppressed") == ""]) >= report.Summary.Risk.KnownExploited

# Why it is not known, in the provider's words.
unknown_risk(report) := why[0] if {
	why := [missing | some missing in pod.listed(report.Summary.Risk, "Missing"); is_string(missing); startswith(missing, "known exploited")]
	count(why) > 0
} else := ""

is_exploited(v) if is_object(v.KnownExploited)

# What denies whatever its severity, its fix and its age.
urgent(v) if {
	denies_exploited
	is_exploited(v)
}

cut(report) if object.get(report, "Truncated", false) != false

# Something else than the list was cut: all that was counted is listed.
whole(report) if {
	is_number(report.Summary.Total)
	count(listed(report)) >= report.Summary.Total + object.get(report.Summary, "Suppressed", 0)
}

# A clean image may leave the list out, if it says that it is clean.
listed(report) := report.Vulnerabilities if {
	settings.value(report, ["Vulnerabilities"])
} else := [] if {
	report.Summary.Total == 0
} else := null

last(report) := word(listed(report)[count(listed(report)) - 1], "Severity") if {
	count(listed(report)) > 0
} else := "its start"

last_rank(report) := severity(listed(report)[count(listed(report)) - 1]) if {
	count(listed(report)) > 0
} else := rank.critical

stale(report) := sprintf("Its report does not say when the scan was; reports may be %s old", [limit]) if {
	final(report)
	limit := settings.parameter("maxReportAge")
	not time.parse_rfc3339_ns(pod.text(report, "ScannedAt"))
}

# A clock was wrong, and taken for fresh the report would stay so.
stale(report) := sprintf("Its report is of %s, which is in the future; reports may be %s old", [report.ScannedAt, limit]) if {
	final(report)
	limit := settings.parameter("maxReportAge")
	time.parse_rfc3339_ns(report.ScannedAt) - now > skew_ns
}

stale(report) := sprintf("Its report is of %s and too old; reports may be %s old", [report.ScannedAt, limit]) if {
	final(report)
	limit := settings.parameter("maxReportAge")
	now - time.parse_rfc3339_ns(report.ScannedAt) > settings.span_ns(limit)
}

vulnerable(images, report) := concat("", [told(images, counting(images, report)[0]), others(counting(images, report))])

or_exploited := " or known to be exploited" if {
	denies_exploited
} else := ""

others(findings) := "" if {
	count(findings) == 1
} else := sprintf(", and %d more not below %s%s: %s", [count(findings) - 1, threshold_name, or_exploited, concat(", ", [sprintf("%v", [word(v, "ID")]) | some v in array.slice(findings, 1, 6)])])

# A finding in a line.
told(images, v) := sprintf("%v (%v%s) in %v %v, %s%s", [word(v, "ID"), word(v, "Severity"), exploited(v), word(v, "Package"), word(v, "Installed"), fix(v), lapsed(images, v)])

exploited(v) := ", known to be exploited" if {
	is_exploited(v)
} else := ""

# A field of a finding, whatever the scanner left out.
word(v, field) := v[field] if {
	v[field]
} else := "?"

fix(v) := sprintf("fixed in %s", [v.Fixed]) if {
	fixed(v)
} else := "no fix yet"

lapsed(images, v) := sprintf(", its exception expired %s", [dates[0]]) if {
	dates := [e.expires | some e in exceptions(images, v); expiry_ns(e) <= now]
	count(dates) > 0
} else := ""

fixed(v) if pod.text(v, "Fixed") != ""

# The findings to judge: at or above the threshold, not set aside by scanner or
# provider, with a fix where only those count; and what denies in any case.
candidates(report) := [v |
	final(report)
	some v in listed(report)
	judged(v)
	pod.text(v, "Suppressed") == ""
]

judged(v) if urgent(v)

judged(v) if {
	severity(v) >= threshold
	fix_counts(v)
}

fix_counts(_) if not settings.parameter("onlyFixed")

fix_counts(v) if fixed(v)

# A severity that is none of ours is the worst: it cannot be compared.
severity(v) := rank[lower(settings.parameter("unknownSeverity"))] if {
	v.Severity == "Unknown"
	settings.parameter("unknownSeverity")
} else := rank[lower(v.Severity)] if {
	ranked(v.Severity)
} else := rank.critical

# The findings that deny, the urgent ones first.
counting(images, report) := array.concat([v | some v in denying(images, report); urgent(v)], [v | some v in denying(images, report); not urgent(v)])

denying(images, report) := [v |
	some v in candidates(report)
	not excepted(images, report, v)
	not in_grace(v)
]

excepted(images, report, v) if {
	some exception in exceptions(images, v)
	expiry_ns(exception) > now
	holds(exception, report, v)
}

# Whether an exception holds as long as it has not expired. What is not known ends it.
holds(exception, report, v) if {
	holds_for_exploited(exception, report, v)
	holds_for_fix(exception, v)
}

holds_for_exploited(exception, _, _) if not settings.value(exception, ["kev"])

holds_for_exploited(_, report, v) if {
	knows_exploited(report)
	not is_exploited(v)
}

holds_for_fix(exception, _) if not settings.value(exception, ["minFixAge"])

holds_for_fix(_, v) if not fixed(v)

holds_for_fix(exception, v) if younger(pod.text(v, "FixAvailable"), exception.minFixAge)

# The exceptions for a finding, expired or not.
exceptions(images, v) := [exception |
	some exception in settings.list("exceptions")
	lower(exception.cve) in own_names(v)
	covers_image(exception, images)
	covers_namespace(exception)
	covers_package(exception, v)
]

# The names by which a finding may be excepted. An advisory that bundles several
# CVEs goes by its ID only: what is said of one of them does not hold for all.
own_names(v) := {lower(v.ID)} | {lower(alias) | not bundles(v); some alias in v.Aliases}

bundles(v) if {
	cves := {name |
		some name in ({lower(v.ID)} | {lower(alias) | some alias in v.Aliases})
		startswith(name, "cve-")
	}
	count(cves) > 1
}

covers_image(exception, _) if "*" in exception.images

covers_image(exception, images) if {
	some pattern in exception.images
	some image in images
	names(pattern, image)
}

# Whether a pattern of an exception names an image. Exceptions loosen, so whole
# path components are compared: everything below where the pattern ends in a slash.
# What no runtime reads as a reference is named by "*" alone.
names(pattern, image) if {
	endswith(pattern, "/")
	clean(image)
	startswith(reference.canonical(image), trim_suffix(reference.canonical(concat("", [pattern, "a/b"])), "a/b"))
}

names(pattern, image) if {
	not endswith(pattern, "/")
	clean(image)
	reference.canonical(pattern) == reference.canonical(image)
	this(reference.parse(pattern), reference.parse(image))
}

clean(image) if not patterns.of_images(image)

# The whole repository, whatever the tag or digest.
this(pattern, _) if {
	pattern.tag == ""
	pattern.digest == ""
}

# This digest, whatever the tag.
this(pattern, image) if {
	pattern.digest != ""
	pattern.digest == image.digest
}

# This tag, which does not name what was pinned besides. None means latest.
this(pattern, image) if {
	pattern.tag != ""
	pattern.digest == ""
	image.digest == ""
	pattern.tag == tag(image)
}

tag(image) := image.tag if {
	image.tag != ""
} else := "latest"

covers_namespace(exception) if not settings.value(exception, ["namespaces"])

covers_namespace(exception) if {
	some pattern in exception.namespaces
	patterns.in_namespace(pattern, pod.namespace)
}

covers_package(exception, _) if not settings.value(exception, ["packages"])

covers_package(exception, v) if v.Package in exception.packages

# A fresh finding does not stop a Pod yet: those who must fix it have some time.
in_grace(v) if {
	not urgent(v)
	count(graces(v)) > 0
}

# How long a finding does not deny yet, by the date from which that is.
graces(v) := {["published", v.Published, time.parse_rfc3339_ns(v.Published) + settings.span_ns(span)] |
	span := settings.parameter("minCVEAge")
	younger(v.Published, span)
} | {["its fix came", v.FixAvailable, time.parse_rfc3339_ns(v.FixAvailable) + settings.span_ns(span)] |
	span := settings.parameter("minFixAge")
	fixed(v)
	younger(v.FixAvailable, span)
}

# A date in the future is a mistake: taken for new it would stay so.
younger(date, span) if {
	from := time.parse_rfc3339_ns(date)
	from - now <= skew_ns
	from + settings.span_ns(span) > now
}

# What passes for now and will not always.
warnings := {{"msg": msg, "details": {"image": subject[0], "warning": kind}} |
	some subject, report in reports_of
	images := names_of(subject, report)
	some v in candidates(report)
	some [kind, words] in concerns(images, report, v)
	msg := sprintf("Image '%s' WARNING. %s: %s.", [messages.name(subject, report), told(images, v), words])
}

concerns(images, report, v) := {["exception", words] |
	some exception in exceptions(images, v)
	holds(exception, report, v)
	expiry_ns(exception) > now
	expiry_ns(exception) - now < soon
	words := sprintf("its exception expires %s (%s)", [exception.expires, exception.reason])
} | {["grace", words] |
	not urgent(v)
	not excepted(images, report, v)
	some [since, date, end] in graces(v)
	words := sprintf("%s %s, it will deny after %s", [since, date, time.format([end, "UTC", "RFC3339"])])
}

soon := settings.span_ns(settings.parameter("expiresSoon")) if {
	settings.parameter("expiresSoon")
} else := settings.span_ns("14d")
