package store_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/store"
	"github.com/imagegate/imagegate/provider/store/storetest"
)

var update = flag.Bool("update", false, "write testdata anew")

func newCodec(t testing.TB, format, oldest byte) *store.Codec {
	t.Helper()
	c, err := store.NewCodec(format, oldest)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func encoded(t testing.TB, c *store.Codec, key string, scan *report.Scan) []byte {
	t.Helper()
	value, _, err := c.Encode(key, scan)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// What a released provider has written stays readable, field by field: a field
// that is renamed would be lost, and a severity that is lost reads as harmless.
func TestReportsOfFormat1StayReadable(t *testing.T) {
	const golden = "testdata/report.format1"
	want := storetest.Full(1)
	if *update {
		if err := os.MkdirAll(filepath.Dir(golden), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, encoded(t, newCodec(t, 1, 1), storetest.Key(1), want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	value, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	got, err := newCodec(t, 0, 0).Decode(storetest.Key(1), value)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a report of format 1 has changed (-want +got):\n%s", diff)
	}
}

// A provider that kept findings under what the scanner called them is upgraded.
func TestAnOlderReportGoesByTheIdentifiersOfToday(t *testing.T) {
	old := storetest.Scan(1, 2)
	old.Vulnerabilities[1].ID, old.Vulnerabilities[1].Aliases = "GHSA-1", []string{"CVE-2022-1"}
	c, key := newCodec(t, 0, 0), storetest.Key(1)
	got, err := c.Decode(key, encoded(t, c, key, old))
	if err != nil {
		t.Fatal(err)
	}
	if v := got.Vulnerabilities[1]; v.ID != "CVE-2022-1" || v.Aliases[0] != "GHSA-1" {
		t.Errorf("it is called %s, with %s", v.ID, v.Aliases)
	}
}

// No part of a value can change, or be missing, without the whole not counting.
func TestADamagedReportIsNone(t *testing.T) {
	c, key := newCodec(t, 0, 0), storetest.Key(1)
	clean := storetest.Scan(1, 0)
	value := encoded(t, c, key, clean)
	if _, err := c.Decode(key, value); err != nil {
		t.Fatal(err)
	}
	for i := range value {
		for bit := range 8 {
			damaged := bytes.Clone(value)
			damaged[i] ^= 1 << bit
			if scan, err := c.Decode(key, damaged); err == nil {
				t.Errorf("with bit %d of byte %d turned it reads as %+v", bit, i, scan)
			}
		}
		if scan, err := c.Decode(key, value[:i]); err == nil {
			t.Errorf("cut after %d bytes it reads as %+v", i, scan)
		}
	}
	if scan, err := c.Decode(key, append(bytes.Clone(value), 0)); err == nil {
		t.Errorf("with a byte more it reads as %+v", scan)
	}
	if scan, err := c.Decode(storetest.Key(2), value); err == nil {
		t.Errorf("under another image's key it reads as %+v", scan)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		noise := make([]byte, r.IntN(200))
		for i := range noise {
			noise[i] = byte(r.Uint32())
		}
		copy(noise, value[:min(r.IntN(60), len(noise))])
		if scan, err := c.Decode(key, noise); err == nil && !bytes.Equal(noise, value) {
			t.Errorf("%x reads as %+v", noise, scan)
		}
	}
}

// A checksum is right for whatever was written: what was written must be a report.
func TestWhatSaysNothingIsNoReport(t *testing.T) {
	c, key := newCodec(t, 0, 0), storetest.Key(1)
	text, err := json.Marshal(storetest.Scan(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	without := func(field string) []byte {
		var m map[string]json.RawMessage
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		if _, ok := m[field]; !ok {
			t.Fatalf("there is no %s", field)
		}
		delete(m, field)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, tc := range map[string]struct {
		text []byte
		want string
	}{
		"nothing":                {nil, "unexpected end"},
		"null":                   {[]byte("null"), "it is about"},
		"an empty object":        {[]byte("{}"), "it is about"},
		"no scanner":             {without("Scanner"), "names no scanner"},
		"no subject":             {without("Subject"), "it is about"},
		"no time":                {without("ScannedAt"), "when it was made"},
		"no time of its receipt": {without("ReceivedAt"), "future"},
		"no coverage":            {without("Coverage"), "does not say what it looked at"},
		"another image":          {bytes.ReplaceAll(text, []byte(storetest.Digest(1)), []byte(storetest.Digest(2))), "it is about"},
		"a severity nobody knows": {bytes.Replace(text, []byte(`"Scanner"`),
			[]byte(`"Vulnerabilities":[{"ID":"CVE-1","Package":"p","Severity":"Apocalyptic"}],"Scanner"`), 1), "Apocalyptic"},
	} {
		scan, err := c.Decode(key, c.Pack(key, tc.text, len(tc.text)))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %+v, %v, want an error with %q", name, scan, err, tc.want)
		}
	}
	for name, scan := range map[string]*report.Scan{"nil": nil, "empty": {}, "another's": storetest.Scan(2, 1)} {
		if _, _, err := c.Encode(key, scan); err == nil {
			t.Errorf("a scan is written that could not be read: %s", name)
		}
	}
}

// Whoever can write to the bucket can make a value with a right checksum.
func TestAHostileReportTakesBoundedMemory(t *testing.T) {
	c, key := newCodec(t, 0, 0), storetest.Key(1)
	pack := func(text []byte, claimed int) []byte { return c.Pack(key, text, claimed) }
	none := `{"Vulnerabilities":[` + strings.Repeat(`{},`, store.MaxPlain/3-20) + `{}]}`
	for name, value := range map[string][]byte{
		"more than it claims": pack(make([]byte, 4*store.MaxPlain), store.MaxPlain),
		"more than may be":    pack(make([]byte, 4*store.MaxPlain), 4*store.MaxPlain),
		"empty findings":      pack([]byte(none), len(none)),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		scan, err := c.Decode(key, value)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: reads as %+v", name, scan)
		}
		took := (after.TotalAlloc - before.TotalAlloc) >> 20
		fmt.Printf("a value of %d bytes, %s: %d MiB allocated to refuse it: %v\n", len(value), name, took, err)
		if took > 2*store.MaxPlain>>20 {
			t.Errorf("%s: %d MiB were allocated", name, took)
		}
	}
}

// TestVersions has two versions of the provider on one bucket.
func TestVersions(t *testing.T) {
	const newer = 7
	key := storetest.Key(1)
	for name, tc := range map[string]struct {
		// writes is what the newer provider asks of its readers.
		writes byte
		// reads says whether the old one reads it.
		reads bool
	}{
		"a newer provider that old ones understand":     {1, true},
		"a newer provider that old ones must not trust": {newer, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := bucket.NewMemory()
			before, after := newReports(t, store.ReportsOptions{Bucket: b}), newReports(t, store.ReportsOptions{Bucket: b})
			after.UseCodec(newCodec(t, newer, tc.writes))
			run(t, before)
			run(t, after)

			// New meets old.
			revision, err := before.Put(t.Context(), "shop", key, storetest.Scan(1, 1))
			if err != nil {
				t.Fatal(err)
			}
			if scan, err := after.GetAt(t.Context(), key, revision); err != nil || scan == nil {
				t.Fatalf("the newer provider reads %v, %v", scan, err)
			}
			// Old meets new.
			if revision, err = after.Put(t.Context(), "shop", key, storetest.Scan(1, 2)); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				scan, err := before.GetAt(t.Context(), key, revision)
				if err != nil || (scan != nil) != tc.reads {
					t.Fatalf("the older provider reads %v, %v", scan, err)
				}
			}
			if e, err := b.Get(t.Context(), key); err != nil || e == nil || e.Revision != revision {
				t.Fatalf("what the newer one wrote is %v, %v now", e, err)
			}
			// The old one scans again, and both have that: what it knows it knows, and
			// neither goes on scanning.
			if revision, err = before.Put(t.Context(), "shop", key, storetest.Scan(1, 3)); err != nil {
				t.Fatal(err)
			}
			for _, r := range []*store.Reports{before, after} {
				scan, err := r.GetAt(t.Context(), key, revision)
				if err != nil || scan == nil || len(scan.Vulnerabilities) != 3 {
					t.Fatalf("after a new scan: %v, %v", scan, err)
				}
			}
		})
	}
	t.Run("fields that are not known", func(t *testing.T) {
		text, err := json.Marshal(storetest.Scan(1, 1))
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.Replace(text, []byte(`"Scanner"`), []byte(`"Telemetry":{"a":[1]},"Scanner"`), 1)
		text = bytes.Replace(text, []byte(`"Package"`), []byte(`"Owner":"x","Package"`), 1)
		scan, err := newCodec(t, 0, 0).Decode(key, newCodec(t, newer, 1).Pack(key, text, len(text)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(storetest.Scan(1, 1), scan); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("told apart from what is broken", func(t *testing.T) {
		value := encoded(t, newCodec(t, newer, newer), key, storetest.Scan(1, 1))
		if _, err := newCodec(t, 0, 0).Decode(key, value); !errors.Is(err, store.ErrNewer) {
			t.Errorf("error %v", err)
		}
	})
}

func TestWhatAReportTakes(t *testing.T) {
	c, key := newCodec(t, 0, 0), storetest.Key(1)
	for _, findings := range []int{0, 30, 300, 3000} {
		value, plain, err := c.Encode(key, storetest.Scan(1, findings))
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		kept := make([]*report.Scan, 20)
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range kept {
			if kept[i], err = c.Decode(key, value); err != nil {
				t.Fatal(err)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		fmt.Printf("a report of %4d findings: %7d bytes of JSON, %6d stored (1 : %.1f), %7d in memory\n",
			findings, plain, len(value), float64(plain)/float64(len(value)), (int64(after.HeapAlloc)-int64(before.HeapAlloc))/int64(len(kept)))
		runtime.KeepAlive(kept)
		if findings >= 300 && len(value) > plain/3 {
			t.Errorf("%d bytes are stored as %d", plain, len(value))
		}
	}
}
