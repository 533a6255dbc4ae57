package results

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/foreign"
)

// figuresFile lists the figures that were drawn into a run directory, as
// sha256sum does.
const figuresFile = "figures.sha256"

// MaxFigure bounds the file of a figure, in bytes.
const MaxFigure = 256 << 20

// maxFigures bounds the list.
const maxFigures = 1 << 20

// Files lists the names of the files that make up the record of a run.
func Files() []string { return []string{configFile, epochsFile, packedFile, statusFile, figuresFile} }

// IsRun tells whether dir is a run directory, readable or not.
func IsRun(dir string) bool {
	for _, name := range []string{configFile, statusFile} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// Figures are the figures that this program drew into a run directory: the
// SHA-256, in hex, of each version of a file that may stand there.
type Figures map[string][]string

// Has tells whether a file of that name and digest was drawn.
func (f Figures) Has(name, digest string) bool { return slices.Contains(f[name], digest) }

// Draw enters the file at path, which is about to be replaced by one of the given
// digest, and keeps that of the one that stands there, if it was drawn as well.
func (f Figures) Draw(path, digest string) {
	name := filepath.Base(path)
	before, err := foreign.ReadFile(path, MaxFigure)
	sum := fmt.Sprintf("%x", sha256.Sum256(before))
	versions := []string{digest}
	if err == nil && sum != digest && f.Has(name, sum) {
		versions = append(versions, sum)
	}
	f[name] = versions
}

// ReadFigures returns what was drawn into the run directory dir: nothing if
// there is no list. Lines that do not belong to such a list are passed over.
func ReadFigures(dir string) (Figures, error) {
	drawn := Figures{}
	text, err := foreign.ReadFile(filepath.Join(dir, figuresFile), maxFigures)
	if errors.Is(err, fs.ErrNotExist) {
		return drawn, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, figuresFile), err)
	}
	for line := range strings.Lines(string(text)) {
		digest, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if ok && len(digest) == 64 {
			drawn[name] = append(drawn[name], digest)
		}
	}
	return drawn, nil
}

// WriteFigures replaces the list of the run directory dir. It comes before the
// figures, so that whichever version a crash leaves is known.
func WriteFigures(dir string, drawn Figures) error {
	var text bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(drawn)) {
		for _, digest := range drawn[name] {
			fmt.Fprintf(&text, "%s  %s\n", digest, name)
		}
	}
	return durable.WriteFile(filepath.Join(dir, figuresFile), text.Bytes())
}
