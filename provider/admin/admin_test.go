package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/admin"
	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/queue"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
	"github.com/imagegate/imagegate/provider/turns"
)

// scans is a queue that nobody works on beside failures that cannot all be
// forgotten. The real service is behind the handler in package cli.
type scans struct {
	queue   *queue.Queue
	failed  []service.Failed
	retried []string
}

func (s *scans) Queue() *queue.Queue      { return s.queue }
func (s *scans) Failed() []service.Failed { return s.failed }

func (s *scans) Retry(_ context.Context, f service.Failed) error {
	if f.Order.Digest == "" {
		return errors.New("it cannot be read")
	}
	s.retried = append(s.retried, f.ID)
	return nil
}

func (s *scans) Forget(context.Context, service.Failed) error {
	return errors.New("the bucket is away")
}

// serving returns a client of a handler behind a real socket.
func serving(t *testing.T, s *scans) *admin.Client {
	t.Helper()
	q, err := queue.New(queue.Options{
		Bucket: bucket.NewMemory(), Replica: "r", Waiting: 10, YieldAfter: time.Minute, AbandonAfter: time.Hour, Logger: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		err = q.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s.queue = q
	dir := t.TempDir()
	l, err := admin.Listen(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(admin.NewHandler(s, slog.New(slog.DiscardHandler)))
	_ = srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	t.Cleanup(srv.Close)
	return admin.NewClient(dir)
}

func TestWhatCannotBeDoneIsSaidOfEach(t *testing.T) {
	readable := service.Failed{ID: "aaaaaaaaaaaaaaaaaaaa", Reason: report.ReasonUnsupported, Order: service.Order{Namespace: "team", Digest: "sha256:a"}}
	s := &scans{failed: []service.Failed{readable, {ID: "bbbbbbbbbbbbbbbbbbbb"}}}
	c := serving(t, s)
	work, err := json.Marshal(service.Order{Reference: "nginx", Digest: "sha256:c", PullSecrets: []string{"pull"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, namespace := range []string{"one", "two"} {
		if _, err := s.queue.Ask(queue.Ask{Job: "job", Group: "job", Result: "job", Share: turns.Share{Namespace: namespace}, Work: work}); err != nil {
			t.Fatal(err)
		}
	}
	l, err := c.List(t.Context(), admin.Selector{})
	if err != nil || len(l.Scans) != 4 || l.Depth != (admin.Depth{Waiting: 2, Failed: 2}) {
		t.Fatalf("%+v, %v", l, err)
	}
	waiting := l.Scans[0].ID
	if l.Scans[0].PullSecrets[0] != "pull" || waiting == l.Scans[1].ID || l.Scans[0].Namespace == l.Scans[1].Namespace {
		t.Errorf("two namespaces ask for one job: %+v", l.Scans[:2])
	}
	r, err := c.Retry(t.Context(), admin.Selector{IDs: []string{"aaaaaaaaaaaa", "bbbbbbbbbbbb", waiting, "nonsense"}})
	if err != nil || len(r.Done) != 1 || len(s.retried) != 1 || len(r.Errors) != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	for i, want := range []string{"bbbbbbbbbbbb: it cannot be read", waiting + ": it has not failed, it is waiting", "nonsense: there is no such scan"} {
		if r.Errors[i] != want {
			t.Errorf("error %q, want %q", r.Errors[i], want)
		}
	}
	r, err = c.Purge(t.Context(), admin.Selector{All: true})
	if err != nil || len(r.Done) != 2 || len(r.Errors) != 2 || !strings.Contains(r.Errors[0], "the bucket is away") || len(s.queue.List()) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	for _, empty := range []func(context.Context, admin.Selector) (*admin.Result, error){c.Retry, c.Purge} {
		if _, err := empty(t.Context(), admin.Selector{}); err == nil || !strings.Contains(err.Error(), "nothing is chosen") {
			t.Errorf("%v", err)
		}
	}
}

func TestTheSocketIsItsUsersAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "admin.sock")
	// One that was left, and one that was being made.
	for _, name := range []string{path, path + ".new"} {
		l, err := net.Listen("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := admin.NewClient(dir).List(t.Context(), admin.Selector{})
	if _, ok := errors.AsType[*admin.NotServing](err); !ok {
		t.Errorf("of a socket that was left: %v", err)
	}
	l, err := admin.Listen(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || l.Addr().String() != path {
		t.Errorf("%v, %v, %s", info, err, l.Addr())
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	_, err = admin.NewClient(dir).List(t.Context(), admin.Selector{})
	if n, ok := errors.AsType[*admin.NotServing](err); !ok || !strings.Contains(n.Error(), dir) {
		t.Errorf("of none: %v", err)
	}
	long := filepath.Join(dir, strings.Repeat("a", 100))
	if _, err := admin.Listen(t.Context(), long); err == nil || !strings.HasPrefix(err.Error(), "dataDir: ") {
		t.Errorf("of a long path: %v", err)
	}
}

// TestAnotherVersionsAnswer is told from that of this one.
func TestAnotherVersionsAnswer(t *testing.T) {
	dir := t.TempDir()
	l, err := admin.Listen(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	_ = srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	defer srv.Close()
	if _, err := admin.NewClient(dir).List(t.Context(), admin.Selector{}); err == nil || !strings.Contains(err.Error(), "another version") {
		t.Errorf("%v", err)
	}
}
