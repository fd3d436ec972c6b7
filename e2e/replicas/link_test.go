package replicas_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/imagegate/imagegate/e2e/replicas"
)

// TestLink: a cut link is silent and loses nothing.
func TestLink(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	received := make(chan string, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				lines := bufio.NewScanner(c)
				for lines.Scan() {
					received <- lines.Text()
				}
				received <- "end"
				_ = c.Close()
			}()
		}
	}()
	link, err := replicas.NewLink(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Close)
	c, err := net.Dial("tcp", link.Addr)
	if err != nil {
		t.Fatal(err)
	}
	say := func(s string) {
		if _, err := fmt.Fprintln(c, s); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(want string) {
		t.Helper()
		select {
		case got := <-received:
			if got != want {
				t.Fatalf("%q arrived, want %q", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%q has not arrived", want)
		}
	}
	say("before")
	hear("before")
	link.Cut()
	say("while it is cut")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-received:
		t.Fatalf("%q passed a cut link", got)
	case <-time.After(200 * time.Millisecond):
	}
	link.Mend()
	hear("while it is cut")
	hear("end")
}
