package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/docker/cli/cli/config/types"
)

const (
	// helperNothing is what a credential helper prints that has nothing for the
	// server asked for, and tokenUser the user of an identity token
	// (github.com/docker/docker-credential-helpers).
	helperNothing = "credentials not found in native keychain"
	tokenUser     = "<token>"
	// maxHelperBytes bounds what a helper may print.
	maxHelperBytes = 64 << 10
)

var errHelperLong = errors.New("too much is printed")

// helperError is a credential helper's failure.
type helperError struct {
	// helper is its name in the configuration, and text what a Pod's author may
	// read about it. The cause may quote what the helper printed.
	helper string
	text   string
	err    error
}

func (e *helperError) Error() string { return fmt.Sprintf("%s: %v", e.sentence(), e.err) }
func (e *helperError) Unwrap() error { return e.err }
func (e *helperError) sentence() string {
	return fmt.Sprintf("credential helper docker-credential-%s %s", e.helper, e.text)
}

// limited keeps what a helper prints, and takes no more than that.
type limited struct {
	bytes.Buffer
	over bool
}

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > maxHelperBytes {
		l.over = true
		return 0, errHelperLong
	}
	return l.Buffer.Write(p)
}

// runHelper asks a credential helper for the credentials of a server; none is
// no error. Docker's own client would wait for it for ever, so the program is
// run here, and killed at the end of ctx.
func runHelper(ctx context.Context, helper, server string) (types.AuthConfig, error) {
	cmd := exec.CommandContext(ctx, "docker-credential-"+helper, "get")
	cmd.Stdin = strings.NewReader(server)
	// A process of its own that holds the output open must not hold up the end.
	cmd.WaitDelay = time.Second
	printed := &limited{}
	cmd.Stdout = printed
	err := cmd.Run()
	out := printed.Bytes()
	if printed.over {
		return types.AuthConfig{}, &helperError{helper: helper, text: fmt.Sprintf("printed more than %d bytes", maxHelperBytes), err: err}
	}
	said := strings.TrimSpace(string(out))
	if err != nil && said == helperNothing {
		return types.AuthConfig{}, nil
	}
	if err != nil {
		return types.AuthConfig{}, &helperError{helper: helper, text: "failed", err: fmt.Errorf("%w: %s", err, quote(errors.New(said)))}
	}
	var got struct {
		Username string
		Secret   string
	}
	if err := json.Unmarshal(out, &got); err != nil {
		return types.AuthConfig{}, &helperError{helper: helper, text: "gave an answer that is not JSON", err: err}
	}
	if got.Username == tokenUser {
		return types.AuthConfig{IdentityToken: got.Secret}, nil
	}
	return types.AuthConfig{Username: got.Username, Password: got.Secret}, nil
}
