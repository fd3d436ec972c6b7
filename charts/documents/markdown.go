package documents

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	link       = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	codeSpan   = regexp.MustCompile("`([^`]+)`")
	notInSlugs = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// Links returns where a document leads to.
func Links(text string) []string {
	var to []string
	for _, m := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(prose(text), ""), -1) {
		to = append(to, m[1])
	}
	return to
}

// Anchors returns the names that GitHub gives the headings of a document.
func Anchors(text string) map[string]bool {
	anchors := map[string]bool{}
	for line := range strings.Lines(prose(text)) {
		hashes, title, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.Trim(hashes, "#") != "" || !strings.HasPrefix(line, "#") {
			continue
		}
		slug := strings.ReplaceAll(notInSlugs.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""), " ", "-")
		name := slug
		for i := 1; anchors[name]; i++ {
			name = fmt.Sprintf("%s-%d", slug, i)
		}
		anchors[name] = true
	}
	return anchors
}

// CodeSpans returns what a document has between backquotes, outside of blocks.
func CodeSpans(text string) []string {
	var spans []string
	for _, m := range codeSpan.FindAllStringSubmatch(prose(text), -1) {
		spans = append(spans, m[1])
	}
	return spans
}

// prose is a document without its blocks of code.
func prose(text string) string {
	var b strings.Builder
	inside := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			inside = !inside
			continue
		}
		if !inside {
			b.WriteString(line)
		}
	}
	return b.String()
}

// Tables returns the rows of a document's tables, each a list of cells, without the
// rows of dashes.
func Tables(text string) [][][]string {
	var tables [][][]string
	inside := false
	for line := range strings.Lines(prose(text)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			inside = false
			continue
		}
		if !inside {
			tables = append(tables, nil)
			inside = true
		}
		if strings.Trim(line, "|- :") == "" {
			continue
		}
		last := len(tables) - 1
		tables[last] = append(tables[last], cells(line))
	}
	return tables
}

// cells of one row; \| is a bar in one.
func cells(row string) []string {
	const bar = "\x00"
	row = strings.ReplaceAll(strings.Trim(row, "|"), `\|`, bar)
	var list []string
	for cell := range strings.SplitSeq(row, "|") {
		list = append(list, strings.ReplaceAll(strings.TrimSpace(cell), bar, "|"))
	}
	return list
}

// Blocks returns the blocks of code of a language in a document, without the
// indentation of a list that they are in.
func Blocks(text, language string) (blocks []string) {
	var block *strings.Builder
	indent := ""
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		switch {
		case block == nil && trimmed == "```"+language:
			block = &strings.Builder{}
			indent, _, _ = strings.Cut(line, "`")
		case block != nil && trimmed == "```":
			blocks = append(blocks, block.String())
			block = nil
		case block != nil:
			block.WriteString(strings.TrimPrefix(line, indent))
		}
	}
	return blocks
}
