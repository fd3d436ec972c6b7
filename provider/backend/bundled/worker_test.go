package bundled

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The tests run this test binary again in place of the worker, in one of these
// modes. The end-to-end tests run the real worker.
const (
	modeVar   = "IMAGEGATE_TEST_WORKER"
	markerVar = "IMAGEGATE_TEST_MARKER"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(modeVar); mode != "" {
		standIn(mode)
		return
	}
	os.Exit(m.Run())
}

func standIn(mode string) {
	fs := flag.NewFlagSet("scanner", flag.ExitOnError)
	listen := fs.String("listen", "", "")
	fs.String("cache-dir", "", "")
	fs.String("insecure-registries", "", "")
	fs.String("registry-ca", "", "")
	fs.String("token-hosts", "", "")
	fs.Int("workers", 0, "")
	fs.Bool("db-sample", false, "")
	fs.Bool("beside", false, "")
	fs.String("log-level", "", "")
	_ = fs.Parse(os.Args[2:])
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	fmt.Fprintln(os.Stderr, `{"time":"2026-01-01T00:00:00Z","level":"WARN","msg":"hello","database":"sample"}`)
	fmt.Fprintln(os.Stderr, strings.Join(os.Args[1:], " "))
	marker := os.Getenv(markerVar)
	_, err := os.Stat(marker)
	first := err != nil
	if marker != "" && first {
		_ = os.WriteFile(marker, nil, 0o600)
	}
	if mode == "dies once" && first {
		os.Exit(3)
	}
	if mode == "in use" {
		fmt.Fprintln(os.Stderr, "scanner: the cache directory is in use")
		os.Exit(2)
	}
	status := http.StatusOK
	if mode == "not ready" || strings.HasPrefix(mode, "{") {
		status = http.StatusServiceUnavailable
	}
	http.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, "loading the database")
	})
	asked := 0
	http.HandleFunc("GET /database", func(w http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = fmt.Fprint(w, strings.ReplaceAll(mode, "NOW", strconv.Itoa(asked<<20)))
	})
	if *listen != "fd://3" {
		os.Exit(5)
	}
	socket, err := net.FileListener(os.NewFile(3, "socket"))
	if err != nil {
		os.Exit(6)
	}
	srv := &http.Server{ReadHeaderTimeout: time.Second}
	go func() {
		if err := srv.Serve(socket); !errors.Is(err, http.ErrServerClosed) {
			os.Exit(4)
		}
	}()
	for range stop {
		if mode != "stubborn" {
			_ = srv.Close()
			return
		}
	}
}

// logs collects what is logged.
type logs struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *logs) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.String()
}

func start(t *testing.T, mode string, o Options) (*Worker, *logs) {
	t.Helper()
	t.Setenv(modeVar, mode)
	out := &logs{}
	o.Path, o.CacheDir = os.Args[0], filepath.Join(t.TempDir(), "cache")
	if o.RestartInitial == 0 {
		o.RestartInitial = 10 * time.Millisecond
	}
	o.Logger = slog.New(slog.NewJSONHandler(out, nil))
	w, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close(context.Background()) })
	return w, out
}

func TestWorker(t *testing.T) {
	w, out := start(t, "works", Options{
		SampleDatabase: true, Insecure: []string{"127.0.0.1:5000"}, Workers: 1,
		CAFiles:    map[string]string{"r.example:5000": "/ca/r.pem", "a.example": "/ca/a.pem"},
		TokenHosts: []string{"10.0.0.5:5001"},
	})
	if err := w.WaitReady(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if w.Workers() != 1 {
		t.Errorf("it says that it has %d workers", w.Workers())
	}
	if err := w.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := w.Ready(t.Context()); err == nil {
		t.Error("the worker still answers")
	}
	for _, want := range []string{
		`"level":"WARN","msg":"hello","database":"sample","from":"scanner"`,
		"serve --listen fd://3 --cache-dir " + w.options.CacheDir,
		"--workers 1 --beside --db-sample --insecure-registries 127.0.0.1:5000 --token-hosts 10.0.0.5:5001 --registry-ca a.example=/ca/a.pem --registry-ca r.example:5000=/ca/r.pem",
	} {
		if !strings.Contains(out.text(), want) {
			t.Errorf("the log lacks %s:\n%s", want, out.text())
		}
	}
}

func TestWorkerIsStartedAgain(t *testing.T) {
	t.Setenv(markerVar, filepath.Join(t.TempDir(), "started"))
	w, out := start(t, "dies once", Options{})
	if err := w.WaitReady(t.Context(), nil); err != nil {
		t.Fatalf("%v\n%s", err, out.text())
	}
	if !strings.Contains(out.text(), "exit status 3") {
		t.Errorf("the log does not say how it died:\n%s", out.text())
	}
	w.mu.Lock()
	pid := w.process.Pid
	w.mu.Unlock()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(20 * time.Second)
	for !strings.Contains(out.text(), "signal: killed") {
		if time.Now().After(end) {
			t.Fatalf("its death is not noticed:\n%s", out.text())
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := w.WaitReady(t.Context(), nil); err != nil {
		t.Errorf("after being killed: %v", err)
	}
}

// While the worker is away its port is still the provider's.
func TestNobodyElseCanTakeThePort(t *testing.T) {
	t.Setenv(markerVar, filepath.Join(t.TempDir(), "started"))
	w, out := start(t, "dies once", Options{RestartInitial: time.Hour, RestartMax: time.Hour})
	end := time.Now().Add(20 * time.Second)
	for !strings.Contains(out.text(), "exit status 3") {
		if time.Now().After(end) {
			t.Fatalf("it does not die:\n%s", out.text())
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := w.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "is not running") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error is %v", err)
	}
	if l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", strings.TrimPrefix(w.URL(), "http://")); err == nil {
		_ = l.Close()
		t.Error("another process could answer as the worker")
	}
}

func TestNotReadySaysWhy(t *testing.T) {
	w, _ := start(t, "not ready", Options{ReadyTimeout: 2 * time.Second})
	err := w.WaitReady(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "loading the database") {
		t.Errorf("error is %v", err)
	}
}

func TestStubbornWorkerIsKilled(t *testing.T) {
	w, _ := start(t, "stubborn", Options{StopTimeout: 50 * time.Millisecond})
	if err := w.WaitReady(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("error is %v", err)
	}
	if err := w.Ready(t.Context()); err == nil {
		t.Error("the worker still answers")
	}
}

func TestMissingBinary(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, path := range []string{"", "/does/not/exist"} {
		_, err := Start(t.Context(), Options{Path: path, CacheDir: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), "make build") || !strings.Contains(err.Error(), "scanner.harbor.url") {
			t.Errorf("%q: error is %v", path, err)
		}
	}
}

func TestBinaryThatCannotRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "scanner")
	if err := os.WriteFile(path, []byte("not a program"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Options{Path: path, CacheDir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "starting the bundled scanner") {
		t.Errorf("error is %v", err)
	}
}

func TestLines(t *testing.T) {
	out := &logs{}
	l := newLines(slog.New(slog.NewJSONHandler(out, nil)), false)
	long := strings.Repeat("x", maxLine+10)
	for _, s := range []string{"one\ntw", "o\n\n", long + "\n", `{"msg":1}` + "\nlast"} {
		if n, err := l.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
	}
	l.flush()
	var got []string
	for line := range strings.Lines(out.text()) {
		_, rest, _ := strings.Cut(line, `"msg":"`)
		msg, _, _ := strings.Cut(rest, `","from"`)
		got = append(got, msg)
	}
	want := []string{"one", "two", long[:maxLine], long[maxLine:], `{\"msg\":1}`, "last"}
	if !slices.Equal(got, want) {
		t.Errorf("%d lines, want %d: %.200q", len(got), len(want), got)
	}
}

// The worker runs as many scans at once as the provider asks of it, but no more
// than there is memory for.
func TestWorkersAreAffordable(t *testing.T) {
	const fit = 3
	for wanted, got := range map[int]int{0: 1, 1: 1, fit: fit, fit + 100: fit} {
		o, err := Options{Workers: wanted, Memory: fit*scanMemory + 1, CacheDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)}.withDefaults()
		if err != nil || o.Workers != got {
			t.Errorf("of %d wanted workers there are %d, want %d: %v", wanted, o.Workers, got, err)
		}
		if args := strings.Join(o.args(), " "); !strings.Contains(args, fmt.Sprintf("--workers %d", got)) {
			t.Error(args)
		}
	}
	if _, err := (Options{Workers: -1}).withDefaults(); err == nil {
		t.Error("a negative number is taken")
	}
	for _, o := range []Options{{Memory: 400 << 20}, {Memory: -1}, {Disk: -1}, {LayerCache: -1}, {ListCache: -1}} {
		o.Logger = slog.New(slog.DiscardHandler)
		if _, err := o.withDefaults(); err == nil || o.Memory > 0 && !strings.Contains(err.Error(), "scanner.bundled.memoryBytes") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// The worker divides what it is given: it alone knows how.
func TestSizesArePassedOn(t *testing.T) {
	o, err := Options{Memory: 2 << 30, Disk: 8 << 30, LayerCache: 1 << 30, ListCache: 1 << 20, CacheDir: "/c", Logger: slog.New(slog.DiscardHandler)}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if args, want := strings.Join(o.args(), " "), "--memory 2147483648B --disk 8589934592B --layer-cache 1073741824B --sbom-cache 1048576B"; !strings.Contains(args, want) {
		t.Errorf("%s, want %s", args, want)
	}
	if o, err = (Options{CacheDir: "/c", Logger: slog.New(slog.DiscardHandler)}).withDefaults(); err != nil || strings.Contains(strings.Join(o.args(), " "), "--memory") {
		t.Errorf("%v %v", o.args(), err)
	}
}
