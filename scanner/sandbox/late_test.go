package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imagegate/imagegate/scanner/failure"
)

// Findings that come after the time was over are not believed, whoever made them.
func TestFindingsThatComeTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		req := Request{Limits: Limits{Timeout: time.Minute}}
		after := func(d time.Duration) Outcome {
			return outcome(t.Context(), req, func(context.Context, Request) (*Findings, error) {
				time.Sleep(d)
				return &Findings{}, nil
			})
		}
		if o := after(time.Second); o.Failure != nil || o.Findings == nil {
			t.Errorf("in time: %+v", o)
		}
		if o := after(2 * time.Minute); o.Findings != nil || o.Failure == nil || o.Failure.Code != failure.Timeout {
			t.Errorf("too late: %+v", o)
		}
	})
}

func TestChildThatEndsAtTheDeadline(t *testing.T) {
	tooLarge := failure.New(failure.TooLarge, "large")
	for _, c := range []struct {
		why  *failure.Failure
		took time.Duration
		want failure.Code
	}{
		{nil, time.Minute - 1, ""},
		{nil, time.Minute, failure.Timeout},
		{tooLarge, time.Second, failure.TooLarge},
		{tooLarge, time.Hour, failure.TooLarge},
	} {
		got := inTime(c.why, c.took, time.Minute)
		if (got == nil) != (c.want == "") || got != nil && got.Code != c.want {
			t.Errorf("%v after %s: %v, want %q", c.why, c.took, got, c.want)
		}
	}
}

func answered(t *testing.T, o Outcome) *cappedBuffer {
	t.Helper()
	raw, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	out := &cappedBuffer{limit: 1 << 30}
	_, _ = out.Write(raw)
	return out
}

func TestFailureOfAChildIsBounded(t *testing.T) {
	o, err := read(answered(t, Outcome{Failure: failure.New("made up", "%s", strings.Repeat("h", 8<<20))}), nil, nil)
	if err != nil || o.Failure.Code != failure.Internal || len(o.Failure.Message) > 2<<10 {
		t.Errorf("%v %s: %d bytes", err, o.Failure.Code, len(o.Failure.Message))
	}
}

func TestUnreadableListIsSaid(t *testing.T) {
	o := outcome(t.Context(), Request{Limits: Limits{Timeout: time.Minute}}, func(context.Context, Request) (*Findings, error) {
		return nil, fmt.Errorf("read it: %w: %w", ErrListUnreadable, errors.New("odd"))
	})
	if !o.ListUnreadable || o.Failure == nil || o.Failure.Code != failure.Internal {
		t.Errorf("%+v", o)
	}
}

// A list that a child cannot read is not offered to the next one.
func TestUnreadableListIsDropped(t *testing.T) {
	r := newRunner(t, "picky")
	kept := lists{"sha256:a": []byte("not a list")}
	r.Lists = kept
	if _, err := r.Run(t.Context(), Request{Digest: "sha256:a"}); err == nil {
		t.Error("a list that cannot be read is no failure")
	}
	if kept.Has("sha256:a") {
		t.Error("the list is still there")
	}
	if got, err := r.Run(t.Context(), Request{Digest: "sha256:a"}); err != nil || got.Packages != 1 {
		t.Errorf("the next scan: %+v %v", got, err)
	}
}
