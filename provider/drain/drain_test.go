package drain_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/drain"
	"github.com/imagegate/imagegate/provider/interrupt"
)

// serve starts a server and returns its address, what asks for its end, and its end.
func serve(t *testing.T, h http.HandlerFunc, times drain.Times) (url string, end func(), ended <-chan error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	done := make(chan error, 1)
	go func() { done <- drain.Serve(ctx, &http.Server{Handler: h, ReadHeaderTimeout: time.Second}, l, times) }()
	return "http://" + l.Addr().String(), cancel, done
}

// Clients that keep their connections, and do not send a request again, lose none
// until they turn to another server.
func TestNobodyIsCutOff(t *testing.T) {
	url, end, ended := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) },
		drain.Times{Delay: 300 * time.Millisecond, Longest: 10 * time.Second, Grace: time.Second})
	const clients = 20
	var closed, asked atomic.Int64
	var wg sync.WaitGroup
	leave := make(chan struct{})
	for range clients {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
		wg.Go(func() {
			for {
				select {
				case <-leave:
					return
				default:
				}
				resp, err := client.Post(url, "text/plain", strings.NewReader("?"))
				if err != nil {
					t.Errorf("a request was lost: %v", err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				asked.Add(1)
				if resp.Close {
					closed.Add(1)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	end()
	// Longer than the delay: somebody has not heard of it yet.
	time.Sleep(600 * time.Millisecond)
	select {
	case err := <-ended:
		t.Fatalf("it ended while it was asked: %v", err)
	default:
	}
	close(leave)
	wg.Wait()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if closed.Load() < clients || asked.Load() < 2*clients {
		t.Errorf("%d of %d answers asked for the connection's end", closed.Load(), asked.Load())
	}
}

func TestNobodyHoldsIt(t *testing.T) {
	entered := make(chan struct{})
	requests, cut := context.WithCancel(t.Context())
	url, end, ended := serve(t, func(http.ResponseWriter, *http.Request) {
		close(entered)
		<-requests.Done()
	}, drain.Times{Delay: time.Millisecond, Longest: 50 * time.Millisecond, Patience: 50 * time.Millisecond, Grace: 10 * time.Second, Cut: cut})
	answered := make(chan error, 1)
	go func() {
		resp, err := http.Get(url)
		if err == nil {
			err = resp.Body.Close()
		}
		answered <- err
	}()
	<-entered
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("what waited had no answer: %v", err)
	}
}

func TestWhatDoesNotEndIsAnError(t *testing.T) {
	entered, forever := make(chan struct{}), make(chan struct{})
	defer close(forever)
	url, end, ended := serve(t, func(http.ResponseWriter, *http.Request) { close(entered); <-forever },
		drain.Times{Delay: time.Millisecond, Grace: 50 * time.Millisecond})
	go func() {
		if resp, err := http.Get(url); err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-entered
	end()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "waiting for requests to end") {
		t.Errorf("it ended with %v", err)
	}
}

// A person who interrupts a server waits for nobody.
func TestCtrlCDoesNotDrain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(interrupt.Err)
	began := time.Now()
	err = drain.Serve(ctx, &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}, l, drain.Times{Delay: time.Minute, Longest: time.Minute})
	if took := time.Since(began); err != nil || took > 5*time.Second {
		t.Errorf("after %s: %v", took, err)
	}
}
