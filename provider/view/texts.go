package view

// texts keeps each text once, however many findings have it. It is not safe for
// concurrent use.
type texts struct {
	at    map[string]uint32
	all   []text
	free  []uint32
	bytes int64
}

type text struct {
	text string
	uses int
}

// perText is about what a text takes beside itself.
const perText = 96

func newTexts() *texts { return &texts{at: map[string]uint32{}} }

// use returns the number of a text, which is kept until each use is over.
func (t *texts) use(s string) (n uint32, added bool) {
	if n, ok := t.at[s]; ok {
		t.all[n].uses++
		return n, false
	}
	if last := len(t.free) - 1; last >= 0 {
		n, t.free = t.free[last], t.free[:last]
		t.all[n] = text{s, 1}
	} else {
		n = uint32(len(t.all))
		t.all = append(t.all, text{s, 1})
	}
	t.at[s] = n
	t.bytes += int64(len(s)) + perText
	return n, true
}

// end ends one use of a text, and says whether it was the last.
func (t *texts) end(n uint32) (gone bool) {
	e := &t.all[n]
	if e.uses--; e.uses > 0 {
		return false
	}
	t.bytes -= int64(len(e.text)) + perText
	delete(t.at, e.text)
	*e = text{}
	t.free = append(t.free, n)
	return true
}

func (t *texts) get(n uint32) string { return t.all[n].text }
