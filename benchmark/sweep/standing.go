package sweep

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nb1shot/nb1shot/benchmark/retrain"
	"github.com/nb1shot/nb1shot/results"
)

// Standing tells from its run directory alone how a unit of the manifest m in the folder
// root stands. Missing stands for what is not begun, and for what is begun and not
// finished with nobody at work on it.
func (m *Manifest) Standing(root string, u Unit) Outcome {
	o := Outcome{Unit: u, State: Missing}
	dir := filepath.Join(root, u.Run)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return o
	}
	release, err := results.Claim(dir)
	var locked *results.LockedError
	if errors.As(err, &locked) {
		o.State, o.Err = Elsewhere, err
		return o
	}
	if err == nil {
		release()
	}
	h, err := results.Read(dir)
	switch {
	case err != nil:
		o.State, o.Err = Failed, err
	case h.Run.Name() != u.Run:
		o.State, o.Err = Failed, errors.New("it holds another run, "+h.Run.Name())
	case h.Misfit != nil:
		o.State, o.Err, o.History = Failed, h.Misfit, h
	case h.Status.State == results.Finished:
		o.History = h
		switch done, err := m.Shared.trained(h); {
		case err != nil:
			o.State, o.Err = Failed, err
		case done:
			o.State = Finished
		case retrain.Busy(filepath.Join(dir, retrain.Folder)):
			o.State, o.Err = Elsewhere, errors.New("another process trains its network")
		}
	case h.Status.State == results.Failed:
		o.State, o.Err, o.History = Failed, errors.New(h.Status.Message), h
	default:
		o.History = h
	}
	return o
}
