// Package replica gives a process its name among the replicas of the provider.
//
// The name is kept in the process's data folder, so that it is the same after a
// restart: what the scan queue says that the replica is doing is known to be over
// then, and is done anew at once instead of when the replica would count as dead.
// Two processes must not have one name. A lock on the file sees to that where they
// share a folder; a folder must not be copied for another replica.
package replica

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// fileName is the file's name in the data folder.
const fileName = "replica"

const (
	// maxHost is how much of the host's name is in a replica's, for people.
	maxHost = 48
	// randomLength gives 50 bits: no two of some thousands are the same.
	randomLength = 10
	maxName      = maxHost + 1 + randomLength
	letters      = "abcdefghijklmnopqrstuvwxyz0123456789-"
)

// Identity is a name that no other process has while it is held.
type Identity struct {
	// Name has lower-case letters, digits and '-'.
	Name string
	// Own says that the data folder is this process's; else another process holds
	// it, and the name is for this once.
	Own  bool
	file *os.File
}

// Claim takes the name in the data folder, which is made where it is missing,
// until Release or the end of the process.
func Claim(dataDir string) (*Identity, error) {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, fmt.Errorf("dataDir: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dataDir, fileName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("dataDir: %w", err)
	}
	i, err := claim(f)
	if err != nil || !i.Own {
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("dataDir: the replica's name: %w", err)
	}
	return i, nil
}

func claim(f *os.File) (*Identity, error) {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return &Identity{Name: fresh()}, nil
		}
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxName+2))
	if err != nil {
		return nil, err
	}
	if name := strings.TrimSpace(string(b)); valid(name) {
		return &Identity{Name: name, Own: true, file: f}, nil
	}
	name := fresh()
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	if _, err := f.WriteAt([]byte(name+"\n"), 0); err != nil {
		return nil, err
	}
	return &Identity{Name: name, Own: true, file: f}, f.Sync()
}

// Release gives the name back, for the next process with the data folder.
func (i *Identity) Release() {
	if i.file != nil {
		_ = i.file.Close() // the lock ends with it
		i.file = nil
	}
}

func valid(name string) bool {
	return name != "" && len(name) <= maxName && strings.Trim(name, letters) == ""
}

// fresh is a new name, which begins with the host's: in a cluster that is the
// Pod's.
func fresh() string {
	random := strings.ToLower(rand.Text())[:randomLength]
	host, err := os.Hostname()
	if err != nil {
		return random
	}
	host = strings.Map(func(r rune) rune {
		if strings.ContainsRune(letters, r) {
			return r
		}
		return '-'
	}, strings.ToLower(host))
	if host = strings.Trim(host[:min(len(host), maxHost)], "-"); host == "" {
		return random
	}
	return host + "-" + random
}
