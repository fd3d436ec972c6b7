package failure

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestBounded(t *testing.T) {
	long := (&Failure{Code: "made up", Message: "x" + strings.Repeat("ü", 1<<20)}).Bounded()
	if long.Code != Internal || len(long.Message) > 1100 || !utf8.ValidString(long.Message) || !strings.HasSuffix(long.Message, "...") {
		t.Errorf("%s: %d bytes", long.Code, len(long.Message))
	}
	for _, code := range Codes() {
		if f := New(code, "a sentence").Bounded(); f.Code != code || f.Message != "a sentence" {
			t.Errorf("%s: %+v", code, f)
		}
	}
}
