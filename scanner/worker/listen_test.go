package worker

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// handedDown is the number of a descriptor as a child inherits it: a copy that
// nobody else in this process closes.
func handedDown(t *testing.T, file *os.File) string {
	t.Helper()
	fd, err := syscall.Dup(int(file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s%d", inherited, fd)
}

func TestInheritedSocket(t *testing.T) {
	parent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parent.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	address := handedDown(t, file)
	if err := checkListen(address); err != nil {
		t.Fatal(err)
	}
	l, err := listen(address)
	if err != nil {
		t.Fatal(err)
	}
	if l.Addr().String() != parent.Addr().String() {
		t.Errorf("listens on %s, not on %s", l.Addr(), parent.Addr())
	}
	// The parent's own copy is of no use to a parent that is gone.
	if err := parent.Close(); err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) })}
	go func() { _ = srv.Serve(l) }()
	defer func() { _ = srv.Close() }()
	resp, err := http.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "hello" {
		t.Errorf("%q %v", body, err)
	}
}

func TestInheritedFileThatIsNoSocket(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if l, err := listen(handedDown(t, file)); err == nil {
		_ = l.Close()
		t.Error("a file is taken for a socket")
	}
}
