package worker

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestASocketIsMadeForUserAndGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	l, err := listen(Unix + path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != os.ModeSocket|socketMode || l.Addr().String() != path {
		t.Errorf("%v %v, address %s", info, err, l.Addr())
	}
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_ = conn.Close()
		}
	}()
	if _, err := listen(Unix + path); err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Errorf("a socket that is in use is taken over: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 0 {
		t.Errorf("there is still %v, %v", left, err)
	}
}

// A worker that was killed leaves its socket, and the next is in its place.
func TestASocketThatWasLeftIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	old, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	old.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := listen(Unix + path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNoSocketStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listen(Unix + path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("%v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "mine" {
		t.Errorf("%q %v", b, err)
	}
	long := Unix + "/" + strings.Repeat("x", 120)
	if _, err := listen(long); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("%v", err)
	}
	if err := checkListen("unix://run/x"); err == nil {
		t.Error("a path that is not whole is taken")
	}
}
