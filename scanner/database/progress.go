package database

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/anchore/grype/grype/db/v6/distribution"
	"github.com/wagoodman/go-progress"
)

// What is being done about the database.
const (
	// Looking asks whether there is a newer one.
	Looking     = "looking"
	Downloading = "downloading"
	// Installing unpacks and checks one.
	Installing = "installing"
	// Waiting is for the worker whose databases are shared.
	Waiting = "waiting"
	Done    = "done"
	// Failed says that there is none yet, or no newer one, and why. It is tried again.
	Failed = "failed"
)

// Progress says how a database that is on its way gets on.
type Progress struct {
	State string `json:"state"`
	// Received of Total bytes have come; Total is zero where nobody said.
	Received int64  `json:"received,omitempty"`
	Total    int64  `json:"total,omitempty"`
	Error    string `json:"error,omitempty"`
}

// progressFile is where the progress is for workers that share the directory.
const progressFile = "progress"

// Progress is that of now.
func (d *Database) Progress() Progress {
	d.mu.Lock()
	p, transfer := d.progress, d.transfer
	d.mu.Unlock()
	switch {
	case p.State == Waiting:
		return progressIn(d.cfg.Beside)
	case p.State != Downloading || transfer == nil:
		return p
	}
	p.Received, p.Total = transfer.Current(), max(0, transfer.Size())
	if p.Total > 0 && p.Received >= p.Total {
		return Progress{State: Installing} // it is unpacked as part of the download
	}
	return p
}

// progressIn is that of the worker whose directory it is.
func progressIn(dir string) Progress {
	p := Progress{State: Waiting}
	if raw, err := os.ReadFile(filepath.Join(dir, progressFile)); err == nil {
		_ = json.Unmarshal(raw, &p) // half written it is read again
	}
	if p.State == Done {
		p.State = Installing
	}
	return p
}

// at records the progress, for those too that share the directory.
func (d *Database) at(p Progress) {
	d.mu.Lock()
	d.progress, d.transfer = p, nil
	d.mu.Unlock()
	d.publish(p)
}

// publish writes the progress down, in a directory that is ours. It is for people:
// nothing depends on it.
func (d *Database) publish(p Progress) {
	d.mu.Lock()
	ours := d.lock != nil
	d.mu.Unlock()
	if !ours {
		return
	}
	raw, err := json.Marshal(p)
	if err != nil {
		return
	}
	file := filepath.Join(d.cfg.Dir, progressFile)
	if os.WriteFile(file+".new", raw, 0o600) == nil {
		_ = os.Rename(file+".new", file)
	}
}

// watched is Grype's client with downloads that can be watched.
type watched struct {
	distribution.Client
	d *Database
}

// Download is the client's.
func (w watched) Download(url, dest string, p *progress.Manual) (string, error) {
	w.d.mu.Lock()
	w.d.progress, w.d.transfer = Progress{State: Downloading}, p
	w.d.mu.Unlock()
	done := make(chan struct{})
	defer close(done)
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			w.d.publish(w.d.Progress())
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	dir, err := w.Client.Download(url, dest, p)
	w.d.at(Progress{State: Installing})
	return dir, err
}
