package bundled

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/dustin/go-humanize"
)

// progress is how the worker says that its database gets on, at /database.
type progress struct {
	State    string `json:"state"`
	Received int64  `json:"received"`
	Total    int64  `json:"total"`
	Error    string `json:"error"`
}

// The states in which something goes on that takes its time, or will not.
const (
	stateDownloading = "downloading"
	stateInstalling  = "installing"
	stateWaiting     = "waiting"
	stateFailed      = "failed"
)

// offline ends the error of a worker that cannot get a database.
const offline = "without internet there are: the small --scanner-database sample, to try things out; " +
	"a file, once by `scanner db import FILE` or in --scanner-database-file; a mirror in --scanner-database-url"

var errStalled = errors.New("nothing goes on")

// finalError ends a wait: it does not get better by waiting.
type finalError struct{ error }

// databaseWait watches how the database of a worker that is waited for gets on.
type databaseWait struct {
	worker   *Worker
	tell     func(string)
	stalled  *time.Timer
	patience time.Duration

	began    time.Time // of the download
	first    int64     // what had come then
	received int64
	last     time.Time
}

// pollDatabase is how often it is asked.
const pollDatabase = 500 * time.Millisecond

// ready is the worker's readiness. Its error is a finalError when there will be no
// database.
func (d *databaseWait) ready(ctx context.Context) error {
	err := d.worker.Ready(ctx)
	if err == nil || time.Since(d.last) < pollDatabase {
		return err
	}
	d.last = time.Now()
	p, ok := d.worker.databaseProgress(ctx)
	if !ok {
		return err
	}
	switch p.State {
	case stateFailed:
		if said, ok := errors.AsType[*notReadyError](err); ok {
			return &finalError{fmt.Errorf("%s: %s; %s", said.said, p.Error, offline)}
		}
	case stateDownloading:
		d.downloading(p)
	case stateInstalling:
		d.stalled.Reset(d.patience)
		d.say("installing the vulnerability database")
	case stateWaiting:
		d.say("waiting for the vulnerability database of the worker beside this one")
	}
	return err
}

// downloading shows how much has come, and how fast.
func (d *databaseWait) downloading(p progress) {
	if d.began.IsZero() || p.Received < d.received {
		d.began, d.first, d.received = time.Now(), p.Received, p.Received
	}
	if p.Received > d.received {
		d.received = p.Received
		d.stalled.Reset(d.patience)
	}
	text := "downloading the vulnerability database: " + humanize.IBytes(uint64(max(0, p.Received)))
	if p.Total > 0 {
		text += " of " + humanize.IBytes(uint64(p.Total))
	}
	if took := time.Since(d.began).Seconds(); took >= 1 {
		text += fmt.Sprintf(", %s/s", humanize.IBytes(uint64(float64(p.Received-d.first)/took)))
	}
	d.say(text)
}

func (d *databaseWait) say(text string) {
	if d.tell != nil {
		d.tell(text)
	}
}

// databaseProgress asks the worker; false when it does not say.
func (w *Worker) databaseProgress(ctx context.Context) (p progress, ok bool) {
	status, said, err := w.get(ctx, "/database")
	return p, err == nil && status == http.StatusOK && json.Unmarshal(said, &p) == nil
}
