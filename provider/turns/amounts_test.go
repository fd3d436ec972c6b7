package turns_test

import (
	"testing"

	"github.com/imagegate/imagegate/provider/turns"
)

func TestAmountsLeaveAQuarterToOthers(t *testing.T) {
	a := turns.NewAmounts(128)
	var back []func()
	take := func(namespace string, n int64, want bool) {
		t.Helper()
		done, ok := a.TryTake(namespace, n)
		if ok != want {
			t.Errorf("%d of %s: %t", n, namespace, ok)
		}
		if ok {
			back = append(back, done)
		}
	}
	for range 6 {
		take("evil", 16, true)
	}
	take("evil", 1, false)
	take("evil-2", 16, true)
	take("evil-2", 16, false)
	take("good", 16, false) // no longer so many
	take("good", 4, true)
	for _, done := range back {
		done()
	}
	back = nil
	take("good", 128, true) // alone
	take("other", 1, false)
	back[0]()
	take("other", 129, false)
}
