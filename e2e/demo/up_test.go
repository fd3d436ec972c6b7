package main_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/imagegate/imagegate/e2e/build"
)

const (
	// patience bounds the wait for what a command should do.
	patience = time.Minute
	// startTime bounds that for a demo that may have to compile first.
	startTime = 10 * time.Minute
	// last is the end of what the demo prints before it waits.
	last = "Ctrl-C ends it all."
	// flaw is what the sample database knows of the program with a flaw.
	flaw = "CVE-2022-32149"
)

// up is a demo that was left running, and what it printed.
type up struct {
	root string
	cmd  *exec.Cmd
	says []string
	// more is what it prints after that, closed when it ends.
	more   chan string
	stderr bytes.Buffer
}

// startUp does what `make up STORY=no` does.
func startUp(t *testing.T) *up {
	t.Helper()
	root, err := build.Root()
	if err != nil {
		t.Fatal(err)
	}
	u := &up{root: root, more: make(chan string, 100)}
	program := filepath.Join(t.TempDir(), "demo")
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	u.cmd = exec.Command(program, "-keep", "-story=false")
	u.cmd.Stderr = &u.stderr
	// A group as a terminal's: Ctrl-C reaches all in it.
	u.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := u.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := u.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if u.cmd.ProcessState == nil {
			_ = syscall.Kill(-u.cmd.Process.Pid, syscall.SIGINT)
			for range u.more {
			}
			_ = u.cmd.Wait()
		}
	})
	go func() {
		defer close(u.more)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			u.more <- lines.Text()
		}
	}()
	for {
		select {
		case line, ok := <-u.more:
			if !ok {
				t.Fatalf("it ended: %s\n%s", strings.Join(u.says, "\n"), u.stderr.String())
			}
			if u.says = append(u.says, line); strings.Contains(line, last) {
				return u
			}
		case <-ctx.Done():
			t.Fatalf("it does not say how to use it: %s", strings.Join(u.says, "\n"))
		}
	}
}

// commands are the printed ones that contain text.
func (u *up) commands(t *testing.T, text string) (found []string) {
	t.Helper()
	for _, line := range u.says {
		if command, ok := strings.CutPrefix(line, "  "); ok && strings.Contains(command, text) {
			found = append(found, strings.TrimSpace(command))
		}
	}
	if len(found) == 0 {
		t.Fatalf("it prints no command with %q:\n%s", text, strings.Join(u.says, "\n"))
	}
	return found
}

// folder is where it keeps its state.
func (u *up) folder(t *testing.T) string {
	t.Helper()
	_, rest, ok := strings.Cut(strings.Join(u.says, "\n"), "Logs are in ")
	folder, _, whole := strings.Cut(rest, ". "+last)
	if !ok || !whole {
		t.Fatalf("it does not say where its logs are: %q", u.says)
	}
	return folder
}

// sh runs a command in another terminal, in the repository, after the line with
// KUBECONFIG.
func (u *up) sh(t *testing.T, command string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", u.commands(t, "export KUBECONFIG=")[0]+"\n"+command)
	cmd.Dir = u.root
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// does runs a command that must work and print the texts.
func (u *up) does(t *testing.T, command string, texts ...string) string {
	t.Helper()
	out, err := u.sh(t, command)
	if err := saying(out, err, texts); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return out
}

// until repeats a command until it works and prints the texts.
func (u *up) until(t *testing.T, command string, texts ...string) {
	t.Helper()
	u.repeat(t, command, func(out string, err error) error { return saying(out, err, texts) })
}

// refused repeats a command until it is refused with the texts.
func (u *up) refused(t *testing.T, command string, texts ...string) {
	t.Helper()
	u.repeat(t, command, func(out string, err error) error {
		if err == nil {
			return fmt.Errorf("it is not refused: %s", out)
		}
		return saying(out, nil, texts)
	})
}

func (u *up) repeat(t *testing.T, command string, check func(string, error) error) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(500 * time.Millisecond) {
		out, err := u.sh(t, command)
		err = check(out, err)
		if err == nil {
			t.Logf("$ %s\n%s", command, out)
			return
		}
		if time.Since(began) > patience {
			t.Fatalf("%s: %v", command, err)
		}
	}
}

func saying(out string, err error, texts []string) error {
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	for _, text := range texts {
		if !strings.Contains(out, text) {
			return fmt.Errorf("it does not say %q: %s", text, out)
		}
	}
	return nil
}

const daemonSet = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      containers:
      - {name: agent, image: "IMAGE"}
`

// TestUp does in another terminal what `make up` says, as it says it.
func TestUp(t *testing.T) {
	u := startUp(t)
	t.Logf("it says:\n%s", strings.Join(u.says, "\n"))
	var pushes []string
	var host string
	for _, step := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"kubectl", func(t *testing.T) {
			u.does(t, u.commands(t, "kubectl get nodes")[0], "node-1", "Ready", "gatekeeper-system")
		}},
		{"push", func(t *testing.T) {
			pushes = u.commands(t, " push -credentials ")
			host = regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(pushes[0])
			u.pushes(t, pushes, host)
		}},
		{"run", func(t *testing.T) {
			u.until(t, u.commands(t, "kubectl run")[0], "created")
			u.does(t, "kubectl get pod mine -o jsonpath={.spec.containers[0].image}", host+"/mine@sha256:")
			u.refused(t, "kubectl run bad --image="+host+"/mine:bad", flaw, "scan result is 'reject'")
		}},
		{"scan", func(t *testing.T) {
			scan := u.commands(t, " scan --scanner-database sample")[0]
			u.refused(t, "IMAGEGATE_DATA_DIR="+t.TempDir()+" "+scan, flaw, "rejected", "SEVERITY")
		}},
		{"DaemonSet", func(t *testing.T) {
			u.does(t, "kubectl apply -f - <<EOF\n"+strings.ReplaceAll(daemonSet, "IMAGE", host+"/mine:1")+"EOF", "created")
			u.until(t, "kubectl get daemonset agent -o jsonpath={.status.numberReady}", "1")
		}},
		{"from dryrun to deny", func(t *testing.T) { u.introduces(t, host+"/mine:bad") }},
		{"Ctrl-C", u.ends},
	} {
		if !t.Run(step.name, step.run) {
			t.FailNow()
		}
	}
}

// pushes runs the commands that store images, with the names that stand for a user's
// own in the place of those that this machine may not reach.
func (u *up) pushes(t *testing.T, commands []string, host string) {
	if len(commands) < 4 {
		t.Fatalf("it prints %q", commands)
	}
	u.does(t, commands[0], "pushed "+host+"/mine:1", "sha256:")
	u.does(t, commands[1], "pushed "+host+"/mine:bad", "sha256:")

	copied := strings.Replace(commands[2], " nginx:1.27 ", " "+host+"/mine:1 ", 1)
	_, rest, _ := strings.Cut(copied, "-credentials ")
	config, _, _ := strings.Cut(rest, " ")
	_, first, _ := strings.Cut(u.does(t, commands[0]), "sha256:")
	u.does(t, "DOCKER_CONFIG="+filepath.Dir(config)+" "+copied, "pushed "+host+"/nginx:1.27", "sha256:"+strings.TrimSpace(first))

	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "saved.tar")
	if err := tarball.WriteToFile(archive, name.MustParseReference("saved:1"), img); err != nil {
		t.Fatal(err)
	}
	u.does(t, strings.Replace(commands[3], " saved.tar ", " "+archive+" ", 1), "pushed "+host+"/saved:1")
	t.Logf("the archive's image is %s", digest)

	for wrong, says := range map[string]string{
		strings.Replace(commands[0], host, "registry.example.com", 1):             "only the registry that make up named",
		strings.Replace(commands[2], " nginx:1.27 ", " NOT:AN:IMAGE ", 1):         "is no file, and no image",
		strings.Replace(commands[3], " saved.tar ", " README.md ", 1):             "neither a Linux program nor an archive",
		strings.Replace(commands[0], "-credentials ", "-credentials /nowhere", 1): "does make up run?",
	} {
		if out, err := u.sh(t, wrong); err == nil || !strings.Contains(out, says) {
			t.Errorf("%s: %v: %s", wrong, err, out)
		}
	}
}

// introduces goes the way of README.md, "From dryrun to deny", by its own commands.
// What `make up` prints of it are the same.
func (u *up) introduces(t *testing.T, bad string) {
	take, look := walkthrough(t, u.root)
	if len(take) != 3 {
		t.Fatalf("the walkthrough has three steps, not %q", take)
	}
	for _, command := range append(append(append([]string{}, take...), look[0]...), look[2]...) {
		u.commands(t, command)
	}
	if len(look[0]) != 2 || len(look[1]) != 1 || len(look[2]) != 1 {
		t.Fatalf("this test does not know what all of these should print: %q", look)
	}

	u.does(t, take[0], "patched")
	u.until(t, "kubectl run in-dryrun --image="+bad, "created")
	u.repeat(t, look[0][0], func(out string, err error) error {
		if n := strings.TrimSpace(out); err != nil || n == "" || n == "0" {
			return fmt.Errorf("%w: no violations: %s", err, out)
		}
		return nil
	})
	u.until(t, look[0][1], "default\tin-dryrun\t", flaw)

	u.does(t, take[1], "patched")
	u.until(t, "kubectl run in-warn --dry-run=server --image="+bad, "Warning: [accepted-only]", "REJECTED", "created")
	u.does(t, "kubectl run in-warn --image="+bad, "Warning: [accepted-only]", "REJECTED", "created")
	u.does(t, look[1][0], "created")
	u.until(t, "kubectl create deployment in-warn --dry-run=server --image="+bad, "Warning: ", "[Implied by ", "REJECTED", "created")

	u.does(t, take[2], "patched")
	u.refused(t, "kubectl run in-deny --dry-run=server --image="+bad, flaw)
	u.does(t, "kubectl create deployment in-deny --image="+bad, "created")
	u.until(t, look[2][0], "in-deny", "REJECTED")
	u.does(t, "kubectl get pods in-dryrun in-warn", "Running")
}

var (
	stepBegins = regexp.MustCompile(`(?m)^\d\. \*\*`)
	inProse    = regexp.MustCompile("`(kubectl [^`]+)`")
)

// walkthrough returns the commands that take the steps, and for each step those that
// look at what came of it, with the name of the demo's Constraint.
func walkthrough(t *testing.T, root string) (take []string, look [3][]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## From dryrun to deny\n")
	if !ok {
		t.Fatal("README.md has no section From dryrun to deny")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	parts := stepBegins.Split(section, -1)
	if len(parts) != 4 {
		t.Fatalf("the walkthrough has %d steps, want 3", len(parts)-1)
	}
	for i := range look {
		look[i] = commandsIn(parts[i+1])
	}
	return commandsIn(parts[0]), look
}

func commandsIn(text string) (found []string) {
	for i, part := range strings.Split(text, "```") {
		var commands []string
		if i%2 == 1 {
			for line := range strings.Lines(part) {
				if line = strings.TrimSpace(line); strings.HasPrefix(line, "kubectl ") {
					commands = append(commands, line)
				}
			}
		} else {
			for _, m := range inProse.FindAllStringSubmatch(part, -1) {
				commands = append(commands, strings.Join(strings.Fields(m[1]), " "))
			}
		}
		for _, c := range commands {
			found = append(found, strings.Replace(c, "imagescanpolicy imagegate", "imagescanpolicy accepted-only", 1))
		}
	}
	return found
}

// ends presses Ctrl-C: nothing stays, neither processes nor files.
func (u *up) ends(t *testing.T) {
	folder := u.folder(t)
	if running := processesOf(t, folder); len(running) < 5 {
		t.Fatalf("only %q run: the test shows nothing", running)
	}
	if err := syscall.Kill(-u.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var said []string
	for ended := false; !ended; {
		select {
		case line, ok := <-u.more:
			if ended = !ok; ok && line != "" {
				said = append(said, line)
			}
		case <-time.After(patience):
			t.Fatal("it does not end")
		}
	}
	if err := u.cmd.Wait(); err != nil {
		t.Errorf("its end: %v: %s", err, u.stderr.String())
	}
	t.Logf("it ended %.1f s after Ctrl-C", time.Since(began).Seconds())
	if len(said) != 1 || said[0] != "ending" || u.stderr.Len() > 0 {
		t.Errorf("it says %q and %q", said, u.stderr.String())
	}
	if running := processesOf(t, folder); len(running) > 0 {
		t.Errorf("these still run: %q", running)
	}
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", folder, err)
	}
}

// processesOf are the command lines that name the folder.
func processesOf(t *testing.T, folder string) (found []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("there is no /proc to find processes in")
	}
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		if strings.Contains(string(line), folder) {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}
