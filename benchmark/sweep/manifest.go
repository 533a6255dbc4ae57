// Package sweep runs a grid of searches, spaces × algorithms × seeds, from one
// manifest: a list of units, one for each run, that only ever grows at its end.
// docs/sweep.md describes the file.
package sweep

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/foreign"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/spaces"
)

// File is the name of the manifest in the folder of its run directories.
const File = "sweep.json"

// Version is the format of the manifest, its member "format". A reader refuses
// every version but its own.
const Version = 1

// Manifest is what a sweep consists of.
type Manifest struct {
	Shared Shared `json:"shared"`
	Units  []Unit `json:"units"`
}

// Unit is one run of a sweep.
type Unit struct {
	Index     int         `json:"index"` // position in the manifest, which never changes
	Space     spaces.Name `json:"space"`
	Algorithm string      `json:"algorithm"`
	Seed      uint64      `json:"seed"`
	Run       string      `json:"run"` // name of the run directory, see results.Run
}

// pair is what the units of one configuration have in common.
type pair struct {
	space     spaces.Name
	algorithm string
}

func (u Unit) pair() pair { return pair{u.Space, u.Algorithm} }

// Stem is the name of the unit's run directory without the seed: that of its
// configuration.
func (u Unit) Stem() string { return strings.TrimSuffix(u.Run, u.suffix()) }

func (u Unit) suffix() string { return fmt.Sprintf("-seed%d", u.Seed) }

// Grid is a set of runs.
type Grid struct {
	Spaces     []spaces.Name
	Algorithms []string
	Seeds      []uint64
}

// Grid returns the smallest grid that contains all units, each axis in the order
// of the manifest.
func (m *Manifest) Grid() Grid {
	var g Grid
	for _, u := range m.Units {
		g.Spaces = include(g.Spaces, u.Space)
		g.Algorithms = include(g.Algorithms, u.Algorithm)
		g.Seeds = include(g.Seeds, u.Seed)
	}
	return g
}

func include[T comparable](list []T, v T) []T {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}

// Grow appends what the manifest lacks of the grid, seed by seed, and returns the
// units of the grid in the order of the manifest. stem names the configuration of
// a space and an algorithm of which the manifest has no unit, see [Unit.Stem].
// After an error the manifest is as it was.
func (m *Manifest) Grow(g Grid, stem func(space spaces.Name, algorithm string) (string, error)) ([]Unit, error) {
	stems := map[pair]string{}
	there := map[pair]map[uint64]bool{}
	for _, u := range m.Units {
		if there[u.pair()] == nil {
			there[u.pair()] = map[uint64]bool{}
		}
		stems[u.pair()] = u.Stem()
		there[u.pair()][u.Seed] = true
	}
	grown := slices.Clip(m.Units)
	for _, seed := range g.Seeds {
		for _, space := range g.Spaces {
			for _, algorithm := range g.Algorithms {
				p := pair{space, algorithm}
				if there[p][seed] {
					continue
				}
				if stems[p] == "" {
					name, err := stem(space, algorithm)
					if err != nil {
						return nil, err
					}
					stems[p] = name
				}
				if there[p] == nil {
					there[p] = map[uint64]bool{}
				}
				there[p][seed] = true
				u := Unit{Index: len(grown), Space: space, Algorithm: algorithm, Seed: seed}
				u.Run = stems[p] + u.suffix()
				grown = append(grown, u)
			}
		}
	}
	all := Manifest{m.Shared, grown}
	if err := all.check(); err != nil {
		return nil, err
	}
	m.Units = grown
	var asked []Unit
	for _, u := range m.Units {
		if slices.Contains(g.Spaces, u.Space) && slices.Contains(g.Algorithms, u.Algorithm) && slices.Contains(g.Seeds, u.Seed) {
			asked = append(asked, u)
		}
	}
	return asked, nil
}

// maxManifest bounds a manifest, in bytes: some 400,000 units.
const maxManifest = 64 << 20

// Read reads the manifest of a folder. One that does not exist is fs.ErrNotExist;
// every departure from the format is a *FormatError.
func Read(root string) (*Manifest, error) {
	path := filepath.Join(root, File)
	data, err := foreign.ReadFile(path, maxManifest)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	m, err := Parse(data)
	if err != nil {
		return nil, &FormatError{path, err}
	}
	return m, nil
}

// FormatError reports a manifest that breaks the format.
type FormatError struct {
	Path string
	Err  error
}

// Error names the file and what is wrong with it.
func (e *FormatError) Error() string { return fmt.Sprintf("%s: %v", e.Path, e.Err) }

// Unwrap returns the cause.
func (e *FormatError) Unwrap() error { return e.Err }

// onDisk is the content of the file.
type onDisk struct {
	Format int `json:"format"`
	Manifest
}

// Parse reads the bytes of a manifest. What a program of this version would not
// have written is an error: another version, an unknown member, content after the
// object, indices that are not the positions, a unit twice, a name of a run
// directory that is not the unit's.
func Parse(data []byte) (*Manifest, error) {
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, err
	}
	if version.Format != Version {
		return nil, fmt.Errorf("format: version %d, but this program reads version %d only", version.Format, Version)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var file onDisk
	if err := decoder.Decode(&file); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("content after the object")
	}
	if err := file.check(); err != nil {
		return nil, err
	}
	file.Shared.Table.Kind = nasbench.KindNamed(file.Shared.Table.Kind)
	return &file.Manifest, nil
}

// word is what presets and algorithms are called, fit for the name of a file.
var word = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// hash is the part of a run's name that stands for its configuration.
var hash = regexp.MustCompile(`^[0-9a-f]{8}$`)

func (m *Manifest) check() error {
	if err := m.Shared.check(); err != nil {
		return fmt.Errorf("shared.%w", err)
	}
	stems := map[pair]string{}
	there := map[string]int{}
	for i, u := range m.Units {
		if err := u.check(m.Shared.Preset); err != nil {
			return fmt.Errorf("units[%d].%w", i, err)
		}
		if u.Index != i {
			return fmt.Errorf("units[%d].index: is %d", i, u.Index)
		}
		if j, twice := there[u.Run]; twice {
			return fmt.Errorf("units[%d]: the same as units[%d]", i, j)
		}
		there[u.Run] = i
		if stem, known := stems[u.pair()]; known && stem != u.Stem() {
			return fmt.Errorf("units[%d].run: the configuration of space %s, %s is %s before, %s here", i, u.Space, u.Algorithm, stem, u.Stem())
		}
		stems[u.pair()] = u.Stem()
	}
	return nil
}

func (u Unit) check(preset string) error {
	if err := u.Space.Check(); err != nil {
		return fmt.Errorf("space: %w", err)
	}
	if !word.MatchString(u.Algorithm) {
		return fmt.Errorf("algorithm: %q is not a name of lower-case letters, digits and hyphens", u.Algorithm)
	}
	before := fmt.Sprintf("%s-%s-%s-", u.Space.Prefix(), u.Algorithm, preset)
	if digits, ok := strings.CutPrefix(u.Stem(), before); !ok || !hash.MatchString(digits) || !strings.HasSuffix(u.Run, u.suffix()) {
		return fmt.Errorf("run: %q is not %sHASH%s, HASH of 8 digits", u.Run, before, u.suffix())
	}
	return nil
}

// Marshal returns the bytes of the manifest, one unit a line. Equal manifests have
// equal bytes.
func (m *Manifest) Marshal() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	shared, err := json.MarshalIndent(m.Shared, "  ", "  ")
	if err != nil {
		return nil, fmt.Errorf("marshal manifest: %w", err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n  \"format\": %d,\n  \"shared\": %s,\n  \"units\": [", Version, shared)
	for i, u := range m.Units {
		line, err := json.Marshal(u)
		if err != nil {
			return nil, fmt.Errorf("marshal manifest: %w", err)
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n    ")
		b.Write(line)
	}
	b.WriteString("\n  ]\n}\n")
	return b.Bytes(), nil
}

// Update reads the manifest of a folder, an empty one where there is none, lets
// change change it, and writes it unless it is as it was. The folder is made where
// it does not exist. Of several processes that do this at once, one waits for the
// other.
func Update(root string, change func(*Manifest) error) (err error) {
	made := missing(root)
	defer func() {
		if err != nil {
			for _, dir := range made {
				os.Remove(dir) // unless another process has begun to use it
			}
		}
	}()
	if err := os.MkdirAll(root, 0o777); err != nil {
		return err
	}
	folder, err := os.Open(root)
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := durable.LockWaiting(folder); err != nil {
		return err
	}
	m, err := Read(root)
	var old []byte
	switch {
	case errors.Is(err, fs.ErrNotExist):
		m = &Manifest{}
	case err != nil:
		return err
	default:
		if old, err = m.Marshal(); err != nil {
			return err
		}
	}
	if err := change(m); err != nil {
		return err
	}
	data, err := m.Marshal()
	if err != nil || bytes.Equal(data, old) {
		return err
	}
	if err := durable.WriteFile(filepath.Join(root, File), data); err != nil {
		return err
	}
	return nil
}

// missing lists the folder and those above it that do not exist, the innermost first.
func missing(dir string) (list []string) {
	for {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			return list
		}
		list = append(list, dir)
		dir = filepath.Dir(dir)
	}
}
