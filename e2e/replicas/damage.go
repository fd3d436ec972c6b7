package replicas

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Damage turns bits over in the middle of each file of messages below dir, as a
// failing disk does, and cuts the files of state in half. It returns how many
// files it has damaged.
func Damage(dir string) (files int, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case strings.HasSuffix(path, ".blk") && info.Size() > 4096:
			err = turnOver(path, info.Size())
		case filepath.Base(path) == "index.db":
			err = os.Truncate(path, info.Size()/2)
		default:
			return nil
		}
		files++
		return err
	})
	if err != nil {
		return files, fmt.Errorf("damage the files in %s: %w", dir, err)
	}
	if files == 0 {
		return 0, errors.New("damage the files in " + dir + ": there are none")
	}
	return files, nil
}

// turnOver changes 64 bytes at each eighth of the file.
func turnOver(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for i := range int64(7) {
		at := size / 8 * (i + 1)
		piece := make([]byte, min(64, size-at))
		if _, err := f.ReadAt(piece, at); err != nil {
			return err
		}
		for j := range piece {
			piece[j] ^= 0xff
		}
		if _, err := f.WriteAt(piece, at); err != nil {
			return err
		}
	}
	return f.Close()
}

// Fill takes all of the disk that path is on but so many bytes, in a file of that
// path.
func Fill(path string, leave int64) error {
	free, err := free(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("fill the disk: %w", err)
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("fill the disk: %w", err)
	}
	defer func() { _ = f.Close() }()
	piece := make([]byte, 64<<10)
	for left := free - leave; left > 0; {
		n, err := f.Write(piece[:min(left, int64(len(piece)))])
		left -= int64(n)
		if err != nil && leave == 0 {
			return nil // full it is
		}
		if err != nil {
			return fmt.Errorf("fill the disk: %w", err)
		}
	}
	return nil
}

// Used returns how many bytes the files below dir take on the disk.
func Used(dir string) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measure %s: %w", dir, err)
	}
	return bytes, nil
}
