package anchore_test

import (
	"github.com/imagegate/imagegate/provider/scanner/anchore/anchoretest"
	"github.com/imagegate/imagegate/provider/scanner/scannertest"
)

// cannot is what an API's answers cannot lack.
func cannot(api anchoretest.API) map[scannertest.Lack]string {
	out := map[scannertest.Lack]string{
		scannertest.NoScanner:    "the scanner is the service that was asked",
		scannertest.WorseOverall: "the API has no severity of an image as a whole",
		scannertest.Silence:      "the service judges by its own policy, also an image in which it finds nothing",
	}
	if api == anchoretest.Sysdig {
		out[scannertest.FutureDatabase] = "Sysdig does not tell how old its data is"
	}
	return out
}

const future = "2099-01-01T00:00:00Z"

// lacking makes the answers of a service lack something.
func lacking(api anchoretest.API, lack scannertest.Lack) func(path string, body any) any {
	return func(path string, body any) any {
		switch path {
		case "/check":
			if api == anchoretest.V2 {
				lackingV2(body.(map[string]any), lack)
				return body
			}
			return lackingV1(body, lack)
		case "/vuln/all":
			lackingList(body.(map[string]any), lack)
		case "/system/feeds":
			if lack == scannertest.FutureDatabase {
				return []any{map[string]any{"name": "grypedb", "last_full_sync": future}}
			}
		}
		return body
	}
}

const another = "sha256:9999999999999999999999999999999999999999999999999999999999999999"

func lackingV1(body any, lack scannertest.Lack) any {
	for _, tags := range body.([]any)[0].(map[string]any) {
		for _, evaluations := range tags.(map[string]any) {
			lackingTime(evaluations.([]any)[0].(map[string]any), "last_evaluation", lack)
		}
		switch lack {
		case scannertest.NoSubject:
			return []any{map[string]any{"": tags}}
		case scannertest.OtherSubject:
			return []any{map[string]any{another: tags}}
		default:
		}
	}
	return body
}

func lackingV2(body map[string]any, lack scannertest.Lack) {
	lackingTime(body["evaluations"].([]any)[0].(map[string]any), "evaluation_time", lack)
	switch lack {
	case scannertest.NoSubject:
		delete(body, "image_digest")
	case scannertest.OtherSubject:
		body["image_digest"] = another
	default:
	}
}

func lackingTime(evaluation map[string]any, field string, lack scannertest.Lack) {
	switch lack {
	case scannertest.NoTime:
		delete(evaluation, field)
	case scannertest.FutureTime:
		evaluation[field] = future
	default:
	}
}

func lackingList(body map[string]any, lack scannertest.Lack) {
	list, _ := body["vulnerabilities"].([]any)
	if len(list) == 0 {
		return
	}
	first := list[0].(map[string]any)
	switch lack {
	case scannertest.NoList:
		delete(body, "vulnerabilities")
	case scannertest.NullList:
		body["vulnerabilities"] = nil
	case scannertest.RenamedList:
		body["findings"] = list
		delete(body, "vulnerabilities")
	case scannertest.NoID:
		first["vuln"] = "None"
	case scannertest.NoPackage:
		delete(first, "package")
		delete(first, "package_name")
	case scannertest.NoSeverity:
		delete(first, "severity")
	case scannertest.UnknownSeverity:
		first["severity"] = "Catastrophic"
	case scannertest.OnlyScore:
		delete(first, "severity")
		first["nvd_data"] = []any{map[string]any{"id": "CVE-2020-0001", "cvss_v2": map[string]any{"base_score": -1}, "cvss_v3": map[string]any{"base_score": 9.8}}}
	default:
	}
}
