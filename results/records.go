package results

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nb1shot/nb1shot/internal/foreign"
)

// packedFile is what a run that is kept for reading has in place of epochs.jsonl:
// the same bytes, compressed by gzip. Nothing writes to such a run.
const packedFile = epochsFile + ".gz"

// maxRecords bounds the records, also what a packed file unpacks to, in bytes: a
// thousand times those of 100 epochs.
const maxRecords = 256 << 20

// Records returns the records of the run directory dir as they stand in its
// epochs.jsonl or, where there is none, in epochs.jsonl.gz.
func Records(dir string) ([]byte, error) {
	data, _, err := records(foreign.Dir(dir), dir)
	return data, err
}

// Recorded is when the record of the run directory dir was last written: its file's
// time, zero where there is none.
func Recorded(dir string) time.Time {
	for _, name := range []string{epochsFile, packedFile} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return info.ModTime()
		}
	}
	return time.Time{}
}

// records reads the records of a run directory whose files are in fsys; path is
// the file that they are in.
func records(fsys fs.FS, dir string) (data []byte, path string, err error) {
	data, err = foreign.ReadFS(fsys, epochsFile, maxRecords)
	if !errors.Is(err, fs.ErrNotExist) {
		return data, filepath.Join(dir, epochsFile), err
	}
	absent := err
	packed, err := foreign.ReadFS(fsys, packedFile, maxRecords)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", absent
	}
	if err != nil {
		return nil, "", err
	}
	path = filepath.Join(dir, packedFile)
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err == nil {
		data, err = foreign.ReadAll(unpacked, maxRecords)
	}
	if err != nil {
		return nil, "", &FormatError{Path: path, Err: err}
	}
	return data, path, nil
}
