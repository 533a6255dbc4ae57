// Package advice keeps in a folder of runs where their images and tables were, so that
// a later command need not be told again. It is advice only: what is found there counts
// if its digest is the one that was asked for, and nothing of it is part of a run.
package advice

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/foreign"
)

// File is the name of the file in the folder.
const File = "paths.json"

// maxSize bounds the file, and mostPaths what it keeps of each kind.
const (
	maxSize   = 1 << 20
	mostPaths = 200
)

// Kind is what lies at a path.
type Kind string

// The kinds.
const (
	Images Kind = "images"
	Table  Kind = "table"
)

// paths is the content of the file: absolute paths by SHA-256 of what was there.
type paths struct {
	Format int               `json:"format"`
	Images map[string]string `json:"images,omitempty"`
	Table  map[string]string `json:"table,omitempty"`
}

func (p *paths) of(kind Kind) *map[string]string {
	if kind == Images {
		return &p.Images
	}
	return &p.Table
}

func read(dir string) (p paths, err error) {
	text, err := foreign.ReadFile(filepath.Join(dir, File), maxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return paths{Format: 1}, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err == nil && p.Format != 1 {
		err = errors.New("another format")
	}
	return p, err
}

// Note remembers the path of what has the digest, in the folder dir, which exists. A file
// that cannot be read stays as it is.
func Note(dir string, kind Kind, digest, path string) error {
	p, err := read(dir)
	if err != nil {
		return err
	}
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	m := p.of(kind)
	if (*m)[digest] == path {
		return nil
	}
	if *m == nil || len(*m) >= mostPaths {
		*m = map[string]string{}
	}
	(*m)[digest] = path
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, File), append(text, '\n'))
}

// Path returns where the images or the table of the digest were, or "" where that is not
// known or nothing is there any more.
func Path(dir string, kind Kind, digest string) string {
	p, err := read(dir)
	if err != nil {
		return ""
	}
	path := (*p.of(kind))[digest]
	if path == "" || !filepath.IsAbs(path) {
		return ""
	}
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}
