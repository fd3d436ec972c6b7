package pullthrough

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/imagegate/imagegate/provider/turns"
)

func TestUnpackingIsBounded(t *testing.T) {
	zeros := gzipped(t, make([]byte, 1<<20))
	if _, err := unpack(bytes.NewReader(zeros), packed, 1<<20, free(t)); err != nil {
		t.Error(err)
	}
	if _, err := unpack(bytes.NewReader(zeros), packed, 1<<20-1, free(t)); !errors.Is(err, errBomb) {
		t.Errorf("error is %v", err)
	}
	w, err := zstd.NewWriter(nil, zstd.WithWindowSize(2*maxWindow), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	var stream bytes.Buffer
	w.Reset(&stream)
	if _, err := w.Write([]byte("content")); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil { // a stream whose length its head does not tell
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := unpack(&stream, packed, maxUnpacked, free(t)); !errors.Is(err, zstd.ErrWindowSizeExceeded) {
		t.Errorf("a zstd stream may ask for any memory: %v", err)
	}
}

// drops sends a byte every pause.
type drops struct {
	ctx   context.Context // a body ends with its request
	pause time.Duration
	size  int
}

func (d drops) Read(b []byte) (int, error) {
	select {
	case <-time.After(d.pause):
		return min(len(b), d.size), nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func TestARegistryThatSendsDropByDropIsGivenUp(t *testing.T) {
	for _, tc := range []struct {
		pause time.Duration
		size  int
		slow  bool
	}{
		{20 * time.Second, 1, true},
		{time.Hour, 1, true},
		{time.Second, paceLeast/30 - 1, true},
		{time.Second, paceLeast / 28, false},
		{20 * time.Second, paceLeast, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			p := newPaced(ctx, drops{ctx, tc.pause, tc.size}, cancel)
			began := time.Now()
			var err error
			for err == nil && time.Since(began) < 2*time.Minute {
				_, err = p.Read(make([]byte, 1<<20))
			}
			if errors.Is(err, errSlow) != tc.slow || errors.Is(err, io.EOF) {
				t.Errorf("%d bytes every %s: %v", tc.size, tc.pause, err)
			}
			if tc.slow && time.Since(began) > paceWindow {
				t.Errorf("it took %s", time.Since(began))
			}
		})
	}
}

// TestAScannerMayTakeItsTime: what it takes to read on is not the registry's.
func TestAScannerMayTakeItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		p := newPaced(ctx, drops{ctx, time.Millisecond, 1}, cancel)
		for range 100 {
			if _, err := p.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
	})
}

func free(t *testing.T) *slot {
	t.Helper()
	return &slot{work: newWork(), ctx: t.Context()}
}

// A few bytes that unpack to very much held the only slot until they had: a
// namespace with some such layers made another's wait for as long at each chunk.
func TestWhatUnpacksToMuchLetsOthersIn(t *testing.T) {
	bomb := gzipped(t, make([]byte, 64<<20))
	w := newWork()
	w.slots = turns.New(turns.Limits{Turns: 1, Waiting: 10})
	u := newUnpacker(packed, &slot{work: w, ctx: t.Context(), share: "evil"})
	defer u.abort()
	written := make(chan error, 1)
	go func() {
		_, err := u.Write(bomb)
		written <- err
	}()
	for w.slots.Held() == 0 {
		runtime.Gosched()
	}
	for let := 0; ; let++ {
		select {
		case err := <-written:
			if err != nil || let < 30 {
				t.Errorf("another was let in %d times meanwhile, %v", let, err)
			}
			return
		default:
		}
		if err := w.do(t.Context(), "good", func() {}); err != nil {
			t.Fatal(err)
		}
	}
}
