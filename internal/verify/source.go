package verify

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/nb1shot/nb1shot/internal/foreign"
	goldens "github.com/nb1shot/nb1shot/internal/golden"
)

// Source is a set of golden cases, a folder each.
type Source struct {
	name  string
	dir   string // where they are files; else they are in files
	files fs.FS
	like  string // pattern of the names of those that count, "" for all
}

// Folder is the cases in a directory.
func Folder(dir string) Source { return Source{name: dir, dir: dir} }

// Embedded is the cases in this program.
func Embedded() Source { return Source{name: "the embedded golden data", files: goldens.FS()} }

// Like returns the cases of a source whose names match a pattern as of [path.Match].
func (s Source) Like(pattern string) (Source, error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return Source{}, fmt.Errorf("%w: %q", err, pattern)
	}
	s.like = pattern
	return s, nil
}

// String names the source in messages.
func (s Source) String() string { return s.name }

// cases lists the folders that count, in alphabetical order.
func (s Source) cases() ([]string, error) {
	entries, err := s.list(".")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if like, _ := path.Match(s.like, e.Name()); e.IsDir() && (s.like == "" || like) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// list returns what is in a folder of the source, by name.
func (s Source) list(folder string) ([]fs.DirEntry, error) {
	if s.files != nil {
		return fs.ReadDir(s.files, folder)
	}
	return os.ReadDir(filepath.Join(s.dir, folder))
}

// maxGolden bounds a file of a case, in bytes: 100 times the largest.
const maxGolden = 64 << 20

// read returns the content of a file of a case.
func (s Source) read(name, file string) ([]byte, error) {
	if s.files == nil {
		return foreign.ReadFile(s.at(name, file), maxGolden)
	}
	return fs.ReadFile(s.files, path.Join(name, file))
}

// at names a file of a case in messages.
func (s Source) at(name, file string) string {
	if s.files == nil {
		return filepath.Join(s.dir, name, file)
	}
	return fmt.Sprintf("%s in %s", path.Join(name, file), s.name)
}
