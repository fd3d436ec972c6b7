package bundled

import (
	"context"
	"log/slog"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// What starting again does not cure ends a command's wait at once, with the worker's
// own words and nothing else.
func TestAWorkerThatCannotWorkIsGivenUp(t *testing.T) {
	w, out := start(t, "in use", Options{Once: true})
	began := time.Now()
	if err := w.WaitReady(t.Context(), nil); err == nil || err.Error() != "the cache directory is in use" {
		t.Errorf("error is %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	if strings.Contains(out.text(), `"level":"ERROR"`) {
		t.Errorf("it is logged as well: %s", out.text())
	}
}

// A server goes on trying, and its log says why.
func TestAServersLogSaysWhyTheWorkerEnds(t *testing.T) {
	_, out := start(t, "in use", Options{})
	for end := time.Now().Add(20 * time.Second); strings.Count(out.text(), `"error":"the cache directory is in use"`) < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(out.text())
		}
	}
}

// A panic ends a Go program with the code of a mistake, and is none.
func TestAPanicIsNoMistake(t *testing.T) {
	ended := exec.Command("sh", "-c", "exit 2").Run()
	if err := endOf(ended, ""); isSetup(err) || !strings.Contains(err.Error(), "exit status 2") {
		t.Errorf("%v", err)
	}
	if err := endOf(ended, "no such flag"); !isSetup(err) {
		t.Errorf("%v", err)
	}
	l := newLines(slog.New(slog.DiscardHandler), false)
	_, _ = l.Write([]byte("panic: nil map\n\tmain.go:1\n"))
	if l.last() != "" {
		t.Errorf("it said %q", l.last())
	}
}

func TestADatabaseThatCannotBeHad(t *testing.T) {
	w, _ := start(t, `{"state":"failed","error":"no such host"}`, Options{})
	err := w.WaitReady(t.Context(), nil)
	if err == nil {
		t.Fatal("it is ready")
	}
	for _, want := range []string{"loading the database: no such host", "--scanner-database sample", "scanner db import", "--scanner-database-url"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
}

// A download may take longer than the worker's patience, and is shown; one that stands
// still may not.
func TestADownloadThatTakesItsTime(t *testing.T) {
	const patience = time.Second
	w, _ := start(t, `{"state":"downloading","received":NOW,"total":104857600}`, Options{ReadyTimeout: patience})
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	var shown []string
	began := time.Now()
	if err := w.WaitReady(ctx, func(s string) { shown = append(shown, s) }); err == nil || time.Since(began) < 3*patience {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
	if last := shown[len(shown)-1]; !strings.Contains(last, "MiB of 100 MiB, ") || !strings.HasSuffix(last, "/s") {
		t.Errorf("it says %q", shown)
	}
	w, _ = start(t, `{"state":"downloading","received":5,"total":10}`, Options{ReadyTimeout: patience})
	began = time.Now()
	if err := w.WaitReady(t.Context(), nil); err == nil || time.Since(began) > 3*patience {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}

func TestSettingsOfTheDatabaseArePassedOn(t *testing.T) {
	args := func(o Options) string { return strings.Join(o.args(), " ") }
	if got := args(Options{DatabaseURL: "https://mirror", LogLevel: "debug"}); !strings.Contains(got, "--db-update-url https://mirror") || !strings.Contains(got, "--log-level debug") || strings.Contains(got, "--db-max-age") {
		t.Error(got)
	}
	if got := args(Options{DatabaseFile: "/db.tar"}); !strings.Contains(got, "--db-import /db.tar --db-max-age 0s") {
		t.Error(got)
	}
}
