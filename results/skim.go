package results

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nb1shot/nb1shot/internal/foreign"
)

// Of a record of more than skimFrom bytes, Skim reads skimEnd at either end.
const (
	skimFrom = 1 << 20
	skimEnd  = 256 << 10
)

// Skim is Read that looks at the beginning and the end of a long record only: then
// whole is false, and Epochs are those at its beginning and those at its end. Of
// what the run left it compares the length alone.
func Skim(dir string) (h *History, whole bool, err error) {
	if h, err = skim(dir); err != nil {
		return nil, false, fmt.Errorf("read run: %w", err)
	}
	if h != nil {
		return h, false, nil
	}
	h, err = Read(dir)
	return h, true, err
}

// skim returns nil where the record is short, packed, or has a line so long that
// only all of it tells anything.
func skim(dir string) (*History, error) {
	path := filepath.Join(dir, epochsFile)
	file, err := foreign.OpenFile(path, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() <= skimFrom {
		return nil, err
	}
	h := &History{Dir: dir}
	fsys := foreign.Dir(dir)
	if h.Run, err = readConfig(fsys, dir); err != nil {
		return nil, err
	}
	if h.Status, err = readStatus(fsys, dir); err != nil {
		return nil, err
	}
	if h.Evaluation, err = readEvaluation(fsys, dir, h.Run, ""); err != nil {
		return nil, err
	}
	if want := h.Status.Record; want != nil && want.Bytes != info.Size() {
		h.Misfit = &MisfitError{Path: path, Want: *want, Got: Mark{Bytes: info.Size()}}
		h.Warnings = append(h.Warnings, h.Misfit.Error())
	}
	head, tail := make([]byte, skimEnd), make([]byte, skimEnd)
	if _, err := file.ReadAt(head, 0); err != nil {
		return nil, err
	}
	if _, err := file.ReadAt(tail, info.Size()-skimEnd); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	last, first := bytes.LastIndexByte(head, '\n'), bytes.IndexByte(tail, '\n')
	if last < 0 || first < 0 || first == len(tail)-1 {
		return nil, nil
	}
	if h.Epochs, _, _, err = readEpochs(path, head[:last+1]); err != nil {
		return nil, err
	}
	end, torn, err := readEnd(path, tail[first+1:])
	if err != nil {
		return nil, err
	}
	if torn {
		h.Warnings = append(h.Warnings, fmt.Sprintf("%s: the last line is cut short, left out", path))
	}
	h.Epochs = append(h.Epochs, end...)
	return h, nil
}

// readEnd reads the records in data, the last lines of the file at path. torn
// tells that the last one is cut short, and left out.
func readEnd(path string, data []byte) (epochs []Epoch, torn bool, err error) {
	var due sequence
	for text := range bytes.Lines(data) {
		if !bytes.HasSuffix(text, []byte("\n")) {
			return epochs, true, nil
		}
		var e Epoch
		if err := decode(path, 0, text, &e); err != nil {
			return nil, false, err
		}
		if epochs == nil {
			due.next = e.Epoch
		}
		err := due.accept(e)
		if err == nil {
			err = e.Check()
		}
		if err != nil {
			return nil, false, locate(err, path, 0)
		}
		epochs = append(epochs, e)
	}
	return epochs, false, nil
}
