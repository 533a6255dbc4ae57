package results

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// packed is a run directory whose records are what write puts into the
// compressed file.
func packed(t testing.TB, records []byte) fstest.MapFS {
	t.Helper()
	var file bytes.Buffer
	w := gzip.NewWriter(&file)
	if _, err := w.Write(records); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	config, status, _ := files(t)
	dir := directory(config, status, nil)
	delete(dir, epochsFile)
	dir[packedFile] = &fstest.MapFile{Data: file.Bytes()}
	return dir
}

func TestReadPacked(t *testing.T) {
	config, status, epochs := files(t)
	want, err := read(directory(config, status, epochs), "run")
	if err != nil {
		t.Fatal(err)
	}
	got, err := read(packed(t, epochs), "run")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a packed run reads otherwise than a plain one (-plain +packed):\n%s", diff)
	}
}

func TestReadPackedCorrupted(t *testing.T) {
	_, _, epochs := files(t)
	cut := func(dir fstest.MapFS) {
		file := dir[packedFile]
		file.Data = file.Data[:len(file.Data)/2]
	}
	tests := map[string]struct {
		records []byte
		change  func(fstest.MapFS)
		path    string
	}{
		"cut short":     {epochs, cut, "run/epochs.jsonl.gz"},
		"not gzip":      {epochs, func(dir fstest.MapFS) { dir[packedFile].Data = epochs }, "run/epochs.jsonl.gz"},
		"bad record":    {[]byte("{\"epoch\": -1}\n"), func(fstest.MapFS) {}, "run/epochs.jsonl.gz"},
		"unpacks large": {make([]byte, maxRecords+1), func(fstest.MapFS) {}, "run/epochs.jsonl.gz"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := packed(t, test.records)
			test.change(dir)
			_, err := read(dir, "run")
			var format *FormatError
			if !errors.As(err, &format) || format.Path != test.path {
				t.Errorf("error %v, want a FormatError of %s", err, test.path)
			}
		})
	}
	t.Run("neither", func(t *testing.T) {
		dir := packed(t, epochs)
		delete(dir, packedFile)
		if _, err := read(dir, "run"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("error %v, want fs.ErrNotExist", err)
		}
	})
}
