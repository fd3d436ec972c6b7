package admin

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// socketName is the socket's name in the data folder.
const socketName = "admin.sock"

// longestPath is what the kernel takes as a socket's path, its suffix while it is
// made included.
const longestPath = 107 - len(".new")

// Listen makes the socket in the data folder, for this process's user only. One
// that is there was left by a process that is gone: it is replaced, so whoever
// calls this has made sure that the folder is its own. The socket is removed when
// the listener is closed.
func Listen(ctx context.Context, dataDir string) (net.Listener, error) {
	path := filepath.Join(dataDir, socketName)
	if len(path) > longestPath {
		return nil, fmt.Errorf("dataDir: the path of %s is longer than the %d bytes that a socket's may have", path, longestPath)
	}
	// Under another name until nobody else can open it.
	made := path + ".new"
	if err := os.Remove(made); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("making the admin socket: %w", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", made)
	if err != nil {
		return nil, fmt.Errorf("making the admin socket: %w", err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // it has another name by then
	}
	if err = os.Chmod(made, 0o600); err == nil {
		err = os.Rename(made, path)
	}
	if err != nil {
		_ = l.Close()
		_ = os.Remove(made)
		return nil, fmt.Errorf("making the admin socket: %w", err)
	}
	return &listener{Listener: l, path: path}, nil
}

type listener struct {
	net.Listener
	path string
}

// Addr is the socket's name since it can be opened.
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

func (l *listener) Close() error {
	_ = os.Remove(l.path) // a socket that is left is replaced
	return l.Listener.Close()
}
