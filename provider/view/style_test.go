package view_test

import (
	"math"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// Every colour of text can be read on every ground that it stands on, in both schemes,
// as WCAG 2.2 AA wants it (1.4.3); what lines and borders of controls tell can be seen
// (1.4.11).
func TestColoursHaveContrast(t *testing.T) {
	css, err := os.ReadFile("assets/style.css")
	if err != nil {
		t.Fatal(err)
	}
	schemes := []map[string]string{{}, {}}
	for _, m := range regexp.MustCompile(`--([a-z]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);`).FindAllStringSubmatch(string(css), -1) {
		schemes[0][m[1]], schemes[1][m[1]] = m[2], m[3]
	}
	const text, control = 4.5, 3
	for i, c := range schemes {
		if len(c) != 10 {
			t.Fatalf("%d colours are read: %v", len(c), c)
		}
		for _, ground := range []string{"page", "panel"} {
			for _, colour := range []string{"text", "quiet", "link", "good", "bad", "warn"} {
				if r := contrast(t, c[colour], c[ground]); r < text {
					t.Errorf("scheme %d: %s on %s has %.2f", i, colour, ground, r)
				}
			}
		}
		if r := contrast(t, c["text"], c["mark"]); r < text {
			t.Errorf("scheme %d: text on mark has %.2f", i, r)
		}
		if r := contrast(t, c["quiet"], c["page"]); r < control {
			t.Errorf("scheme %d: the border of controls has %.2f", i, r)
		}
	}
	if used := regexp.MustCompile(`#[0-9a-fA-F]{3,8}\b`).FindAllString(string(css), -1); len(used) != 20 {
		t.Errorf("%d colours beside those that were looked at", len(used)-20)
	}
}

// contrast is that of WCAG 2.2, from 1 to 21.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(colour[1:], 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	part := func(shift int) float64 {
		c := float64(n>>shift&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*part(16) + 0.7152*part(8) + 0.0722*part(0)
}
