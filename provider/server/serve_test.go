package server_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/server"
)

// TestAnswersOfAServerThatEndsCloseTheConnection: a client that keeps one would send
// its next request into the close of it.
func TestAnswersOfAServerThatEndsCloseTheConnection(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	served := make(chan error, 1)
	go func() {
		h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		served <- server.Serve(ctx, l, nil, h, server.Times{Longest: time.Second, Drain: time.Second}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	}()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	closes := func() bool {
		t.Helper()
		resp, err := (&http.Client{Transport: transport}).Get("http://" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.Close
	}
	if closes() {
		t.Error("a server that goes on closes the connection")
	}
	cancel()
	if !closes() {
		t.Error("a server that ends keeps the connection")
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
