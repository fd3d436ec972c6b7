package parity

import (
	"strings"
	"sync"
)

const deniedBy = `admission webhook "validation.gatekeeper.sh" denied the request: `

// denials reads the messages of a denial. Any other error is returned.
func denials(err error) ([]Violation, error) {
	if err == nil {
		return nil, nil
	}
	_, messages, found := strings.Cut(err.Error(), deniedBy)
	if !found {
		return nil, err
	}
	return tagged(messages, "deny"), nil
}

// tagged reads lines of the form [constraint] message. A line without a
// constraint goes on with the message before it.
func tagged(text, action string) []Violation {
	var out []Violation
	for line := range strings.SplitSeq(text, "\n") {
		name, message, found := strings.Cut(strings.TrimPrefix(line, "["), "] ")
		if !found || !strings.HasPrefix(line, "[") {
			if len(out) > 0 {
				out[len(out)-1].Message += "\n" + line
			}
			continue
		}
		out = append(out, Violation{Constraint: name, Action: action, Message: withoutImplied(message)})
	}
	return out
}

// warnings collects the warnings of one request.
type warnings struct {
	mu    sync.Mutex
	texts []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, text)
}

func (w *warnings) violations() []Violation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return tagged(strings.Join(w.texts, "\n"), "warn")
}
