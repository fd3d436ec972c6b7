package finding

import (
	"regexp"
	"slices"
	"testing"
)

// TestEachIDIsOnce holds the three lists to one closed set.
func TestEachIDIsOnce(t *testing.T) {
	all := slices.Concat(Problems(), Warnings(), FromOutside())
	form := regexp.MustCompile(`^[a-z]+(_[a-z]+)+$`)
	for i, id := range all {
		if !form.MatchString(string(id)) || slices.Contains(all[:i], id) {
			t.Errorf("%s is of another form, or there twice", id)
		}
	}
	if len(all) != 43 {
		t.Errorf("there are %d", len(all))
	}
}

func TestText(t *testing.T) {
	if r := GatekeeperFailsOpen.EventReason(); r != "GatekeeperFailsOpen" {
		t.Error(r)
	}
	f := Finding{Message: "it is off"}
	if f.Text() != "it is off" {
		t.Error(f.Text())
	}
	if f.Command = "turn it on"; f.Text() != "it is off. turn it on" {
		t.Error(f.Text())
	}
}
