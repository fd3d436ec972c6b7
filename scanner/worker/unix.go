package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"
)

// socketMode lets the worker's user and group ask. Containers of one Pod share
// both, mostly, and the group in any case where the Pod has an fsGroup.
const socketMode = 0o660

// longestPath is what the kernel takes as a socket's path, its suffix while it is
// made included.
const longestPath = 107 - len(".new")

// listenUnix makes a socket. One that a worker has left which is gone is replaced;
// one that somebody answers at is not.
func listenUnix(path string) (net.Listener, error) {
	if len(path) > longestPath {
		return nil, fmt.Errorf("the path %s is longer than the %d bytes that a socket's may have", path, longestPath)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%s is there and is no socket", path)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path); err == nil {
		return nil, errors.Join(fmt.Errorf("another process listens at %s", path), conn.Close())
	}
	// Under another name until only those can open it who may.
	made := path + ".new"
	if err := os.Remove(made); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", made)
	if err != nil {
		return nil, err
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // it has another name by then
	}
	if err = os.Chmod(made, socketMode); err == nil {
		err = os.Rename(made, path)
	}
	if err != nil {
		_ = os.Remove(made)
		return nil, errors.Join(err, l.Close())
	}
	return &unixListener{Listener: l, path: path}, nil
}

// unixListener removes its socket when it is closed.
type unixListener struct {
	net.Listener
	path string
}

func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

func (l *unixListener) Close() error {
	_ = os.Remove(l.path) // one that is left is replaced
	return l.Listener.Close()
}
