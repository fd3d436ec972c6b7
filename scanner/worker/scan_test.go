package worker_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/scanner/harbor"
	"github.com/imagegate/imagegate/scanner/worker"
)

// The children of this test are the test itself: with -race, the race detector
// looks into them.
func TestVulnerableProgram(t *testing.T) {
	reg := startRegistry(t)
	digest := push(t, reg, "team/app", programImage(t, "vulnerable"))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := startWorker(t, func(c *worker.Config) {
		c.Command, c.Env = []string{self}, []string{childVariable + "=1"}
	})

	r := w.report(t, request(reg, "team/app", digest))
	if r.Severity != harbor.SeverityHigh || r.DatabaseKind != "sample" || r.DatabaseBuiltAt.IsZero() || r.Artifact.Digest != digest {
		t.Errorf("report: %+v", r)
	}
	type short struct{ id, alias, pkg, version, fix, severity string }
	var got []short
	for _, v := range r.Vulnerabilities {
		if v.VendorAttributes.PURL != "pkg:golang/golang.org/x/text@v0.3.5" || v.VendorAttributes.Published == nil || v.VendorAttributes.Type != "go-module" || v.VendorAttributes.Path != "/app" {
			t.Errorf("%s: vendor attributes %+v", v.ID, v.VendorAttributes)
		}
		got = append(got, short{v.ID, v.VendorAttributes.Aliases[0], v.Package, v.Version, v.FixVersion, string(v.Severity)})
	}
	want := []short{
		{"GHSA-69ch-w2m2-3vjp", "CVE-2022-32149", "golang.org/x/text", "v0.3.5", "0.3.8", "High"},
		{"GHSA-ppp9-7jff-5vj2", "CVE-2021-38561", "golang.org/x/text", "v0.3.5", "0.3.7", "High"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("findings\n got %v\nwant %v", got, want)
	}
	w.scratchIsEmpty(t)
}

func TestCleanProgram(t *testing.T) {
	reg := startRegistry(t)
	digest := push(t, reg, "team/clean", programImage(t, "clean"))
	w := startWorker(t, nil)

	status, body := w.wait(t, w.start(t, request(reg, "team/clean", digest)))
	var r harbor.Report
	if err := json.Unmarshal(body, &r); err != nil || status != http.StatusOK {
		t.Fatalf("report: %d %v %s", status, err, body)
	}
	if len(r.Vulnerabilities) != 0 || r.Severity != harbor.SeverityNone || r.Packages == 0 {
		t.Errorf("report: %+v", r)
	}
	if !bytes.Contains(body, []byte(`"vulnerabilities":[]`)) {
		t.Errorf("a clean report must say so with an empty list: %s", body)
	}
}

// A Debian root file system is recognised by its release file, and binary
// packages are matched by the source package they come from. npm packages lie
// beside it.
func TestDebianAndNodePackages(t *testing.T) {
	reg := startRegistry(t)
	base := layer(t, map[string][]byte{
		"etc/os-release": []byte("ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nNAME=\"Debian GNU/Linux\"\n"),
		"var/lib/dpkg/status": []byte(`Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc
Version: 2.36-9+deb12u1

Package: openssh-server
Status: install ok installed
Architecture: amd64
Source: openssh
Version: 1:9.2p1-2+deb12u3

Package: linux-libc-dev
Status: install ok installed
Architecture: amd64
Source: linux
Version: 6.1.52-1

`),
	})
	node := layer(t, map[string][]byte{
		"app/node_modules/minimist/package.json": []byte(`{"name":"minimist","version":"1.2.5"}`),
		"app/node_modules/lodash/package.json":   []byte(`{"name":"lodash","version":"4.17.21"}`),
	})
	digest := push(t, reg, "team/node", image(t, base, node))
	w := startWorker(t, nil)

	r := w.report(t, request(reg, "team/node", digest))
	if r.Distro != "debian 12" {
		t.Errorf("distro %q", r.Distro)
	}
	var got []string
	for _, v := range r.Vulnerabilities {
		got = append(got, fmt.Sprintf("%s %s %s %s %s", v.Severity, v.ID, v.Package, v.FixVersion, v.VendorAttributes.Type))
	}
	want := []string{
		"Critical GHSA-xvch-5gv4-984h minimist 1.2.6 npm",
		"High CVE-2023-4911 libc6 2.36-9+deb12u3 deb",
	}
	if !slices.Equal(got, want) {
		t.Errorf("findings\n got %q\nwant %q", got, want)
	}
	// A kernel's vulnerability does not count for its headers, and is not hidden.
	if len(r.Suppressed) != 1 {
		t.Fatalf("suppressed: %+v", r.Suppressed)
	}
	s := r.Suppressed[0]
	if s.ID != "CVE-2026-74455" || s.Package != "linux-libc-dev" || s.FixVersion != "6.1.187-1" || s.Severity != harbor.SeverityUnknown ||
		!strings.Contains(s.Reason, "only its headers") || !strings.HasPrefix(s.VendorAttributes.PURL, "pkg:deb/debian/linux-libc-dev@6.1.52-1") {
		t.Errorf("suppressed: %+v", s)
	}
}

// A digest is listed once; later scans match the list, yet still prove access.
func TestSecondScanUsesPackageList(t *testing.T) {
	reg := startRegistry(t)
	digest := push(t, reg, "team/app", programImage(t, "vulnerable"))
	w := startWorker(t, nil)
	first := w.report(t, request(reg, "team/app", digest))
	pulled := reg.blobs()
	second := w.report(t, request(reg, "team/app", digest))
	if reg.blobs() != pulled {
		t.Errorf("the second scan fetched %d blobs", reg.blobs()-pulled)
	}
	if len(first.Vulnerabilities) == 0 || !reflect.DeepEqual(first.Vulnerabilities, second.Vulnerabilities) {
		t.Errorf("findings differ:\n%+v\n%+v", first.Vulnerabilities, second.Vulnerabilities)
	}
	req := request(reg, "team/app", digest)
	req.Registry.Authorization = basic(user, "wrong")
	if e := w.failed(t, req); e.Code != "unauthorized" {
		t.Errorf("scan with wrong credentials of a known digest: %+v", e)
	}
}

// A package list that a bad disk has changed is made again.
func TestDamagedPackageList(t *testing.T) {
	reg := startRegistry(t)
	digest := push(t, reg, "team/app", programImage(t, "vulnerable"))
	w := startWorker(t, nil)
	first := w.report(t, request(reg, "team/app", digest))
	lists, err := filepath.Glob(filepath.Join(w.cache, "sboms", "*", "*.json"))
	if err != nil || len(lists) != 1 {
		t.Fatalf("package lists: %v %v", lists, err)
	}
	// One letter of a package's name: still a list, of another image.
	raw := bytes.ReplaceAll(read(t, lists[0]), []byte("golang.org/x/text"), []byte("golang.org/x/tent"))
	if err := os.WriteFile(lists[0], raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if again := w.report(t, request(reg, "team/app", digest)); !reflect.DeepEqual(first.Vulnerabilities, again.Vulnerabilities) {
		t.Errorf("findings differ:\n%+v\n%+v", first.Vulnerabilities, again.Vulnerabilities)
	}
}

// Packages of a distribution are looked up in its own records only.
func TestImageWithoutDistribution(t *testing.T) {
	reg := startRegistry(t)
	files := debianFiles(0)
	release := "etc/os-release"
	delete(files, release)
	unsaid := push(t, reg, "team/unsaid", image(t, layer(t, files)))
	files[release] = []byte("ID=debian\nVERSION_ID=\"99\"\n")
	newer := push(t, reg, "team/newer", image(t, layer(t, files)))
	w := startWorker(t, nil)
	w.expect(t, request(reg, "team/unsaid", unsaid), "unsupported", "does not say which one")
	if r := w.report(t, request(reg, "team/newer", newer)); r.UnmatchedPackages != 6 || r.Packages != 6 {
		t.Errorf("%d of %d packages are not matched", r.UnmatchedPackages, r.Packages)
	}
}

// Children run in directories of their own; relative directories mean the
// worker's.
func TestRelativeDirectories(t *testing.T) {
	reg := startRegistry(t)
	digest := push(t, reg, "team/app", image(t, layer(t, npmFiles())))
	self := shippedBinary(t)
	t.Chdir(t.TempDir())
	w := startWorker(t, func(c *worker.Config) {
		c.Command = []string{self, "scan-one"}
		c.CacheDir, c.Database.Dir = "cache", "database"
	})
	if r := w.report(t, request(reg, "team/app", digest)); len(r.Vulnerabilities) == 0 {
		t.Errorf("%+v", r)
	}
}

// What a killed worker left of its downloads is gone, and the metrics tell of
// the scans.
func TestTemporaryFilesAndMetrics(t *testing.T) {
	left := filepath.Join(t.TempDir(), "tmp", "getter1", "archive")
	if err := os.MkdirAll(filepath.Dir(left), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	reg := startRegistry(t)
	digest := push(t, reg, "team/app", image(t))
	w := startWorker(t, func(c *worker.Config) { c.CacheDir = filepath.Dir(filepath.Dir(filepath.Dir(left))) })
	if _, err := os.Lstat(filepath.Dir(left)); err == nil {
		t.Error("old temporary files stay")
	}
	w.report(t, request(reg, "team/app", digest))
	_, _, body := w.do(t, http.MethodGet, "/metrics", nil, nil)
	for _, line := range []string{`imagegate_worker_scans_total{result="ok"} 1`, `imagegate_worker_queued_scans 0`} {
		if !strings.Contains(string(body), line+"\n") {
			t.Errorf("no %s in\n%s", line, body)
		}
	}
	if !strings.Contains(string(body), "imagegate_worker_database_built_timestamp_seconds 1.") {
		t.Errorf("no age of the database in\n%s", body)
	}
}

func TestImageWithoutLayers(t *testing.T) {
	reg := startRegistry(t)
	digest := push(t, reg, "team/empty", image(t))
	w := startWorker(t, nil)
	if r := w.report(t, request(reg, "team/empty", digest)); r.Packages != 0 || len(r.Vulnerabilities) != 0 {
		t.Errorf("report: %+v", r)
	}
}

// A child that waited for its image finds what others find, and none waits any
// more when the worker has stopped.
func TestPreparedProcess(t *testing.T) {
	reg := startRegistry(t)
	digest := push(t, reg, "team/app", programImage(t, "vulnerable"))
	w := serve(t)
	scratch := filepath.Join(w.cache, "scratch", "*")
	waiting := func() []string {
		found, err := filepath.Glob(scratch)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	for len(waiting()) == 0 {
		time.Sleep(50 * time.Millisecond)
	}
	prepared := waiting()[0]
	if r := w.report(t, request(reg, "team/app", digest)); len(r.Vulnerabilities) != 2 {
		t.Errorf("findings: %+v", r.Vulnerabilities)
	}
	if slices.Contains(waiting(), prepared) {
		t.Error("the prepared process was not used")
	}
	for len(waiting()) == 0 {
		time.Sleep(50 * time.Millisecond)
	}
	w.stop()
	if left := waiting(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
