package nearest_test

import (
	"testing"

	"github.com/imagegate/imagegate/provider/nearest"
)

func TestTo(t *testing.T) {
	names := []string{"deny_pod", "deny_image", "allow_pod"}
	for written, want := range map[string]string{
		"deny_images": "deny_image", "Deny_Image": "deny_image", "deny_pods": "deny_pod", "alow_pod": "allow_pod",
		"deny_imgae": "deny_image", "dney_pod": "deny_pod",
		"helper": "", "": "", "x": "", "count_images": "",
	} {
		if got, ok := nearest.To(written, names); got != want || ok != (want != "") {
			t.Errorf("%q: %q, want %q", written, got, want)
		}
	}
}

// Two letters in each other's place are one mistake, as in a short name.
func TestSwappedLettersAreOneMistake(t *testing.T) {
	for written, want := range map[string]string{"amd46": "amd64", "lniux": "linux", "46dma": ""} {
		if got, ok := nearest.To(written, []string{"arm64", "amd64", "linux"}); got != want || ok != (want != "") {
			t.Errorf("%q: %q, want %q", written, got, want)
		}
	}
}
