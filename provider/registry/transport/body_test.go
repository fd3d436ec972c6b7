package transport_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/imagegate/imagegate/provider/registry/transport"
)

func TestBound(t *testing.T) {
	for _, tc := range []struct {
		sent string
		most int64
		read string
		err  error
	}{
		{"", 0, "", nil},
		{"abc", 4, "abc", nil},
		{"abc", 3, "abc", nil},
		{"abcd", 3, "abc", transport.ErrTooLarge},
		{"a", 0, "", transport.ErrTooLarge},
	} {
		for name, inner := range map[string]io.Reader{"whole": strings.NewReader(tc.sent), "bytewise": iotest.OneByteReader(strings.NewReader(tc.sent))} {
			body := transport.Bound(io.NopCloser(inner), tc.most)
			b, err := io.ReadAll(body)
			if string(b) != tc.read || !errors.Is(err, tc.err) {
				t.Errorf("%q of at most %d, %s: %q, %v", tc.sent, tc.most, name, b, err)
			}
			if _, again := body.Read(make([]byte, 8)); tc.err != nil && !errors.Is(again, tc.err) {
				t.Errorf("%q of at most %d, %s: read on, %v", tc.sent, tc.most, name, again)
			}
		}
	}
}
