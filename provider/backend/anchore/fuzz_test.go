package anchore

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/report"
)

const fuzzDigest = "sha256:0000000000000000000000000000000000000000000000000000000000000001"

// seed adds the bodies of all recorded shapes.
func seed(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/*/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("there are no shapes", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var shape struct {
			Body json.RawMessage `json:"body"`
			Text string          `json:"text"`
		}
		if err := json.Unmarshal(b, &shape); err != nil {
			f.Fatal(err)
		}
		body := []byte(shape.Text)
		if shape.Body != nil {
			body = shape.Body
		}
		f.Add(bytes.ReplaceAll(body, []byte("{digest}"), []byte(fuzzDigest)))
	}
}

// checkVerdict asserts what holds for every verdict, whatever was answered.
func checkVerdict(t *testing.T, body []byte, v *verdict, err error) {
	t.Helper()
	if (v == nil) == (err == nil) {
		t.Fatalf("verdict %v and error %v", v, err)
	}
	if err != nil {
		return
	}
	var inner struct {
		Status   string          `json:"status"`
		PolicyID string          `json:"policyId"`
		Detail   json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(v.inner, &inner) != nil || inner.PolicyID == "" || !isObject(inner.Detail) {
		t.Fatalf("inner report %s of %s", v.inner, body)
	}
	if v.at.IsZero() && !bytes.Contains(body, []byte("0001-01-01")) {
		t.Error("there is no time")
	}
	want := map[report.Judgement]string{report.JudgementPass: "pass", report.JudgementFail: "fail"}[v.judgement]
	if want == "" || !strings.EqualFold(inner.Status, want) {
		t.Errorf("judgement %q of status %q", v.judgement, inner.Status)
	}
	if !bytes.Contains(body, []byte(fuzzDigest)) && !bytes.Contains(body, []byte(`\u`)) {
		t.Error("the verdict is not about the image")
	}
}

func FuzzVerdictV1(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := verdictV1(body, fuzzDigest)
		checkVerdict(t, body, v, err)
	})
}

func FuzzVerdictV2(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := verdictV2(body, fuzzDigest)
		checkVerdict(t, body, v, err)
	})
}

func FuzzState(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, d := range []dialect{v1(V1), v2()} {
			if st, err := d.state(body); err != nil && st != (state{}) {
				t.Errorf("state %+v and error %v", st, err)
			}
		}
	})
}

func FuzzFindings(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		list, err := findings(body, fuzzDigest)
		if err != nil && list != nil || err == nil && list == nil {
			t.Fatalf("list %v and error %v", list, err)
		}
		for i, v := range list {
			if v.ID == "" || v.Fixed == "None" || i > 0 && v.Severity > list[i-1].Severity {
				t.Errorf("finding %d is %+v", i, v)
			}
		}
	})
}
