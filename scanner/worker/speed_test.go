package worker_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// speedVariable asks for TestSpeed, which asserts nothing about time. Its value
// is the number of rounds.
const speedVariable = "SCANNER_SPEED"

// TestSpeed scans the same images with the worker and with Grype's own command
// line, in turn, and prints medians: cold, again from the package list, and a
// second build that shares all layers but one.
func TestSpeed(t *testing.T) {
	rounds, _ := strconv.Atoi(os.Getenv(speedVariable))
	if rounds < 1 {
		t.Skip(speedVariable + " is not set")
	}
	reg := startRegistry(t)
	base := []v1.Layer{compressed(t, debianFiles(400)), compressed(t, nodePackages(600)), toolchain(t, "src")}
	for _, sample := range []struct {
		name string
		base []v1.Layer
	}{
		{"Debian, npm packages and a source tree; the build is a Go program", base},
		{"the same with Go's own programs in the base", append(slices.Clip(base), toolchain(t, "bin"), toolchain(t, "pkg/tool"))},
	} {
		s := speed{reg: reg, program: read(t, build(t, "vulnerable"))}
		var cli, cold, again, shared []measure
		for n := range rounds {
			first, second := s.build(t, sample.base, n, 1), s.build(t, sample.base, n, 2)
			w := serve(t)
			g := newGrype(t, reg, w.cache)
			// The one that comes second finds the files in the system's cache.
			if n%2 == 0 {
				cli = append(cli, g.measure(t, "team/speed@"+first))
			}
			cold = append(cold, w.measure(t, reg, first, 1))
			again = append(again, w.measure(t, reg, first, 2))
			shared = append(shared, w.measure(t, reg, second, 3))
			if n%2 == 1 {
				cli = append(cli, g.measure(t, "team/speed@"+first))
			}
		}
		t.Logf("%s: %s, %d rounds, medians\n%s", sample.name, sizeOf(t, sample.base), rounds, speeds(cli, cold, again, shared))
	}
}

type speed struct {
	reg     *testRegistry
	program []byte
}

// build makes an image that no scan has seen yet.
func (s speed) build(t *testing.T, base []v1.Layer, round, number int) string {
	t.Helper()
	own := compressed(t, map[string][]byte{"app/server": s.program, "app/build": fmt.Appendf(nil, "%d.%d", round, number)})
	return push(t, s.reg, "team/speed", image(t, append(slices.Clip(base), own)...))
}

// measure is the time and the most resident memory of one scan.
type measure struct {
	took    time.Duration
	peakMiB int64
}

func (s *served) measure(t *testing.T, reg *testRegistry, digest string, n int) measure {
	t.Helper()
	time.Sleep(3 * time.Second) // as between builds: the worker prepares itself
	start := time.Now()
	s.report(t, request(reg, "team/speed", digest))
	return measure{time.Since(start), s.lastScan(t, n).PeakMiB}
}

func (g *grype) measure(t *testing.T, image string) measure {
	t.Helper()
	cmd := g.command(image)
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	peak := make(chan int64, 1)
	go func() { peak <- highWater(cmd, stop) }()
	err := cmd.Wait()
	took := time.Since(start)
	close(stop)
	if err != nil {
		t.Fatal(err)
	}
	return measure{took, <-peak}
}

// highWater follows the most resident memory of a process, in MiB, as the worker
// does: what wait4 says would count this test's own memory, from before exec.
func highWater(cmd *exec.Cmd, stop <-chan struct{}) int64 {
	var most int64
	for {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		if err == nil {
			_, rest, _ := strings.Cut(string(status), "VmHWM:")
			if fields := strings.Fields(rest); len(fields) > 0 {
				kib, _ := strconv.ParseInt(fields[0], 10, 64)
				most = max(most, kib>>10)
			}
		}
		select {
		case <-stop:
			return most
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func speeds(cli, cold, again, shared []measure) string {
	var table strings.Builder
	out := tabwriter.NewWriter(&table, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(out, "\tseconds\tof the command line's\ttarget\tpeak MiB")
	reference := median(cli)
	row := func(name, target string, all []measure) {
		m := median(all)
		_, _ = fmt.Fprintf(out, "%s\t%.2f\t%.2f\t%s\t%d\n", name, m.took.Seconds(), m.took.Seconds()/reference.took.Seconds(), target, m.peakMiB)
	}
	row("Grype's command line, cold", "", cli)
	row("worker, cold", "1.10", cold)
	row("worker, from the package list", "0.25", again)
	row("worker, second build", "0.60", shared)
	_ = out.Flush()
	return table.String()
}

func median(all []measure) measure {
	took, peak := make([]time.Duration, len(all)), make([]int64, len(all))
	for i, m := range all {
		took[i], peak[i] = m.took, m.peakMiB
	}
	slices.Sort(took)
	slices.Sort(peak)
	return measure{took[len(took)/2], peak[len(peak)/2]}
}

func sizeOf(t *testing.T, layers []v1.Layer) string {
	t.Helper()
	var packed, unpacked int64
	for _, l := range layers {
		n, err := l.Size()
		if err != nil {
			t.Fatal(err)
		}
		packed += n
		rc, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		zr, err := gzip.NewReader(rc)
		if err != nil {
			t.Fatal(err)
		}
		n, err = io.Copy(io.Discard, zr)
		if err != nil {
			t.Fatal(err)
		}
		unpacked += n
	}
	return fmt.Sprintf("base of %d layers, %d MiB, %d MiB unpacked", len(layers), packed>>20, unpacked>>20)
}

// compressed is a layer as builders push it.
func compressed(t *testing.T, files map[string][]byte) v1.Layer {
	t.Helper()
	entries := make([]tarEntry, 0, len(files))
	for path, content := range files {
		entries = append(entries, file(path, content))
	}
	slices.SortFunc(entries, func(a, b tarEntry) int { return strings.Compare(a.Name, b.Name) })
	return gzippedLayer(t, tarOf(t, entries...))
}

// nodePackages are n packages as npm installs them, with a source file each.
func nodePackages(n int) map[string][]byte {
	files := npmFiles()
	for i := range n {
		dir := fmt.Sprintf("app/node_modules/sample%d/", i)
		files[dir+"package.json"] = fmt.Appendf(nil, `{"name":"sample%d","version":"1.%d.0","license":"MIT"}`, i, i)
		files[dir+"index.js"] = bytes.Repeat(fmt.Appendf(nil, "module.exports = function f%d() { return %d }\n", i, i*i), 100)
		files[dir+"LICENSE"] = []byte("MIT License\n")
	}
	return files
}

// toolchain is a layer with a part of the Go installation, which every machine
// that runs this test has: a large tree of small files, or real programs.
func toolchain(t *testing.T, part string) v1.Layer {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(strings.TrimSpace(string(out)), part)
	var buf bytes.Buffer
	zw, sum := gzip.NewWriter(&buf), sha256.New()
	tw := tar.NewWriter(io.MultiWriter(zw, sum))
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		h := tar.Header{Name: filepath.Join("usr/local/go", part, inside), Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}
		if err := tw.WriteHeader(&h); err != nil {
			return err
		}
		_, err = tw.Write(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return packedLayer(buf.Bytes(), types.DockerLayer, sum.Sum(nil))
}
