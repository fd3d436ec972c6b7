package worker_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// served is the shipped binary running `scanner serve` with the sample database,
// and what it says of its scans.
type served struct {
	*testWorker
	listens chan string
	mu      sync.Mutex
	ended   []scanProcess
}

// scanProcess is the log record of one child's end.
type scanProcess struct {
	PeakMiB int64 `json:"peak_memory_mib"`
}

func serve(t *testing.T, flags ...string) *served {
	t.Helper()
	s := &served{testWorker: &testWorker{cache: t.TempDir()}, listens: make(chan string, 1)}
	cmd := exec.Command(shippedBinary(t), append([]string{"serve", "--listen", "127.0.0.1:0", "--db-sample", "--cache-dir", s.cache}, flags...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() { defer close(read); s.readLog(t, stderr) }()
	s.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("the worker ended with %v", err)
		}
	})
	t.Cleanup(s.stop)
	select {
	case address := <-s.listens:
		s.url = "http://" + address
	case <-read:
		t.Fatal("the worker ended at once")
	case <-time.After(time.Minute):
		t.Fatal("the worker does not listen")
	}
	s.waitReady(t)
	return s
}

func (s *served) readLog(t *testing.T, from io.Reader) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var record struct {
			Msg     string `json:"msg"`
			Address string `json:"address"`
			scanProcess
		}
		if json.Unmarshal(lines.Bytes(), &record) != nil {
			_, _ = t.Output().Write(append(lines.Bytes(), '\n'))
			continue
		}
		switch record.Msg {
		case "scanner worker listens":
			s.listens <- record.Address
		case "scan process ended":
			s.mu.Lock()
			s.ended = append(s.ended, record.scanProcess)
			s.mu.Unlock()
		}
	}
}

// lastScan is the last child that ended. The record is written before the
// result can be fetched, yet read by another goroutine: n says how many there
// must be.
func (s *served) lastScan(t *testing.T, n int) scanProcess {
	t.Helper()
	for range 200 {
		s.mu.Lock()
		ended := s.ended
		s.mu.Unlock()
		if len(ended) >= n {
			return ended[n-1]
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("the log does not tell of scan %d", n)
	return scanProcess{}
}
