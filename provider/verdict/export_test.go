package verdict

// HoldParsing has f called before files are parsed, from the next reload on.
func (j *Judge) HoldParsing(f func()) { j.parsing = f }

// Reload reads the files that changed.
func (j *Judge) Reload() error { return j.reload() }

// AttachedBytes is how much of attached documents is remembered.
func (j *Judge) AttachedBytes() int {
	j.attached.mu.Lock()
	defer j.attached.mu.Unlock()
	return j.attached.bytes
}
