package worker_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/imagegate/imagegate/scanner/worker"
)

// A worker that was told to end scans on for who is still connected, and ends
// with the last of them.
func TestTheWorkerStaysForItsClients(t *testing.T) {
	w := startWorker(t, func(c *worker.Config) { c.ShutdownLimit = time.Minute })
	ended := make(chan struct{})
	go func() {
		w.stop()
		close(ended)
	}()
	// The default transport has kept the connection of waitReady.
	for range 15 {
		time.Sleep(100 * time.Millisecond)
		if status, _, body := w.do(t, http.MethodGet, "/readyz", nil, nil); status != http.StatusOK {
			t.Fatalf("status %d: %s", status, body)
		}
	}
	reg := startRegistry(t)
	node := layer(t, map[string][]byte{"app/node_modules/minimist/package.json": []byte(`{"name":"minimist","version":"1.2.5"}`)})
	if r := w.report(t, request(reg, "team/late", push(t, reg, "team/late", image(t, node)))); len(r.Vulnerabilities) != 1 {
		t.Errorf("it reports %+v", r.Vulnerabilities)
	}
	select {
	case <-ended:
		t.Fatal("it ended while a client was connected")
	default:
	}
	http.DefaultClient.CloseIdleConnections()
	<-ended
}

func TestTheWorkerStaysNoLongerThanItMay(t *testing.T) {
	w := startWorker(t, func(c *worker.Config) { c.ShutdownLimit = time.Second })
	w.stop() // although the default transport has a connection
	if _, err := http.Get(w.url + "/readyz"); err == nil {
		t.Error("it answers still")
	}
}
