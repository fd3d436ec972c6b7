package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"syscall"

	"github.com/imagegate/imagegate/scanner/failure"
)

// Serve is the child's side: it reads the request, limits its own process,
// scans and writes the outcome. An error means that nothing could be answered.
func Serve(ctx context.Context, in io.Reader, out io.Writer, scan func(context.Context, Request) (*Findings, error)) error {
	var req Request
	if err := json.NewDecoder(in).Decode(&req); err != nil {
		return fmt.Errorf("read the scan request: %w", err)
	}
	if err := confine(req.Limits); err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(outcome(ctx, req, scan)); err != nil {
		return fmt.Errorf("write the scan's outcome: %w", err)
	}
	return nil
}

// outcome scans within the time there is. What is ready only after that is not
// believed: libraries that are cut short may answer with what they have.
func outcome(ctx context.Context, req Request, scan func(context.Context, Request) (*Findings, error)) Outcome {
	ctx, cancel := context.WithTimeout(ctx, req.Limits.Timeout)
	defer cancel()
	findings, err := scan(ctx, req)
	if err == nil && ctx.Err() != nil {
		err = cancelled(ctx)
	}
	if err == nil {
		return Outcome{Findings: findings}
	}
	o := Outcome{Failure: failure.Of(err), ListUnreadable: errors.Is(err, ErrListUnreadable)}
	slog.InfoContext(ctx, "scan failed", "code", o.Failure.Code, "error", failure.Cut(err.Error()))
	return o
}

// dataSlack is what the hard limit leaves above the watched one: Go maps its
// heap in steps of 64 MiB and keeps tables beside it, none of which is resident.
const dataSlack = 1 << 30

// confine sets the kernel's limits on this process. The address space is left
// alone: Go reserves far more of it than it uses.
func confine(l Limits) error {
	// Passing the file limit would otherwise end the process without a word.
	signal.Ignore(syscall.SIGXFSZ)
	for _, r := range []struct {
		name     string
		resource int
		value    int64
	}{
		{"file size", syscall.RLIMIT_FSIZE, l.File},
		{"data", syscall.RLIMIT_DATA, l.Memory + dataSlack},
		{"core", syscall.RLIMIT_CORE, 0},
	} {
		if r.value < 0 {
			continue
		}
		limit := syscall.Rlimit{Cur: uint64(r.value), Max: uint64(r.value)}
		if err := syscall.Setrlimit(r.resource, &limit); err != nil {
			return fmt.Errorf("set the %s limit to %d: %w", r.name, r.value, err)
		}
	}
	return nil
}
