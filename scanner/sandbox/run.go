package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/imagegate/imagegate/scanner/failure"
)

// Runner starts children.
type Runner struct {
	// Command is the child's program and arguments.
	Command []string
	// Env is added to the child's environment.
	Env []string
	// Scratch is where private directories are made.
	Scratch string
	// Limits hold for every scan.
	Limits Limits
	// Lists remembers package lists between scans.
	Lists Lists
	// Layers remembers layers between scans.
	Layers Layers
	// Warm has a spare child wait, prepared, for the next image while no scan
	// runs. Close ends it.
	Warm bool
	// Log gets the children's lines.
	Log *slog.Logger

	spare spare
}

// passedOn are the only variables of the worker's environment that a child
// needs: how to reach the registry. Everything else stays out.
var passedOn = []string{
	"PATH", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
}

// Lists keeps package lists by digest.
type Lists interface {
	// Has says whether there is a list of a digest.
	Has(digest string) bool
	// Get puts the list of a digest at a path, if it has one.
	Get(digest, to string) bool
	// Put takes the list of a digest from a path.
	Put(digest, from string) error
	// Drop forgets the list of a digest.
	Drop(digest string)
}

// Layers keeps unpacked layers.
type Layers interface {
	// Dir is where a child finds them, empty when none are kept.
	Dir() string
	// Adopt takes those that a child left in a directory, which need not exist.
	Adopt(from string) error
}

// Run scans once. Whatever happens the private directory is gone when it
// returns. Errors are of type *failure.Failure.
func (r *Runner) Run(ctx context.Context, req Request) (*Findings, error) {
	p := r.begin(r.Lists.Has(req.Digest))
	defer r.end()
	if p == nil {
		var err error
		if p, err = r.start(); err != nil {
			return nil, err
		}
	}
	defer r.remove(p.dir)

	req.WorkDir = p.dir
	req.Limits = r.Limits
	req.LayerCache = r.Layers.Dir()
	list := filepath.Join(p.dir, SBOMFile)
	if r.Lists.Get(req.Digest, list) {
		req.SBOM = list
	}
	out, err := r.exec(ctx, p, req)
	if err != nil {
		return nil, err
	}
	if out.ListUnreadable && req.SBOM != "" {
		r.Log.Warn("the package list that was kept of an image cannot be read; the next scan makes it again", "digest", req.Digest)
		r.Lists.Drop(req.Digest)
	}
	if out.Failure != nil {
		return nil, out.Failure
	}
	if out.Findings == nil {
		return nil, failure.New(failure.Internal, "the scan process answered neither findings nor a failure")
	}
	if req.SBOM == "" {
		if err := r.Lists.Put(req.Digest, list); err != nil {
			r.Log.Warn("the package list of an image could not be kept; the next scan makes it again", "digest", req.Digest, "error", err)
		}
		if err := r.Layers.Adopt(filepath.Join(p.dir, LayersDir)); err != nil {
			r.Log.Warn("layers of an image could not be kept; the next build fetches them again", "digest", req.Digest, "error", err)
		}
	}
	return out.Findings, nil
}

// exec has the child do the scan, or kills it.
func (r *Runner) exec(ctx context.Context, p *process, req Request) (*Outcome, error) {
	start := time.Now()
	stop := make(chan struct{})
	killed := make(chan *failure.Failure, 1)
	w := watcher{pid: p.cmd.Process.Pid, req: req, out: p.out}
	go func() { killed <- w.run(ctx, stop) }()
	p.logs.about(r.Log.With("digest", req.Digest))
	// A child that has died says more than the broken pipe.
	askErr := p.ask(req)
	<-p.ended
	close(stop)
	why := <-killed
	// The child may have left others in its group.
	killGroup(p.cmd.Process.Pid)
	p.logs.flush()
	took := time.Since(start)
	r.Log.Info("scan process ended", "digest", req.Digest, "duration", took, "peak_memory_mib", w.peak>>20)
	if why = inTime(why, took, req.Limits.Timeout); why != nil {
		return nil, why
	}
	if p.err == nil && askErr != nil {
		return nil, failure.Wrap(failure.Internal, askErr, "the scan request could not be given to the scan process")
	}
	return read(p.out, p.logs, p.err)
}

// inTime adds to what the watcher said: it may see the end of a child before it
// sees that the time was over, and such a child may have been cut short.
func inTime(why *failure.Failure, took, limit time.Duration) *failure.Failure {
	if why == nil && took >= limit {
		return tooLong(limit)
	}
	return why
}

func (r *Runner) environment(dir string) []string {
	env := []string{
		"TMPDIR=" + dir,
		"HOME=" + dir,
		"XDG_CACHE_HOME=" + dir,
		// Below the limit, so that the collector works harder before the watch kills.
		fmt.Sprintf("GOMEMLIMIT=%d", r.Limits.Memory/10*8),
		"GOTRACEBACK=single",
	}
	for _, name := range passedOn {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return append(env, r.Env...)
}

// read makes sense of what a child that ended by itself left behind.
func read(out *cappedBuffer, logs *logLines, waitErr error) (*Outcome, error) {
	if out.over {
		return nil, failure.New(failure.TooLarge, "the scan's result is larger than %s, the limit", size(out.limit))
	}
	if waitErr != nil {
		return nil, died(logs, waitErr)
	}
	var o Outcome
	if err := json.Unmarshal(out.buf.Bytes(), &o); err != nil {
		return nil, failure.Wrap(failure.Internal, err, "the scan process answered something that is not a result")
	}
	if o.Failure != nil {
		o.Failure = o.Failure.Bounded()
	}
	return &o, nil
}

func died(logs *logLines, waitErr error) error {
	if strings.Contains(logs.last(), "out of memory") || strings.Contains(logs.last(), "cannot allocate memory") {
		return failure.Wrap(failure.TooLarge, waitErr, "the scan needs more memory than it may use")
	}
	var exit *exec.ExitError
	if errors.As(waitErr, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() && ws.Signal() == syscall.SIGKILL {
			return failure.Wrap(failure.TooLarge, waitErr, "the scan process was killed by the system, most likely for lack of memory")
		}
	}
	return failure.Wrap(failure.Internal, waitErr, "the scan process ended unexpectedly: %s", firstLine(logs.last()))
}

// remove deletes a private directory. A scan may leave directories without
// write permission, which RemoveAll cannot empty.
func (r *Runner) remove(dir string) {
	if os.RemoveAll(dir) == nil {
		return
	}
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(path, 0o700) //nolint:gosec // a directory needs its x bit to be emptied
		}
		return nil
	})
	if err := os.RemoveAll(dir); err != nil {
		r.Log.Error("private directory of a scan could not be removed", "dir", dir, "error", err)
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if line == "" {
		return "it said nothing"
	}
	const most = 200
	if len(line) > most {
		line = line[:most] + "..."
	}
	return line
}
