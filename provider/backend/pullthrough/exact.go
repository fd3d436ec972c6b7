package pullthrough

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// exact reads a JSON object and returns its members. Of the names given each may
// occur once and in this very spelling: readers disagree about which of two
// counts, and whether another spelling does, and a scanner must not read another
// image out of a document than was verified.
func exact(raw []byte, names ...string) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	open, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("reading JSON: %w", err)
	}
	if open != json.Delim('{') {
		return nil, fmt.Errorf("it is not a JSON object")
	}
	members := map[string]json.RawMessage{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("reading JSON: %w", err)
		}
		key, ok := token.(string)
		if !ok {
			return nil, fmt.Errorf("it is not a JSON object")
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, fmt.Errorf("reading JSON: %w", err)
		}
		for _, name := range names {
			if !strings.EqualFold(key, name) {
				continue
			}
			if _, twice := members[name]; twice || key != name {
				return nil, fmt.Errorf("it says %s more than once or in another spelling", name)
			}
			members[name] = value
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("reading JSON: %w", err)
	}
	if d.More() {
		return nil, fmt.Errorf("it has something after its end")
	}
	return members, nil
}
