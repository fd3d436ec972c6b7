package verdict_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/verdict"
)

// many is a file of 25,000 exceptions, of which the last excuses CVE-1.
func many() string {
	var b strings.Builder
	for i := range 24_999 {
		fmt.Fprintf(&b, "- {cve: CVE-2020-%d, images: [ghcr.io/acme/], expires: 2026-12-01, reason: r}\n", i+1)
	}
	return b.String() + excused
}

// Parsing 25,000 exceptions takes seconds, under a lock that every verdict took.
func TestVerdictsAreDrawnWhileFilesAreParsed(t *testing.T) {
	dir := t.TempDir()
	file, doc := filepath.Join(dir, "exceptions.yaml"), filepath.Join(dir, "vex.json")
	for name, change := range map[string]func(){
		"exceptions": func() { put(t, file, many()) },
		"VEX":        func() { put(t, doc, document("d", 2, later, said("not_affected", image, ""))) },
	} {
		t.Run(name, func(t *testing.T) {
			put(t, file, "[]")
			put(t, doc, document("d", 1, earlier))
			j := newJudge(t, verdict.Options{Threshold: report.SeverityHigh, ExceptionsFile: file, VEXFiles: []string{doc}})
			parsing, goOn := make(chan struct{}), make(chan struct{})
			j.HoldParsing(func() {
				close(parsing)
				<-goOn
			})
			change()
			done := make(chan error, 1)
			go func() { done <- j.Reload() }()
			<-parsing
			// It would hang here: the parse ends only after it.
			if got := status(j); got != report.Rejected {
				t.Errorf("during the parse: %s", got)
			}
			metrics := prometheus.NewRegistry()
			metrics.MustRegister(j)
			if _, err := testutil.GatherAndCount(metrics); err != nil {
				t.Error(err)
			}
			close(goOn)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if got := status(j); got != report.Accepted {
				t.Errorf("after it: %s", got)
			}
		})
	}
}

// Attached statements without effect were silent, and those in files are not.
func TestAStatementWithoutEffectIsWarnedOfWhereverItIs(t *testing.T) {
	powerless := document("d", 1, earlier, said("not_affected", `{"@id": "pkg:oci/web"}`, ""))
	const warning = "VEX statements have no effect"
	for source, tc := range map[string]struct{ configured, attached []string }{
		"files":    {configured: []string{powerless}},
		"attached": {attached: []string{powerless}},
	} {
		t.Run(source, func(t *testing.T) {
			var log logBuffer
			metrics := prometheus.NewRegistry()
			o := verdict.Options{Threshold: report.SeverityHigh, Logger: slog.New(slog.NewTextHandler(&log, nil)), Registerer: metrics}
			for i, d := range tc.configured {
				o.VEXFiles = append(o.VEXFiles, write(t, fmt.Sprintf("%d.json", i), d))
			}
			j := newJudge(t, o)
			scan := scanOf(finding("CVE-1", report.SeverityHigh, ""))
			scan.Subject = "sha256:of-the-image"
			for _, d := range tc.attached {
				scan.VEX = append(scan.VEX, json.RawMessage(d))
			}
			for range 3 {
				if got := j.Judge(scan, subject()); got.Status != report.Rejected {
					t.Errorf("%s %q", got.Status, got.Message)
				}
			}
			if n := log.count(warning); n != 1 || log.count("source="+source) != 1 || log.count("statement 1 (CVE-1)") != 1 {
				t.Errorf("warned %d times", n)
			}
			if source == "attached" && log.count("digest=sha256:of-the-image") != 1 {
				t.Error("the image is not named")
			}
			want := map[string]float64{"files": 0, "attached": 0}
			want[source] = 1
			var text strings.Builder
			text.WriteString("# HELP imagegate_vex_statements_without_effect_total OpenVEX statements read that can have no effect, by where they were: files, or attached to images.\n" +
				"# TYPE imagegate_vex_statements_without_effect_total counter\n")
			for _, s := range []string{"attached", "files"} {
				fmt.Fprintf(&text, "imagegate_vex_statements_without_effect_total{source=%q} %g\n", s, want[s])
			}
			if err := testutil.GatherAndCompare(metrics, strings.NewReader(text.String()), "imagegate_vex_statements_without_effect_total"); err != nil {
				t.Error(err)
			}
		})
	}
}

// Each document once, however many images have it and however often it is read
// again for having been forgotten.
func TestAttachedDocumentsAreWarnedOfOnceAndKeptByTheirBytes(t *testing.T) {
	var log logBuffer
	j := newJudge(t, verdict.Options{Threshold: report.SeverityHigh, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	padding := strings.Repeat("x", 1<<20)
	attached := func(i int) *report.Scan {
		scan := scanOf(finding("CVE-1", report.SeverityHigh, ""))
		d := document(fmt.Sprintf("d%d", i), 1, earlier, said("not_affected", `{"@id": "pkg:oci/web"}`, ""))
		scan.VEX = []json.RawMessage{json.RawMessage(strings.Replace(d, "{", `{"padding": "`+padding+`",`, 1))}
		return scan
	}
	const documents = 40
	for range 2 {
		for i := range documents {
			j.Judge(attached(i), subject())
		}
	}
	if n := log.count("VEX statements have no effect"); n != documents {
		t.Errorf("%d warnings of %d documents", n, documents)
	}
	if n := j.AttachedBytes(); n > 32<<20 || n == 0 {
		t.Errorf("%d bytes of documents are kept", n)
	}
}

// TestMemoryOfAttachedDocumentsAtItsWorst: they were counted as written, and
// aliases of four bytes took twenty times that.
func TestMemoryOfAttachedDocumentsAtItsWorst(t *testing.T) {
	const most, size = 32 << 20, 512 << 10
	repeated := func(i int, s string) string {
		var b strings.Builder
		for n := 0; b.Len() < size; n++ {
			fmt.Fprintf(&b, s, n*1000+i)
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	statement := func(products, rest string) string { return said("fixed", products, rest) }
	for _, tc := range []struct {
		name string
		make func(i int) string
	}{
		{"aliases", func(i int) string {
			return strings.Replace(statement(image, ""), `["GHSA-1"]`, `[`+repeated(i, `"%x",`)+`]`, 1)
		}},
		{"statements", func(i int) string {
			return repeated(i, `{"vulnerability":{"name":"C%x"},"products":[{"@id":"pkg:oci/w@sha256:1"}],"status":"fixed"},`)
		}},
		{"products", func(i int) string { return statement(repeated(i, `{"@id":"%x"},`), "") }},
		{"package URLs", func(i int) string { return statement(repeated(i, `{"@id":"pkg:a/b@%x?c=d"},`), "") }},
		{"subcomponents", func(i int) string {
			return statement(`{"@id":"a","subcomponents":[`+repeated(i, `{"@id":"%x"},`)+`]}`, "")
		}},
	} {
		j := newJudge(t, verdict.Options{Threshold: report.SeverityHigh, Logger: slog.New(slog.DiscardHandler)})
		before := heap()
		documents, written := 0, 0
		for i, beyond := 0, 0; beyond < 2; i++ { // two more than there is room for
			filled := j.AttachedBytes()
			scan := scanOf(finding("CVE-1", report.SeverityHigh, ""))
			scan.VEX = []json.RawMessage{json.RawMessage(document(fmt.Sprint("d", i), 1, earlier, tc.make(i)))}
			j.Judge(scan, subject())
			documents, written = i+1, written+len(scan.VEX[0])
			if grown := j.AttachedBytes() - filled; grown <= 0 || j.AttachedBytes()+grown > most {
				beyond++
			}
		}
		held := int(heap()) - int(before)
		counted := j.AttachedBytes()
		fmt.Printf("%2d attached documents of %4.1f MiB, all %-14s %5.1f MiB counted, %5.1f MiB of heap\n", documents, float64(written)/(1<<20), tc.name+":", float64(counted)/(1<<20), float64(held)/(1<<20))
		if counted == 0 || counted > most || held > 2*most {
			t.Errorf("%s: counted are %d bytes, held %d, more than %d", tc.name, counted, held, most)
		}
		runtime.KeepAlive(j)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestBrokenAttachedDocumentsAreToldOfOnceAndShortly(t *testing.T) {
	var log logBuffer
	j := newJudge(t, verdict.Options{Threshold: report.SeverityHigh, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	scan := scanOf(finding("CVE-1", report.SeverityHigh, ""))
	scan.VEX = []json.RawMessage{json.RawMessage(`{"@context": "` + strings.Repeat("x", 1<<20) + `"}`)}
	for range 3 {
		j.Judge(scan, subject())
	}
	if n := log.count("one cannot be read"); n != 1 || log.len() > 4<<10 {
		t.Errorf("%d lines, %d bytes of log", n, log.len())
	}
}
