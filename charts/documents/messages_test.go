package documents

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var letter = regexp.MustCompile(`[A-Za-z]`)

const troubleshooting = "charts/imagegate/TROUBLESHOOTING.md"

func TestEveryMessageHasAnEntry(t *testing.T) {
	t.Parallel()
	all, err := Messages(Root)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 500 {
		t.Fatalf("%d messages found", len(all))
	}
	own, others, ok := strings.Cut(document(t, troubleshooting), "\n## Said by others\n")
	if !ok {
		t.Fatalf("%s has no section for what others say", troubleshooting)
	}
	entries := Entries(own)
	used := map[Entry]bool{}
	for _, m := range all {
		explained := false
		for _, e := range entries {
			if e.Explains(m) {
				explained, used[e] = true, true
			}
		}
		if !explained && !m.Part {
			t.Errorf("%s: write what this means and what to do, in %s:\n| `%s` |  |", m.At, troubleshooting, strings.NewReplacer("|", `\|`, "`", Gap).Replace(m.Text))
		}
	}
	for _, e := range entries {
		if !used[e] {
			t.Errorf("%s: nothing says `%s` any more", troubleshooting, e)
		}
		if letters := letter.FindAllString(string(e), -1); len(letters) < 6 {
			t.Errorf("%s: `%s` is too little to be found by", troubleshooting, e)
		}
	}
	if len(Entries(others)) < 4 {
		t.Errorf("%d entries for what others say", len(Entries(others)))
	}
	for _, table := range Tables(own) {
		for _, row := range table[1:] {
			if len(row) < 2 || len(row[1]) < 15 {
				t.Errorf("%s: %s: that says nothing", troubleshooting, row[0])
			}
		}
	}
}

func TestMessagesAreFoundWhereverTheyAre(t *testing.T) {
	t.Parallel()
	found, err := goMessages("a/b.go", `package b
func f(log *slog.Logger, x string) error {
	log.Info("this is only a log line", "why", x)
	panic("a programmer's own mistake")
	_ = fmt.Errorf("only wraps another one: %w", x)
	_ = []string{"it is a reason behind a colon"}
	_ = "two words"
	return errors.New("the registry " + x + " has no image " + say("of this very name"))
}`)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, m := range found {
		if !m.Part {
			texts = append(texts, m.Text)
		}
	}
	if want := []string{"the registry ... has no image ...", "of this very name"}; !slices.Equal(texts, want) {
		t.Errorf("found %q", texts)
	}
	rego := lineMessages("a.rego", "# \"a comment is none of them\"\nmsg := sprintf(\"Image '%s' is not allowed here\", [x])\n", regoText)
	chart := lineMessages("a.tpl", `{{- fail (printf "imagegate: %s: must be above %v" $a $b) -}}`, chartText)
	if got := fmt.Sprint(rego, chart); got != "[{a.rego:2 Image '...' is not allowed here false}] [{a.tpl:1 imagegate: ...: must be above ... false}]" {
		t.Error(got)
	}
}

func TestAnEntryExplainsMessagesWithItsWords(t *testing.T) {
	t.Parallel()
	m := Message{Text: "registry ... has no tag ... in repository ..."}
	for entry, want := range map[Entry]bool{
		"registry ... has no tag ...":   true,
		"has no tag":                    true,
		"has no tag ... registry":       false,
		"registry ... has no image ...": false,
	} {
		if got := entry.Explains(m); got != want {
			t.Errorf("%s: %v", entry, got)
		}
	}
}
