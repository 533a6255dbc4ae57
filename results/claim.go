package results

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/foreign"
)

// Claim keeps other processes from working on the run in the directory dir until release
// is called. A *LockedError says that one does.
func Claim(dir string) (release func(), err error) {
	status, err := readStatus(foreign.Dir(dir), dir)
	if err != nil {
		return nil, fmt.Errorf("claim run: %w", err)
	}
	release = func() {}
	f, err := foreign.OpenFile(filepath.Join(dir, epochsFile), os.O_RDONLY, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist): // packed, so nobody writes it
	case err != nil:
		return nil, fmt.Errorf("claim run: %w", err)
	default:
		release = func() { f.Close() }
		if err := durable.Lock(f); err != nil {
			release()
			if errors.Is(err, durable.ErrLocked) {
				err = &LockedError{Dir: dir, Status: status}
			}
			return nil, err
		}
	}
	if wait := remaining(dir, status); wait > 0 {
		release()
		return nil, &LockedError{Dir: dir, Status: status, Wait: wait}
	}
	return release, nil
}
