package imagescan

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/sandbox"
)

// open asks a registry that answers so.
func open(ctx context.Context, t *testing.T, stall time.Duration, answer http.HandlerFunc) io.Reader {
	t.Helper()
	return openWith(ctx, t, sandbox.Limits{Stall: stall}, answer)
}

func openWith(ctx context.Context, t *testing.T, limits sandbox.Limits, answer http.HandlerFunc) io.Reader {
	t.Helper()
	srv := httptest.NewServer(answer)
	t.Cleanup(srv.Close)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := roundTripper(sandbox.Request{Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp.Body
}

// begin sends a part of what was announced.
func begin(w http.ResponseWriter) {
	w.Header().Set("Content-Length", "100")
	_, _ = w.Write([]byte("the beginning"))
	w.(http.Flusher).Flush()
}

func TestRegistryThatStalls(t *testing.T) {
	_, err := io.ReadAll(open(t.Context(), t, 50*time.Millisecond, func(w http.ResponseWriter, r *http.Request) {
		begin(w)
		<-r.Context().Done()
	}))
	if f := failure.Of(err); f.Code != failure.Registry || !strings.Contains(f.Message, "stopped sending") {
		t.Errorf("%v", err)
	}
}

func TestTransferThatIsCutOff(t *testing.T) {
	_, err := io.ReadAll(open(t.Context(), t, time.Minute, func(w http.ResponseWriter, _ *http.Request) { begin(w) }))
	explained := explain(err, sandbox.Request{})
	if f := failure.Of(explained); f.Code != failure.Registry || !strings.Contains(f.Message, "broke off") || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", explained)
	}
}

// What unpacks a layer hands the transport's failure on.
func TestTransferThatIsCutOffWhileUnpacking(t *testing.T) {
	var full strings.Builder
	zw := gzip.NewWriter(&full)
	_, _ = zw.Write([]byte(strings.Repeat("content", 1000)))
	_ = zw.Close()
	zr, err := gzip.NewReader(open(t.Context(), t, time.Minute, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(full.String()[:full.Len()-5]))
	}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(zr)
	if f := failure.Of(err); f.Code != failure.Registry {
		t.Errorf("%v", err)
	}
}

// The scan's own end is not the registry's fault.
func TestScanThatEndsWhileItReads(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	body := open(ctx, t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		begin(w)
		<-r.Context().Done()
	})
	cancel()
	_, err := io.ReadAll(body)
	var f *failure.Failure
	if err == nil || errors.As(err, &f) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestWholeAnswer(t *testing.T) {
	got, err := io.ReadAll(open(t.Context(), t, time.Minute, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("all of it")) }))
	if err != nil || string(got) != "all of it" {
		t.Errorf("%q %v", got, err)
	}
}

func TestHostsInMessagesAreCut(t *testing.T) {
	req := httptest.NewRequest(http.MethodGet, "http://"+strings.Repeat("h", 1<<16)+"/v2/", nil)
	transport, err := roundTripper(sandbox.Request{Limits: sandbox.Limits{Stall: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	if f := failure.Of(err); f.Code != failure.Registry || len(f.Message) > 500 {
		t.Errorf("%d bytes: %.100s", len(f.Message), f.Message)
	}
}

// A byte now and then is not enough, whoever reads it.
func TestRegistryThatDrips(t *testing.T) {
	const window = 100 * time.Millisecond
	_, err := io.ReadAll(openWith(t.Context(), t, sandbox.Limits{Stall: time.Minute, LeastTransfer: 1 << 20, TransferWindow: window}, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write([]byte("."))
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
	}))
	if f := failure.Of(err); f.Code != failure.Registry || !strings.Contains(f.Message, "sends too slowly") {
		t.Errorf("%v", err)
	}
}

// The time of whoever reads slowly is not the registry's, and what comes fast
// enough may take long.
func TestRegistryThatIsSlowEnough(t *testing.T) {
	body := openWith(t.Context(), t, sandbox.Limits{Stall: time.Minute, LeastTransfer: 2, TransferWindow: 20 * time.Second}, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("all of it"))
	})
	for range 9 {
		if n, err := body.Read(make([]byte, 1)); n != 1 || err != nil && err != io.EOF {
			t.Fatal(n, err)
		}
		time.Sleep(time.Millisecond)
	}
	if _, err := io.ReadAll(body); err != nil {
		t.Error(err)
	}
}
