package command

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/benchmark/sweep"
	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/foreign"
	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/results"
)

// Every file that the user names is written in one way: reserve refuses it before
// the work begins, save writes it beside its place and renames it.

func forceFlag() cli.Flag {
	return &cli.BoolFlag{Name: "force", Usage: "replace files that are there", DisableDefaultText: true}
}

// inputOptions name what a command reads.
var inputOptions = []string{"table", "data", "settings", "baseline", "file"}

// reserve refuses files that the command must not write: without --force all that exist,
// and in any case the record of a run, a table, and what the command itself reads. Empty
// paths are those of options that are not given.
func reserve(c *cli.Context, paths ...string) error {
	paths = slices.DeleteFunc(slices.Clone(paths), func(path string) bool { return path == "" })
	if len(paths) == 0 && c.Bool("force") {
		return misuse(errors.New("--force has no meaning without a file to write"), "see %s --help", c.Command.HelpName)
	}
	for i, path := range paths {
		if slices.ContainsFunc(paths[:i], func(other string) bool { return filepath.Clean(other) == filepath.Clean(path) }) {
			return misuse(fmt.Errorf("%s would be written twice", path), "name two files")
		}
		switch _, err := os.Stat(filepath.Dir(path)); {
		case errors.Is(err, fs.ErrNotExist):
			return hinted(fmt.Errorf("write %s: there is no folder %s", path, filepath.Dir(path)), "make it first, or name another file")
		case err != nil:
			return fmt.Errorf("write %s: %w", path, err)
		}
		if err := refuse(c, path, nil); err != nil {
			return err
		}
	}
	return nil
}

// save writes a file that reserve let pass, and refuses it if that has changed.
func save(c *cli.Context, path string, content []byte) error {
	return saveUnless(c, path, content, nil)
}

func saveUnless(c *cli.Context, path string, content []byte, ours func([]byte) bool) error {
	if err := refuse(c, path, ours); err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil { // forced, ours, or a device
		if !info.Mode().IsRegular() {
			return writeDevice(path, content)
		}
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return err
		}
		return durable.WriteFile(path, content)
	}
	if c.Bool("force") { // a link to nothing
		return durable.WriteFile(path, content)
	}
	return durable.WriteNew(path, content)
}

// writeDevice writes to a device or a pipe, which has no content to lose.
func writeDevice(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

// refuse is an error where path must not be written. A file whose content is ours
// may be replaced without --force; nil stands for none.
func refuse(c *cli.Context, path string, ours func(content []byte) bool) error {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		target = path
	}
	if isRecord(target) {
		return hinted(fmt.Errorf("%s belongs to a record of runs, which is never written over", path), "name another file")
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case err != nil: // a link to nothing, or whatever writing will say
	case info.IsDir():
		return hinted(fmt.Errorf("%s is a folder", path), "name a file in it")
	case !info.Mode().IsRegular():
		return nil
	case isInput(c, info):
		return hinted(fmt.Errorf("%s is an input of this command", path), "name another file")
	case c.Command.Name != importCommand && isTable(path):
		return hinted(fmt.Errorf("%s is a table", path), "name another file")
	}
	if c.Bool("force") {
		return nil
	}
	if ours != nil {
		if content, err := foreign.ReadFile(path, results.MaxFigure); err == nil && ours(content) {
			return nil
		}
	}
	return hinted(fmt.Errorf("%s exists", path), "--force replaces it")
}

// isRecord tells whether path is, there or not, a file that makes up a run
// directory or a sweep.
func isRecord(path string) bool {
	name := filepath.Base(path)
	if name == sweep.File {
		_, err := os.Lstat(path)
		return err == nil
	}
	records := append(results.Files(), benchmark.CheckpointFile, benchmark.PreviousCheckpointFile, benchmark.LogFile)
	return slices.Contains(records, name) && results.IsRun(filepath.Dir(path))
}

// isInput tells whether the command reads the file, by an argument or an option.
func isInput(c *cli.Context, file fs.FileInfo) bool {
	read := c.Args().Slice()
	for _, option := range inputOptions {
		if option == "table" && c.Command.Name == importCommand {
			continue // which is what it writes
		}
		path := c.String(option)
		read = append(read, path)
		if option == "baseline" && path != "" { // may be a folder of them
			more, _ := filepath.Glob(filepath.Join(path, "*.json")) // the only error is of a pattern
			read = append(read, more...)
		}
	}
	return slices.ContainsFunc(read, func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && os.SameFile(info, file)
	})
}

// isTable tells whether a file is a table, or another SQLite database.
func isTable(path string) bool {
	const magic = "SQLite format 3\x00"
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, len(magic))
	_, err = io.ReadFull(f, head)
	return err == nil && string(head) == magic
}

// drawing is a figure to be drawn and saved in the formats of package plots.
type drawing struct {
	base string // name without extension
	draw func() (*plots.Figure, error)
}

// saveFigures draws figures into the folder dir, which is made where it is
// missing, and returns the names of the files. Nothing is written if one of them
// cannot be drawn or must not be written. In a run directory, figures are replaced
// that stand there as this program drew them, or would draw them now.
func saveFigures(c *cli.Context, dir string, figures []drawing) ([]string, error) {
	known, err := results.ReadFigures(dir)
	if err != nil {
		return nil, err
	}
	ofRun := results.IsRun(dir)
	if !ofRun {
		for _, f := range figures {
			if err := reserveFigures(c, dir, f.base); err != nil {
				return nil, err
			}
		}
	}
	var paths []string
	var contents [][]byte
	for _, f := range figures {
		figure, err := f.draw()
		if err != nil {
			return nil, err
		}
		for _, path := range plots.FileNames(filepath.Join(dir, f.base)) {
			content, err := figure.Encode(path)
			if err != nil {
				return nil, err
			}
			paths, contents = append(paths, path), append(contents, content)
		}
	}
	if ofRun {
		for i, path := range paths {
			known.Draw(path, digest(contents[i]))
		}
	}
	for _, path := range paths {
		if err := refuse(c, path, drawnBefore(known, path)); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	if ofRun {
		if err := results.WriteFigures(dir, known); err != nil {
			return nil, err
		}
	}
	for i, path := range paths {
		if err := saveUnless(c, path, contents[i], drawnBefore(known, path)); err != nil {
			return paths[:i], err
		}
	}
	return paths, nil
}

// reserveFigures is reserve for the figures that saveFigures will write, by their
// names without extension.
func reserveFigures(c *cli.Context, dir string, bases ...string) error {
	known, err := results.ReadFigures(dir)
	if err != nil {
		return err
	}
	for _, base := range bases {
		for _, path := range plots.FileNames(filepath.Join(dir, base)) {
			if err := refuse(c, path, drawnBefore(known, path)); err != nil {
				return err
			}
		}
	}
	return nil
}

// drawnBefore tells of the content of a figure whether this program drew it.
func drawnBefore(known results.Figures, path string) func([]byte) bool {
	return func(content []byte) bool { return known.Has(filepath.Base(path), digest(content)) }
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
