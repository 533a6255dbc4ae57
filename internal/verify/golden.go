package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/internal/foreign"
)

// golden is one case: everything its folder stores, flattened to named leaves.
// A number array is named by its file without ".npy"; a value in a JSON file by
// its path there, "step_info[0].arch_loss", behind the file's own name unless
// that is manifest.json. The computation reads some leaves as its inputs; every
// other leaf is an expectation that it must meet.
type golden struct {
	dir     string
	leaves  map[string]leaf
	lengths map[string]int  // of the lists of objects in JSON files
	inputs  map[string]bool // leaves that were read
	err     error           // first input that was missing or of the wrong form

	jitter func(weights []float64) // moves the weights that a case starts from, see widen
}

// start returns the weights that a case starts from.
func (g *golden) start(weights []float64) []float64 {
	if g.jitter == nil {
		return weights
	}
	moved := slices.Clone(weights)
	g.jitter(moved)
	return moved
}

// leaf is a vector of numbers, in which nested lists are concatenated and
// truth values are 0 and 1, or else a list of texts.
type leaf struct {
	numbers []float64
	texts   []string
	shape   []int // of number arrays from files
}

// loadGolden reads the case in dir.
func loadGolden(dir string) (*golden, error) {
	g := &golden{dir: dir, leaves: map[string]leaf{}, lengths: map[string]int{}, inputs: map[string]bool{}}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		stem, ext := strings.TrimSuffix(f.Name(), filepath.Ext(f.Name())), filepath.Ext(f.Name())
		switch ext {
		case ".npy":
			err = g.loadNPY(path, stem)
		case ".json":
			err = g.loadJSON(path, stem)
		default:
			err = g.add(f.Name(), leaf{})
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
	}
	return g, g.checkFiles()
}

// maxGolden bounds a file of a case, in bytes: 300 times the largest.
const maxGolden = 64 << 20

func (g *golden) loadNPY(path, name string) error {
	b, err := foreign.ReadFile(path, maxGolden)
	if err != nil {
		return err
	}
	values, shape, err := parseNPY(b)
	if err != nil {
		return err
	}
	return g.add(name, leaf{numbers: values, shape: shape})
}

func (g *golden) loadJSON(path, stem string) error {
	b, err := foreign.ReadFile(path, maxGolden)
	if err != nil {
		return err
	}
	var root map[string]any
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(&root); err != nil {
		return err
	}
	if stem == "manifest" {
		stem = ""
	}
	return g.flatten(stem, root)
}

// flatten adds the leaves of a JSON value.
func (g *golden) flatten(name string, value any) error {
	switch v := value.(type) {
	case map[string]any:
		for key, child := range v {
			path := key
			if name != "" {
				path = name + "." + key
			}
			if err := g.flatten(path, child); err != nil {
				return err
			}
		}
		return nil
	case []any:
		if l, ok := vector(v); ok {
			return g.add(name, l)
		}
		g.lengths[name] = len(v)
		for i, child := range v {
			if err := g.flatten(fmt.Sprintf("%s[%d]", name, i), child); err != nil {
				return err
			}
		}
		return nil
	default:
		l, _ := vector([]any{v})
		return g.add(name, l)
	}
}

// vector returns the leaf of a list of scalars or of nested lists of numbers.
func vector(list []any) (l leaf, ok bool) {
	for _, value := range list {
		switch v := value.(type) {
		case float64:
			l.numbers = append(l.numbers, v)
		case bool:
			l.numbers = append(l.numbers, 0)
			if v {
				l.numbers[len(l.numbers)-1] = 1
			}
		case string:
			l.texts = append(l.texts, v)
		case nil:
			l.texts = append(l.texts, "null")
		case []any:
			inner, ok := vector(v)
			if !ok || inner.texts != nil {
				return leaf{}, false
			}
			l.numbers = append(l.numbers, inner.numbers...)
		default:
			return leaf{}, false
		}
	}
	return l, l.numbers == nil || l.texts == nil
}

func (g *golden) add(name string, l leaf) error {
	if _, dup := g.leaves[name]; dup {
		return fmt.Errorf("%q is stored twice", name)
	}
	g.leaves[name] = l
	return nil
}

// checkFiles compares the arrays with the manifest's list of files, so that a case
// from which an array is missing does not pass.
func (g *golden) checkFiles() error {
	for name, l := range g.leaves {
		file, ok := strings.CutSuffix(name, ".npy.shape")
		if !ok {
			continue
		}
		file = strings.TrimPrefix(file, "files.")
		array, stored := g.leaves[file]
		if !stored {
			return fmt.Errorf("read %s: %w", filepath.Join(g.dir, file+".npy"), fs.ErrNotExist)
		}
		if !slices.EqualFunc(array.shape, l.numbers, func(a int, b float64) bool { return float64(a) == b }) {
			return fmt.Errorf("read %s: its shape is %v, the manifest says %v", filepath.Join(g.dir, file+".npy"), array.shape, l.numbers)
		}
	}
	return nil
}

// numbers reads the leaf as an input of n numbers; any number if n < 0. What is
// missing or of another length reads as zeros and is remembered in g.err, so
// that a computation need not check each input for itself.
func (g *golden) numbers(name string, n int) []float64 {
	g.inputs[name] = true
	l, ok := g.leaves[name]
	if ok && l.texts == nil && (n < 0 || n == len(l.numbers)) {
		return l.numbers
	}
	g.fail("input %s is missing or does not have the expected %d numbers", name, n)
	return make([]float64, max(n, 0))
}

// number reads an input of one number.
func (g *golden) number(name string) float64 { return g.numbers(name, 1)[0] }

// integer reads an input of one whole number.
func (g *golden) integer(name string) int {
	v := g.number(name)
	if v != float64(int(v)) {
		g.fail("input %s is %v, want a whole number", name, v)
	}
	return int(v)
}

// texts reads an input that is a list of texts.
func (g *golden) texts(name string) []string {
	g.inputs[name] = true
	l, ok := g.leaves[name]
	if !ok || l.numbers != nil {
		g.fail("input %s is missing or not text", name)
	}
	return l.texts
}

// text reads an input of one text.
func (g *golden) text(name string) string {
	if t := g.texts(name); len(t) == 1 {
		return t[0]
	}
	g.fail("input %s is not one text", name)
	return ""
}

// shape returns the dimensions of an input array with the given number of axes.
func (g *golden) shape(name string, axes int) []int {
	if s := g.leaves[name].shape; len(s) == axes {
		return s
	}
	g.fail("input %s does not have %d axes", name, axes)
	return make([]int, axes)
}

// path reads as an input a file that is neither array nor JSON, and returns
// where it is.
func (g *golden) path(name string) string {
	g.inputs[name] = true
	return filepath.Join(g.dir, name)
}

func (g *golden) fail(format string, args ...any) {
	g.err = errors.Join(g.err, fmt.Errorf(format, args...))
}
