//go:build !linux

package process

import "errors"

// Resident returns how much memory the child has resident, in bytes.
func (p *Process) Resident() (int64, error) {
	return 0, errors.New("read the memory of " + p.Name + ": only known on Linux")
}
