package worker_test

import (
	"bytes"
	"fmt"
	"net/http"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/scanner/worker"
)

// A registry that lets a byte drip now and then, with many images, does not hold
// up the image of another registry, and each of its scans ends soon. The times
// are printed, not judged.
func TestDrippingRegistry(t *testing.T) {
	drips, good := startRegistry(t), startRegistry(t)
	var hostile []string
	sizes := map[string]int64{} // of layers, by digest
	for i := range 12 {
		l := layer(t, map[string][]byte{"f": bytes.Repeat([]byte{byte(i)}, 1<<20)})
		d, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if sizes[d.String()], err = l.Size(); err != nil {
			t.Fatal(err)
		}
		hostile = append(hostile, push(t, drips, "team/drip", image(t, l)))
	}
	drips.onBlob(func(rw http.ResponseWriter, r *http.Request) bool {
		size, isLayer := sizes[path.Base(r.URL.Path)]
		if !isLayer {
			return false
		}
		rw.Header().Set("Content-Length", fmt.Sprint(size))
		for r.Context().Err() == nil {
			_, _ = rw.Write([]byte("."))
			rw.(http.Flusher).Flush()
			select {
			case <-time.After(200 * time.Millisecond):
			case <-r.Context().Done():
			}
		}
		return true
	})
	w := startWorker(t, func(c *worker.Config) {
		c.Jobs.Workers, c.Limits.TransferWindow = 2, 3*time.Second
	})
	took := func(n int) time.Duration {
		digest := push(t, good, "team/good", image(t, layer(t, npmFiles()), layer(t, map[string][]byte{"build": []byte(fmt.Sprint(n))})))
		start := time.Now()
		if r := w.report(t, request(good, "team/good", digest)); len(r.Vulnerabilities) != 7 {
			t.Errorf("findings: %+v", r.Vulnerabilities)
		}
		return time.Since(start)
	}
	took(0) // the first reads programs and database from disk
	idle := took(1)
	var ids []string
	for _, d := range hostile {
		ids = append(ids, w.start(t, request(drips, "team/drip", d)))
	}
	beside := took(2)
	t.Logf("a good image takes %.1f s in an idle worker, %.1f s beside %d images of a dripping registry: %.1f times", idle.Seconds(), beside.Seconds(), len(ids), beside.Seconds()/idle.Seconds())
	if status, body := w.wait(t, ids[0]); status != http.StatusInternalServerError || !strings.Contains(string(body), `"registry"`) || !strings.Contains(string(body), "sends too slowly") {
		t.Errorf("the dripping registry's image: %d %s", status, body)
	}
	// Nobody waits for the others.
	for _, id := range ids[1:] {
		if status, _, body := w.do(t, http.MethodDelete, "/api/v1/scan/"+id, nil, nil); status != http.StatusNoContent && status != http.StatusNotFound {
			t.Errorf("giving up a scan: %d %s", status, body)
		}
	}
	for _, id := range ids[1:] {
		if status, body := w.wait(t, id); status != http.StatusInternalServerError {
			t.Errorf("a scan that was given up: %d %s", status, body)
		}
	}
	w.scratchIsEmpty(t)
}
