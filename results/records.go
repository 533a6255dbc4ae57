package results

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// packedFile is what a run that is kept for reading has in place of epochs.jsonl:
// the same bytes, compressed by gzip. Nothing writes to such a run.
const packedFile = epochsFile + ".gz"

// maxRecords bounds what a packed file may unpack to, in bytes: a thousand times
// the records of 100 epochs.
const maxRecords = 256 << 20

// Records returns the records of the run directory dir as they stand in its
// epochs.jsonl or, where there is none, in epochs.jsonl.gz.
func Records(dir string) ([]byte, error) {
	data, _, err := records(os.DirFS(dir), dir)
	return data, err
}

// records reads the records of a run directory whose files are in fsys; path is
// the file that they are in.
func records(fsys fs.FS, dir string) (data []byte, path string, err error) {
	data, err = fs.ReadFile(fsys, epochsFile)
	if !errors.Is(err, fs.ErrNotExist) {
		return data, filepath.Join(dir, epochsFile), err
	}
	absent := err
	file, err := fsys.Open(packedFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", absent
	}
	if err != nil {
		return nil, "", err
	}
	defer file.Close()
	path = filepath.Join(dir, packedFile)
	unpacked, err := gzip.NewReader(file)
	if err == nil {
		data, err = io.ReadAll(io.LimitReader(unpacked, maxRecords+1))
	}
	if err == nil && len(data) > maxRecords {
		err = fmt.Errorf("unpacks to more than %d bytes: this is no record of a run", maxRecords)
	}
	if err != nil {
		return nil, "", &FormatError{Path: path, Err: err}
	}
	return data, path, nil
}
