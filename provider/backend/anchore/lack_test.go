package anchore_test

import (
	"github.com/imagegate/imagegate/provider/backend/anchore/anchoretest"
	"github.com/imagegate/imagegate/provider/backend/backendtest"
)

// cannot is what an API's answers cannot lack.
func cannot(api anchoretest.API) map[backendtest.Lack]string {
	out := map[backendtest.Lack]string{
		backendtest.NoScanner:    "the scanner is the service that was asked",
		backendtest.WorseOverall: "the API has no severity of an image as a whole",
		backendtest.Silence:      "the service judges by its own policy, also an image in which it finds nothing",
	}
	if api == anchoretest.Sysdig {
		out[backendtest.FutureDatabase] = "Sysdig does not tell how old its data is"
	}
	return out
}

const future = "2099-01-01T00:00:00Z"

// lacking makes the answers of a service lack something.
func lacking(api anchoretest.API, lack backendtest.Lack) func(path string, body any) any {
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
			if lack == backendtest.FutureDatabase {
				return []any{map[string]any{"name": "grypedb", "last_full_sync": future}}
			}
		}
		return body
	}
}

const another = "sha256:9999999999999999999999999999999999999999999999999999999999999999"

func lackingV1(body any, lack backendtest.Lack) any {
	for _, tags := range body.([]any)[0].(map[string]any) {
		for _, evaluations := range tags.(map[string]any) {
			lackingTime(evaluations.([]any)[0].(map[string]any), "last_evaluation", lack)
		}
		switch lack {
		case backendtest.NoSubject:
			return []any{map[string]any{"": tags}}
		case backendtest.OtherSubject:
			return []any{map[string]any{another: tags}}
		default:
		}
	}
	return body
}

func lackingV2(body map[string]any, lack backendtest.Lack) {
	lackingTime(body["evaluations"].([]any)[0].(map[string]any), "evaluation_time", lack)
	switch lack {
	case backendtest.NoSubject:
		delete(body, "image_digest")
	case backendtest.OtherSubject:
		body["image_digest"] = another
	default:
	}
}

func lackingTime(evaluation map[string]any, field string, lack backendtest.Lack) {
	switch lack {
	case backendtest.NoTime:
		delete(evaluation, field)
	case backendtest.FutureTime:
		evaluation[field] = future
	default:
	}
}

func lackingList(body map[string]any, lack backendtest.Lack) {
	list, _ := body["vulnerabilities"].([]any)
	if len(list) == 0 {
		return
	}
	first := list[0].(map[string]any)
	switch lack {
	case backendtest.NoList:
		delete(body, "vulnerabilities")
	case backendtest.NullList:
		body["vulnerabilities"] = nil
	case backendtest.RenamedList:
		body["findings"] = list
		delete(body, "vulnerabilities")
	case backendtest.NoID:
		first["vuln"] = "None"
	case backendtest.NoPackage:
		delete(first, "package")
		delete(first, "package_name")
	case backendtest.NoSeverity:
		delete(first, "severity")
	case backendtest.UnknownSeverity:
		first["severity"] = "Catastrophic"
	case backendtest.OnlyScore:
		delete(first, "severity")
		first["nvd_data"] = []any{map[string]any{"id": "CVE-2020-0001", "cvss_v2": map[string]any{"base_score": -1}, "cvss_v3": map[string]any{"base_score": 9.8}}}
	default:
	}
}
