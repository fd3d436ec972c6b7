package imagevulnerabilities_test

import data.imagevulnerabilities
import data.lib.fixtures_test as fixtures
import data.lib.reports
import future.keywords

now := time.parse_rfc3339_ns("2027-01-15T12:00:00Z")

critical := {"ID": "CVE-1", "Aliases": ["GHSA-one"], "Package": "a", "Installed": "1", "Fixed": "2", "Severity": "Critical", "Published": "2027-01-14T12:00:00Z"}

high := {"ID": "CVE-2", "Package": "b", "Installed": "1", "Fixed": "", "Severity": "High", "Published": "2026-06-01T00:00:00Z"}

medium := {"ID": "CVE-3", "Package": "c", "Installed": "1", "Fixed": "2", "Severity": "Medium"}

unknown := {"ID": "CVE-4", "Package": "d", "Installed": "1", "Severity": "Unknown"}

report(vulnerabilities) := {
	"ImageAndTag": "x/a:1",
	"Status": "rejected",
	"ScannedAt": "2027-01-10T12:00:00Z",
	"Summary": {"Total": count(vulnerabilities)},
	"Vulnerabilities": vulnerabilities,
}

# The messages for image x/a:1 with this report.
said(image_report, parameters) := found if {
	found := fixtures.msgs(imagevulnerabilities.violation) with input as fixtures.under(["x/a:1"], parameters)
		with external_data as {"system_error": "", "errors": [], "responses": [["x/a:1", image_report]]}
		with time.now_ns as now
}

listing(vulnerabilities, parameters) := said(report(vulnerabilities), parameters)

rejected(why) := {sprintf("Image 'x/a:1' REJECTED. %s.", [why])}

first := "CVE-1 (Critical) in a 1, fixed in 2"

second := "CVE-2 (High) in b 1, no fix yet"

third := "CVE-3 (Medium) in c 1, fixed in 2"

test_high_denies_by_default if {
	listing([], {}) == set()
	listing([medium, unknown], {}) == set()
	listing([high, medium], {}) == rejected(second)
	listing([critical, high, medium], {}) == rejected(concat("", [first, ", and 1 more not below High: CVE-2"]))
}

test_the_list_is_judged_not_the_verdict_that_came_with_it if {
	said(object.union(report([high]), {"Status": "accepted"}), {}) == rejected(second)
	said(report([medium]), {}) == set()
}

test_thresholds if {
	listing([high], {"severityThreshold": "CRITICAL"}) == set()
	listing([critical], {"severityThreshold": "critical"}) == rejected(first)
	listing([medium], {"severityThreshold": "Medium"}) == rejected(third)
	listing([unknown], {"severityThreshold": "Unknown"}) == rejected("CVE-4 (Unknown) in d 1, no fix yet")
	listing([unknown], {"severityThreshold": "Negligible"}) == set()
	listing([{"ID": "n", "Severity": "Negligible"}], {"severityThreshold": "negligible"}) == rejected("n (Negligible) in ? ?, no fix yet")
	listing([{"ID": "n", "Severity": "Negligible"}], {"severityThreshold": "low"}) == set()
	listing([{"ID": "l", "Severity": "Low"}], {"severityThreshold": "low"}) == rejected("l (Low) in ? ?, no fix yet")
}

test_unknown_severities if {
	listing([unknown], {"unknownSeverity": "High"}) == rejected("CVE-4 (Unknown) in d 1, no fix yet")
	listing([unknown], {"unknownSeverity": "Medium"}) == set()
	every strange in [{"ID": "s", "Severity": "Bad"}, {"ID": "s", "Severity": 9}] {
		listing([strange], {"severityThreshold": "Critical"}) == rejected(sprintf("s (%v) in ? ?, no fix yet", [strange.Severity]))
	}
	every strange in [{}, "CVE-1", null] {
		listing([strange], {}) == rejected("? (?) in ? ?, no fix yet")
	}
}

test_only_fixed if {
	listing([high], {"onlyFixed": true}) == set()
	listing([high], {"onlyFixed": false}) == rejected(second)
	listing([critical, high], {"onlyFixed": true}) == rejected(first)
}

test_what_the_provider_set_aside_does_not_count if {
	listing([object.union(high, {"Suppressed": "VEX not_affected"})], {}) == set()
	listing([object.union(high, {"Suppressed": ""})], {}) == rejected(second)
}

test_no_final_report if {
	every status, why in {
		"report_not_available": "Scan report is pending: because",
		"scan_failed": "Scan failed: because",
		"other": "Unexpected ScanReport.Status value 'other'",
	} {
		said({"ImageAndTag": "x/a:1", "Status": status, "Message": "because"}, {}) == rejected(why)
	}
	said({"ImageAndTag": "x/a:1"}, {}) == rejected("Unexpected ScanReport.Status value '<empty>'")
	pending := {"ImageAndTag": "x/a:1", "Status": "report_not_available"}
	said(pending, {}) == rejected("Scan report is pending")
	said(pending, {"reportPending": "accept"}) == set()
	said(pending, {"reportPending": "reject", "scanFailed": "accept"}) == rejected("Scan report is pending")
	failed := {"ImageAndTag": "x/a:1", "Status": "scan_failed"}
	said(failed, {"scanFailed": "accept"}) == set()
	said(failed, {"scanFailed": "reject", "reportPending": "accept"}) == rejected("Scan failed")
}

test_a_report_without_a_list if {
	bare := {"ImageAndTag": "x/a:1", "Status": "accepted"}
	said(bare, {}) == rejected("Its report has no list of vulnerabilities")
	said(object.union(bare, {"Vulnerabilities": null}), {}) == rejected("Its report has no list of vulnerabilities")
	said(object.union(bare, {"Vulnerabilities": "none"}), {}) == rejected("Its report has no list of vulnerabilities")
	said(object.union(bare, {"Summary": {"Total": 1}}), {}) == rejected("Its report has no list of vulnerabilities")
	said(object.union(bare, {"Summary": {"Total": 0}}), {}) == set()
}

cut_list(vulnerabilities, parameters) := said(object.union(report(vulnerabilities), {"Truncated": true}), parameters)

test_a_cut_list if {
	excepted := {"exceptions": [{"cve": "CVE-2", "images": ["*"], "expires": "2028-01-01", "reason": "r"}]}
	cut_list([high], excepted) == rejected("Its list of vulnerabilities was cut at High, which is not below the threshold High")
	cut_list([high, medium], excepted) == set()
	cut_list([medium], {}) == set()
	cut_list([medium], {"severityThreshold": "low"}) == rejected("Its list of vulnerabilities was cut at Medium, which is not below the threshold low") | rejected(third)
	cut_list([], {}) == rejected("Its list of vulnerabilities was cut at its start, which is not below the threshold High")
	cut_list([medium, {}], {"exceptions": []}) == rejected("Its list of vulnerabilities was cut at ?, which is not below the threshold High") | rejected("? (?) in ? ?, no fix yet")
}

test_a_cut_list_hides_unknown_severities if {
	low := {"ID": "CVE-5", "Severity": "Low"}
	low_end := cut_report([low], {"Summary": {"Total": 2}})
	every counted in ["Critical", "high"] {
		hidden := rejected(sprintf("Its list of vulnerabilities was cut, and those of severity Unknown, at its end, count as %s", [counted]))
		said(low_end, {"unknownSeverity": counted}) == hidden
		said(cut_report([low], {"Summary": {"Total": 1, "Suppressed": 1}}), {"unknownSeverity": counted}) == hidden
		said(cut_report([low], {"Summary": null}), {"unknownSeverity": counted}) == hidden
		said(cut_report([low], {"Summary": {"Total": "1"}}), {"unknownSeverity": counted}) == hidden
		said(cut_report([low, unknown], {"Summary": {"Total": 3}}), {"unknownSeverity": counted, "exceptions": [{"cve": "CVE-4", "images": ["*"], "expires": "2028-01-01", "reason": "r"}]}) == rejected("Its list of vulnerabilities was cut at Unknown, which is not below the threshold High")
		said(cut_report([low], {"Summary": {"Total": 1}}), {"unknownSeverity": counted}) == set()
		said(cut_report([low, low], {"Summary": {"Total": 1, "Suppressed": 1}}), {"unknownSeverity": counted}) == set()
		said(object.union(low_end, {"Truncated": false}), {"unknownSeverity": counted}) == set()
		said(object.union(low_end, {"Status": "report_not_available"}), {"unknownSeverity": counted, "reportPending": "accept"}) == set()
	}
	said(low_end, {"unknownSeverity": "Medium"}) == set()
	said(low_end, {}) == set()
}

cut_report(vulnerabilities, more) := object.union(object.union(object.remove(report(vulnerabilities), ["Summary"]), {"Truncated": true}), more)

test_old_reports if {
	listing([], {"maxReportAge": "6d"}) == set()
	listing([], {"maxReportAge": "4d"}) == rejected("Its report is of 2027-01-10T12:00:00Z and too old; reports may be 4d old")
	listing([], {"maxReportAge": "120h"}) == set()
	every undated in [object.remove(report([]), ["ScannedAt"]), object.union(report([]), {"ScannedAt": "yesterday"})] {
		said(undated, {"maxReportAge": "6d"}) == rejected("Its report does not say when the scan was; reports may be 6d old")
		said(undated, {}) == set()
	}
	every of_the_future in ["2028-01-10T12:00:00Z", "2099-01-01T00:00:00Z"] {
		dated := object.union(report([]), {"ScannedAt": of_the_future})
		said(dated, {"maxReportAge": "6d"}) == rejected(sprintf("Its report is of %s, which is in the future; reports may be 6d old", [of_the_future]))
		said(dated, {}) == set()
	}
	pending := {"ImageAndTag": "x/a:1", "Status": "report_not_available"}
	said(pending, {"maxReportAge": "6d", "reportPending": "accept"}) == set()
}

test_every_fault_is_told if {
	old := listing([high], {"maxReportAge": "4d"})
	old == rejected(second) | rejected("Its report is of 2027-01-10T12:00:00Z and too old; reports may be 4d old")
	listing([high], {"maxReportAge": "6d"}) == rejected(second)
}

test_grace if {
	listing([critical], {"minCVEAge": "2d"}) == set()
	listing([critical], {"minCVEAge": "12h"}) == rejected(first)
	listing([critical], {"minCVEAge": "24h"}) == rejected(first)
	listing([high], {"minCVEAge": "2d"}) == rejected(second)
	listing([object.remove(high, ["Published"])], {"minCVEAge": "99999d"}) == rejected(second)
	listing([critical], {"minCVEAge": "2d", "report": "warnings"}) == {concat("", ["Image 'x/a:1' WARNING. ", first, ": published 2027-01-14T12:00:00Z, it will deny after 2027-01-16T12:00:00Z."])}
}

fixed_lately := object.union(medium, {"Severity": "High", "FixAvailable": "2027-01-14T12:00:00Z"})

lately := "CVE-3 (High) in c 1, fixed in 2"

test_grace_of_a_fix if {
	listing([fixed_lately], {"minFixAge": "2d"}) == set()
	listing([fixed_lately], {"minFixAge": "24h"}) == rejected(lately)
	listing([object.remove(fixed_lately, ["FixAvailable"])], {"minFixAge": "99999d"}) == rejected(lately)
	listing([object.union(fixed_lately, {"Fixed": ""})], {"minFixAge": "2d"}) == rejected("CVE-3 (High) in c 1, no fix yet")
	listing([fixed_lately], {"minFixAge": "2d", "report": "warnings"}) == {concat("", ["Image 'x/a:1' WARNING. ", lately, ": its fix came 2027-01-14T12:00:00Z, it will deny after 2027-01-16T12:00:00Z."])}
	both := object.union(fixed_lately, {"Published": "2027-01-14T12:00:00Z"})
	listing([both], {"minCVEAge": "2d"}) == set()
	count(listing([both], {"minCVEAge": "2d", "minFixAge": "3d", "report": "warnings"})) == 2
}

# What is dated in the future would be new for ever.
test_no_grace_for_dates_to_come if {
	listing([object.union(critical, {"Published": "2027-01-15T12:04:00Z"})], {"minCVEAge": "2d"}) == set()
	listing([object.union(critical, {"Published": "2027-01-15T12:06:00Z"})], {"minCVEAge": "2d"}) == rejected(first)
	listing([object.union(fixed_lately, {"FixAvailable": "2027-01-15T12:06:00Z"})], {"minFixAge": "2d"}) == rejected(lately)
}

# A report that knows what is exploited, which is so many.
knowing(vulnerabilities, exploited) := object.union(report(vulnerabilities), {"Summary": {"Total": count(vulnerabilities), "Risk": {"KnownExploited": exploited, "KnownExploitedAsOf": "2027-01-14T00:00:00Z"}}})

exploited := object.union(high, {"ID": "CVE-5", "Severity": "Low", "KnownExploited": {"Added": "2027-01-13", "Ransomware": false}})

fifth := "CVE-5 (Low, known to be exploited) in b 1, no fix yet"

test_exploited_denies if {
	said(knowing([exploited], 1), {}) == set()
	said(knowing([exploited], 1), {"kev": "report"}) == set()
	said(knowing([exploited], 1), {"kev": "deny"}) == rejected(fifth)
	said(knowing([exploited], 1), {"kev": "deny", "severityThreshold": "Critical", "onlyFixed": true, "minCVEAge": "9999d", "minFixAge": "9999d"}) == rejected(fifth)
	said(knowing([high, exploited], 1), {"kev": "deny"}) == rejected(concat("", [fifth, ", and 1 more not below High or known to be exploited: CVE-2"]))
	said(knowing([medium], 0), {"kev": "deny"}) == set()
	said(knowing([object.union(exploited, {"Suppressed": "VEX not_affected"})], 0), {"kev": "deny"}) == set()

	# It denies already, so nothing warns that it will.
	said(knowing([object.union(exploited, {"Severity": "High", "Published": "2027-01-15T00:00:00Z"})], 1), {"kev": "deny", "minCVEAge": "2d", "report": "warnings"}) == set()
}

test_exceptions_hold_for_what_is_exploited if {
	excepting := except({"cve": "CVE-5"})
	said(knowing([exploited], 1), object.union(excepting, {"kev": "deny"})) == set()
	said(knowing([exploited], 1), object.union(except({"cve": "CVE-5", "kev": "deny"}), {"kev": "deny"})) == rejected(fifth)
}

test_exceptions_that_end_with_the_fix if {
	listing([fixed_lately], until_fixed("2d")) == set()
	listing([fixed_lately], until_fixed("24h")) == rejected(lately)
	listing([object.remove(fixed_lately, ["FixAvailable"])], until_fixed("2d")) == rejected(lately)
	listing([object.union(fixed_lately, {"Fixed": ""})], until_fixed("0d")) == set()
	listing([fixed_lately], until_fixed("0d")) == rejected(lately)
}

until_fixed(age) := except({"cve": "CVE-3", "minFixAge": age})

test_exceptions_that_end_with_exploitation if {
	said(knowing([high], 0), except({"cve": "CVE-2", "kev": "deny"})) == set()
	listing([high], except({"cve": "CVE-2", "kev": "deny"})) == rejected(second)
}

unknown_exploited := "Scan failed: it is not known which of its vulnerabilities are exploited, which is needed here (kev)"

test_unknown_exploitation_is_a_failed_scan if {
	listing([medium], {"kev": "deny"}) == rejected(unknown_exploited)
	listing([], {"kev": "deny"}) == rejected(unknown_exploited)
	listing([high], {"kev": "deny"}) == rejected(second) | rejected(unknown_exploited)
	listing([medium], {"kev": "deny", "scanFailed": "accept"}) == set()
	listing([medium], {"kev": "report"}) == set()
	why := object.union(report([]), {"Summary": {"Total": 0, "Risk": {"Missing": ["EPSS: no", "known exploited vulnerabilities: it could not be read"]}}})
	said(why, {"kev": "deny"}) == rejected(concat("", [unknown_exploited, ": known exploited vulnerabilities: it could not be read"]))
	said(object.union(report([]), {"Summary": {"Total": 0, "Risk": {"KnownExploitedAsOf": ""}}}), {"kev": "deny"}) == rejected(unknown_exploited)
}

some_cut(exploited_in_all) := object.union(knowing([medium], exploited_in_all), {"Truncated": true, "Summary": {"Total": 9}})

test_a_cut_list_must_have_what_is_exploited if {
	hidden := "Its list of vulnerabilities was cut, and what is known to be exploited is not all in it"
	said(some_cut(1), {"kev": "deny"}) == rejected(hidden)
	said(some_cut(0), {"kev": "deny"}) == set()
	said(some_cut(1), {}) == set()
	said(object.union(some_cut(1), {"Summary": {"Total": 1}}), {"kev": "deny"}) == set()
	counted := object.union(knowing([exploited], 2), {"Truncated": true, "Summary": {"Total": 9}})
	said(counted, {"kev": "deny"}) == rejected(hidden) | rejected(fifth)
}

except(exception) := {"exceptions": [object.union({"cve": "CVE-1", "images": ["*"], "expires": "2027-12-31", "reason": "not reachable"}, exception)]}

test_exceptions if {
	listing([critical], except({})) == set()
	listing([critical, high], except({})) == rejected(second)
	listing([critical], except({"cve": "cve-1"})) == set()
	listing([critical], except({"cve": "GHSA-one"})) == set()
	listing([critical], except({"cve": "CVE-11"})) == rejected(first)
	listing([critical], except({"images": ["x/"]})) == set()
	listing([critical], except({"images": ["y/", "docker.io/x/a"]})) == set()
	listing([critical], except({"images": ["y/"]})) == rejected(first)
	listing([critical], except({"namespaces": ["other", "shop"]})) == set()
	listing([critical], except({"namespaces": ["other"]})) == rejected(first)
	listing([critical], except({"namespaces": ["dev-*", "sh*"]})) == set()
	listing([critical], except({"namespaces": ["dev-*"]})) == rejected(first)
	listing([critical], except({"packages": ["x", critical.Package]})) == set()
	listing([critical], except({"packages": ["x"]})) == rejected(first)
}

bundle := object.union(high, {"ID": "ALAS-1", "Aliases": ["CVE-A", "cve-b", "GHSA-one"]})

test_an_advisory_of_several_flaws_is_excepted_by_its_own_name if {
	denied := rejected("ALAS-1 (High) in b 1, no fix yet")
	every name in ["CVE-A", "CVE-B", "GHSA-one"] {
		listing([bundle], except({"cve": name})) == denied
	}
	listing([bundle], except({"cve": "alas-1"})) == set()
	listing([object.union(bundle, {"Aliases": ["CVE-A", "cve-a", "GHSA-one"]})], except({"cve": "CVE-A"})) == set()
	listing([object.union(bundle, {"Aliases": ["CVE-A", "cve-a", "GHSA-one"]})], except({"cve": "GHSA-one"})) == set()
	listing([object.union(high, {"Aliases": ["CVE-1"]})], except({"cve": "CVE-1"})) == rejected(second)
	listing([object.union(high, {"Aliases": ["CVE-1"]})], except({"cve": "CVE-2"})) == set()
}

excepted(image, pattern) if {
	found := fixtures.msgs(imagevulnerabilities.violation) with input as fixtures.under([image], except({"images": [pattern]}))
		with external_data as {"system_error": "", "errors": [], "responses": [[image, object.union(report([critical]), {"ImageAndTag": image})]]}
		with time.now_ns as now
	found == set()
}

test_exceptions_name_whole_path_components if {
	every pair in [
		["ghcr.io/acme/web:1", "ghcr.io/acme/"],
		["ghcr.io/acme/a/b@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "ghcr.io/acme/"],
		["ghcr.io/acme/web", "ghcr.io/"],
		["ghcr.io/acme/web:1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "ghcr.io/acme/web"],
		["ghcr.io/acme/web:1", "ghcr.io/acme/web:1"],
		["ghcr.io/acme/web:1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "ghcr.io/acme/web@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"],
		["ghcr.io/acme/web@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "ghcr.io/acme/web:1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"],
		["nginx:1", "docker.io/"],
		["nginx:1", "index.docker.io/library/"],
		["docker.io/nginx:1", "nginx"],
		["nginx:1", "docker.io/library/nginx:1"],
		["a/b", "a/"],
		["localhost:5000/a:1", "localhost:5000/"],
		["localhost:5000/a:1", "localhost:5000/a"],
	] {
		excepted(pair[0], pair[1])
	}
	every pair in [
		["ghcr.io/acme-evil/x", "ghcr.io/acme"],
		["ghcr.io/acme/web", "ghcr.io/acme"],
		["ghcr.io/acme-evil/x", "ghcr.io/acme/"],
		["ghcr.io/acme", "ghcr.io/acme/"],
		["ghcr.io.evil.example/a", "ghcr.io"],
		["ghcr.io/acme/web-evil:1", "ghcr.io/acme/web"],
		["ghcr.io/acme/web:12", "ghcr.io/acme/web:1"],
		["ghcr.io/acme/web:1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "ghcr.io/acme/web:1"],
		["ghcr.io/acme/web", "ghcr.io/acme/web:1"],
		["ghcr.io/acme/web:1", "ghcr.io/acme/web:"],
		["ghcr.io/acme/web@sha256:1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "ghcr.io/acme/web@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"],
		["ghcr.io/acme/other@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "ghcr.io/acme/web@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"],
		["ghcr.io/acme/web:1", "ghcr.io/acme/web@"],
		["acme/nginx", "nginx"],
		["EVIL/app", "docker.io/"],
	] {
		not excepted(pair[0], pair[1])
	}
}

test_exceptions_expire if {
	listing([critical], except({"expires": "2027-01-15"})) == set()
	listing([critical], except({"expires": "2027-01-14"})) == rejected(concat("", [first, ", its exception expired 2027-01-14"]))
	listing([critical], except({"expires": "2027-01-15T12:00:01Z"})) == set()
	listing([critical], except({"expires": "2027-01-15T12:00:00Z"})) == rejected(concat("", [first, ", its exception expired 2027-01-15T12:00:00Z"]))
	twice := {"exceptions": array.concat(except({"expires": "2027-01-14"}).exceptions, except({}).exceptions)}
	listing([critical], twice) == set()
}

warned(parameters) := listing([critical], object.union({"report": "warnings"}, parameters))

test_exceptions_that_expire_soon_are_warned_of if {
	warned(except({})) == set()
	warned(except({"expires": "2027-01-20"})) == {concat("", ["Image 'x/a:1' WARNING. ", first, ": its exception expires 2027-01-20 (not reachable)."])}
	warned(object.union(except({"expires": "2027-01-20"}), {"expiresSoon": "3d"})) == set()
	warned(object.union(except({"expires": "2027-12-01"}), {"expiresSoon": "365d"})) == {concat("", ["Image 'x/a:1' WARNING. ", first, ": its exception expires 2027-12-01 (not reachable)."])}
	warned(except({"expires": "2027-01-14"})) == set()
	warned(object.union(except({}), {"minCVEAge": "2d"})) == set()
	warned({}) == set()
	listing([critical], except({"expires": "2027-01-20"})) == set()
	listing([medium], {"report": "warnings", "exceptions": [{"cve": "CVE-3", "images": ["*"], "expires": "2027-01-20", "reason": "r"}]}) == set()
}

test_break_glass if {
	answer := {"system_error": "", "errors": [], "responses": [["x/a:1", report([high])]]}
	enforced := fixtures.msgs(imagevulnerabilities.violation) with input as fixtures.breaking(["x/a:1"], {}) with external_data as answer with time.now_ns as now
	enforced == set()
	told := fixtures.msgs(imagevulnerabilities.violation) with input as fixtures.breaking(["x/a:1"], {"report": "warnings"}) with external_data as answer with time.now_ns as now
	told == {concat("", ["Break-glass: admitted for 'alice', reason 'incident 7', in spite of: Image 'x/a:1' REJECTED. ", second, "."])}
}

test_many_findings_are_counted if {
	many := [object.union(high, {"ID": sprintf("CVE-%d", [i])}) | some i in numbers.range(1, 9)]
	listing(many, {"help": "Ask."}) == rejected("CVE-1 (High) in b 1, no fix yet, and 8 more not below High: CVE-2, CVE-3, CVE-4, CVE-5, CVE-6. Ask")
}

# Audit keeps 256 bytes: they must say which image, which flaw, and what to do.
test_what_audit_keeps_of_a_message if {
	image := sprintf("registry.example.com/platform/team/service@sha256:%s", [concat("", [d | some _ in numbers.range(1, 64); d := "0"])])
	flaw := {"ID": "CVE-2021-38561", "Package": "golang.org/x/text", "Installed": "v0.3.5", "Fixed": "0.3.7", "Severity": "High"}
	answer := {"system_error": "", "errors": [], "responses": [["k", object.union(report([flaw]), {"ImageAndTag": image})]]}
	input_ := {"review": fixtures.review(fixtures.pinned([[image, "registry.example.com/platform/team/service:1.4.2"]])), "parameters": {"help": "Ask."}}
	found := fixtures.msgs(imagevulnerabilities.violation) with input as input_ with external_data as answer with time.now_ns as now
	[kept] := [substring(msg, 0, 256) | some msg in found]
	startswith(kept, sprintf("Image '%s' REJECTED. CVE-2021-38561 (High) in golang.org/x/text v0.3.5, fixed in 0.3.7. ", [image]))
}

test_the_findings_are_asked_for if {
	seen := fixtures.msgs(imagevulnerabilities.violation) with input as fixtures.under(["x", "x"], {"keyContext": "none"}) with external_data as fixtures.never
	seen == {"Image 'x' REJECTED. Scan failed: the scan provider 'imagegate-provider' could not be asked: asked for [\"x?view=findings\"]."}
}

test_details if {
	found := imagevulnerabilities.violation with input as fixtures.under(["x/a:1"], {})
		with external_data as {"system_error": "", "errors": [], "responses": [["x/a:1", report([high])]]}
		with time.now_ns as now
	{violation.details | some violation in found} == {{"image": "x/a:1", "status": "rejected"}}
	soon := imagevulnerabilities.violation with input as fixtures.under(["x/a:1"], object.union({"report": "warnings"}, except({"expires": "2027-01-20"})))
		with external_data as {"system_error": "", "errors": [], "responses": [["x/a:1", report([critical])]]}
		with time.now_ns as now
	{violation.details | some violation in soon} == {{"image": "x/a:1", "warning": "exception"}}
}

wrong := [
	[{"severityThreshold": "Severe"}, "severityThreshold - 'Severe', must be one of Critical, High, Medium, Low, Negligible, Unknown"],
	[{"severityThreshold": 7}, "severityThreshold - '7', must be one of Critical, High, Medium, Low, Negligible, Unknown"],
	[{"unknownSeverity": ""}, "unknownSeverity - '', must be one of Critical, High, Medium, Low, Negligible, Unknown"],
	[{"maxReportAge": "week"}, "maxReportAge - 'week', must be a time span such as 90m, 36h or 7d"],
	[{"maxReportAge": false}, "maxReportAge - 'false', must be a time span such as 90m, 36h or 7d"],
	[{"minCVEAge": 7}, "minCVEAge - '7', must be a time span such as 90m, 36h or 7d"],
	[{"minFixAge": "2 weeks"}, "minFixAge - '2 weeks', must be a time span such as 90m, 36h or 7d"],
	[{"kev": "accept"}, "kev - 'accept', must be one of report, deny"],
	[except({"kev": "report"}), "exceptions[0].kev - 'report', must be deny, or left out"],
	[except({"minFixAge": "soon"}), "exceptions[0].minFixAge - 'soon', must be a time span such as 90m, 36h or 7d"],
	[{"expiresSoon": "-1d"}, "expiresSoon - '-1d', must be a time span such as 90m, 36h or 7d"],
	[{"reportPending": "x"}, "reportPending - 'x', must be one of accept, reject"],
	[{"scanFailed": true}, "scanFailed - 'true', must be one of accept, reject"],
	[{"onlyFixed": "yes"}, "onlyFixed - 'yes', must be true or false"],
	[{"exceptions": {}}, "exceptions - '{}', must be a list"],
	[except({"cve": ""}), "exceptions[0].cve - '', must be some text"],
	[except({"reason": 1}), "exceptions[0].reason - '1', must be some text"],
	[{"exceptions": [{"cve": "CVE-1", "images": ["*"], "expires": "2027-12-31"}]}, "exceptions[0].reason - '<empty>', must be some text"],
	[{"exceptions": [{"cve": "CVE-1", "images": ["*"], "reason": "r"}]}, "exceptions[0].expires - '<empty>', must be a date such as 2027-01-31"],
	[except({"expires": "never"}), "exceptions[0].expires - 'never', must be a date such as 2027-01-31"],
	[except({"expires": "2027-02-30"}), "exceptions[0].expires - '2027-02-30', must be a date such as 2027-01-31"],
	[except({"images": "x/"}), "exceptions[0].images - 'x/', must be a list of texts"],
	[except({"namespaces": [""]}), "exceptions[0].namespaces - '[\"\"]', must be a list of texts"],
	[except({"images": []}), "exceptions[0].images - '[]', must be a list of texts"],
	[except({"packages": []}), "exceptions[0].packages - '[]', must be a list of texts"],
	[except({"cve": "CVE-2021-*"}), "exceptions[0].cve - 'CVE-2021-*', must be the name of one vulnerability: no vulnerability has a * in its name: name each"],
	[except({"images": ["a", "x/*"]}), "exceptions[0].images[1] - 'x/*', must be images, \"*\" for all: no image has a *: write x/ for all below it"],
	[except({"packages": ["openssl", "golang.org/x/*"]}), "exceptions[0].packages[1] - 'golang.org/x/*', must be the name of a package: no package has a * in its name: name each"],
	[except({"packages": ["golang.org/x/text@v0.3.5"]}), "exceptions[0].packages[0] - 'golang.org/x/text@v0.3.5', must be the name of a package: it has a version: write the name alone, for all versions are meant"],
	[except({"namespaces": ["*"]}), "exceptions[0].namespaces[0] - '*', must be a namespace, or the start of some as in dev-*: for all namespaces leave it out"],
	[{"report": "x"}, "report - 'x', must be one of violations, warnings"],
]

test_wrong_values_are_named if {
	every pair in wrong {
		found := fixtures.msgs(imagevulnerabilities.violation) with input as fixtures.under(["x"], pair[0]) with external_data as fixtures.never
		print(pair[1], found)
		found == {sprintf("Configuration error: invalid value for %s", [pair[1]])}
	}
}

# Left out it would hold for all images or namespaces.
test_what_is_left_blank_in_an_exception_is_named if {
	every key in ["images", "namespaces", "packages"] {
		found := fixtures.msgs(imagevulnerabilities.violation) with input as fixtures.under(["x"], except({key: null})) with external_data as fixtures.never
		found == {sprintf("Configuration error: exceptions[0].%s is blank: leave it out or give it a value", [key])}
	}
}

test_an_exception_without_images_is_named if {
	found := fixtures.msgs(imagevulnerabilities.violation) with input as fixtures.under(["x"], {"exceptions": [{"cve": "CVE-1", "expires": "2027-12-31", "reason": "r"}]}) with external_data as fixtures.never
	found == {"Configuration error: exceptions[0].images is missing: name repositories, or write \"*\" for every image"}
}

# By the digest that it was pinned to, or by the tag if it is known.
test_an_exception_for_what_was_written if {
	every name, expected in {"x/a:seen": set(), "x/a:forged": rejected_pinned} {
		answer := {"system_error": "", "errors": [], "responses": [["k", object.union(report([critical]), {"Image": "x/a@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "ImageAndTag": vouched_or(name)})]]}
		input_ := {"review": fixtures.review(fixtures.pinned([["x/a@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", name]])), "parameters": except({"images": [name]})}
		found := fixtures.msgs(imagevulnerabilities.violation) with input as input_ with external_data as answer with time.now_ns as now
		found == expected
	}
}

rejected_pinned := {sprintf("Image 'x/a@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef' REJECTED. %s. The Pod was written with 'x/a:forged'.", [first])}

vouched_or(name) := name if {
	contains(name, "seen")
} else := "x/a@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

test_an_exception_that_is_no_object if {
	found := fixtures.msgs(imagevulnerabilities.violation) with input as fixtures.under(["x"], {"exceptions": ["CVE-1"]}) with external_data as fixtures.never
	count(found) == 3
}

test_too_many_images_are_denied_whatever_is_accepted if {
	found := fixtures.msgs(imagevulnerabilities.violation) with input as fixtures.under(["a", "b", "c"], {"scanFailed": "accept", "reportPending": "accept"})
		with external_data as fixtures.never
		with reports.most_images as 2
	found == {"The Pod has 3 distinct images, and no more than 2 can be judged: split it"}
}
