package registry

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

const indexType = "application/vnd.oci.image.index.v1+json"

// TestAnIndexFullOfAnnotationsIsKeptAsWhatIsUsedOfIt: sixty of them held 238 MiB.
func TestAnIndexFullOfAnnotationsIsKeptAsWhatIsUsedOfIt(t *testing.T) {
	var children []string
	for i := range maxChildren {
		children = append(children, fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%064d","size":1,
			"annotations":{"junk":"%s"},"urls":["%s"],"data":"AAAA","platform":{"os":"linux","architecture":"amd64"}}`, i, strings.Repeat("x", 30<<10), strings.Repeat("y", 100)))
	}
	body := []byte(`{"manifests":[` + strings.Join(children, ",") + `]}`)
	cache, err := newBounded(8192, documentBytes, documentTTL, (*document).bytes)
	if err != nil {
		t.Fatal(err)
	}
	resident := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := resident()
	const indexes = 60
	for i := range indexes {
		doc, err := parse(indexType, body)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range doc.children {
			if len(c.Annotations)+len(c.URLs)+len(c.Data) > 0 {
				t.Fatal("what nobody uses is kept")
			}
		}
		cache.Add(fmt.Sprint(i), doc)
	}
	after := resident()
	t.Logf("%d indexes of %d bytes take %d KiB of heap, counted as %d KiB", indexes, len(body), (max(after, before)-before)/1024, cache.Bytes()/1024)
	if cache.Bytes() > indexes*100<<10 {
		t.Errorf("%d bytes are kept of %d indexes", cache.Bytes(), indexes)
	}
	runtime.KeepAlive(cache)
}

func TestACacheIsBoundedInBytes(t *testing.T) {
	cache, err := newBounded(1000, 10*(entryBytes+100), time.Hour, func(s string) int { return len(s) })
	if err != nil {
		t.Fatal(err)
	}
	cache.Add("small", "x")
	cache.Add("huge", strings.Repeat("x", 1<<20))
	if _, ok := cache.Get("small"); !ok {
		t.Error("what can never fit has taken the place of others")
	}
	for i := range 100 {
		cache.Add(fmt.Sprint(i), strings.Repeat("x", 90))
		cache.Add(fmt.Sprint(i), strings.Repeat("x", 95))
	}
	if cache.Bytes() > cache.most {
		t.Errorf("%d bytes are kept, more than %d", cache.Bytes(), cache.most)
	}
	if _, ok := cache.Get("99"); !ok {
		t.Error("the latest is not kept")
	}
	if _, ok := cache.Get("0"); ok {
		t.Error("the first is kept beyond the bound")
	}
	gone, err := newBounded(10, 1<<20, time.Nanosecond, func(s string) int { return len(s) })
	if err != nil {
		t.Fatal(err)
	}
	gone.Add("a", "b")
	time.Sleep(time.Millisecond)
	if _, ok := gone.Get("a"); ok || gone.Bytes() != 0 {
		t.Errorf("what is too old is kept: %d bytes", gone.Bytes())
	}
}

func TestAMediaTypeOfThreeMegabytesIsAShortMessage(t *testing.T) {
	long := strings.Repeat("a", 3<<20)
	for what, body := range map[string]string{
		"media type":    `{"mediaType":"` + long + `"}`,
		"artifact type": `{"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"` + long + `","config":{"mediaType":"x"}}`,
		"child's type":  `{"mediaType":"` + indexType + `","manifests":[{"mediaType":"` + long + `"}]}`,
		"digest":        `{"mediaType":"` + indexType + `","manifests":[{"digest":"` + long + `"}]}`,
		"platform":      `{"mediaType":"` + indexType + `","manifests":[{"platform":{"os":"` + long + `"}}]}`,
		"features":      `{"mediaType":"` + indexType + `","manifests":[{"platform":{"os.features":["` + strings.Repeat(`a","`, 1000) + `"]}}]}`,
		"line feed":     `{"mediaType":"` + indexType + `","manifests":[{"platform":{"os":"a\nb"}}]}`,
	} {
		reg := newRegistry(t, false)
		reg.breakWith(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = fmt.Fprint(w, body)
		})
		f := theFailure(t, unscannable(resolver(t, Options{Insecure: []string{reg.host()}}).Resolve(t.Context(), reg.host()+"/app:1", "", Access{})), report.ReasonUnsupported)
		if len(f.Message) > 600 || strings.Contains(f.Message, "\n") {
			t.Errorf("%s: a message of %d bytes", what, len(f.Message))
		}
	}
}

// TestAFailureKeepsNoAnswer: the error of a registry's client holds all of it.
func TestAFailureKeepsNoAnswer(t *testing.T) {
	reg := newRegistry(t, false)
	reg.breakWith(answer(http.StatusTeapot, "text/plain", strings.Repeat("x", 1<<20)))
	_, err := resolver(t, Options{Insecure: []string{reg.host()}}).Resolve(t.Context(), reg.host()+"/app:1", "", Access{})
	f := theFailure(t, err, report.ReasonInternal)
	for err := error(f); err != nil; err = errors.Unwrap(err) {
		if len(fmt.Sprintf("%#v", err)) > 2000 {
			t.Errorf("%T is kept", err)
		}
	}
}

// TestAResolverLeavesNoGoroutines: each of its caches had one that swept it a
// hundred times in its time to live and never ended. Those of the tests' short
// times took a hundred seconds of two processors.
func TestAResolverLeavesNoGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 50 {
		r, err := New(Options{TagTTL: time.Second, AccessTTL: time.Second, FailureTTL: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
	}
	if after := runtime.NumGoroutine(); after >= before+50 {
		t.Errorf("%d goroutines are left of 50 resolvers", after-before)
	}
}
