package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	goldens "github.com/nb1shot/nb1shot/internal/golden"
)

// golden is one case: everything its folder stores, flattened to named leaves.
// A number array is named by its file without ".npy"; a value in a JSON file by
// its path there, "step_info[0].arch_loss", behind the file's own name unless
// that is manifest.json. The computation reads some leaves as its inputs; every
// other leaf is an expectation that it must meet.
type golden struct {
	source  Source
	name    string
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
	shape   []int // of number arrays from files; of a folded one as it was
	folded  bool  // the numbers are sums, see package golden
}

// len is how many numbers a computation must find.
func (l leaf) len() int {
	if !l.folded {
		return len(l.numbers)
	}
	n := 1
	for _, d := range l.shape {
		n *= d
	}
	return n
}

// loadGolden reads a case of a source.
func loadGolden(source Source, name string) (*golden, error) {
	g := &golden{source: source, name: name, leaves: map[string]leaf{}, lengths: map[string]int{}, inputs: map[string]bool{}}
	files, err := source.list(name)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(files, func(f fs.DirEntry) bool { return f.Name() == manifestFile }) {
		return nil, fmt.Errorf("read %s: %w; a folder of a case has one", source.at(name, manifestFile), fs.ErrNotExist)
	}
	for _, f := range files {
		if err := g.load(f.Name()); err != nil {
			return nil, fmt.Errorf("read %s: %w", source.at(name, f.Name()), err)
		}
	}
	return g, g.checkFiles()
}

// load adds the leaves of a file. One that is neither an array nor JSON is a leaf by
// itself, without content, and its name has the extension.
func (g *golden) load(file string) error {
	if strings.HasSuffix(file, ".npy") {
		b, err := g.source.read(g.name, file)
		if err != nil {
			return err
		}
		l := leaf{}
		if l.numbers, l.shape, err = parseNPY(b); err != nil {
			return err
		}
		name, folded := strings.CutSuffix(file, goldens.FoldedSuffix)
		l.folded = folded
		return g.add(strings.TrimSuffix(name, ".npy"), l)
	}
	stem, text := strings.CutSuffix(file, ".json")
	if !text {
		return g.add(file, leaf{})
	}
	b, err := g.source.read(g.name, file)
	if err != nil {
		return err
	}
	if file == manifestFile {
		var root map[string]any
		if err := json.Unmarshal(b, &root); err != nil {
			return err
		}
		return g.flatten("", root)
	}
	var root any
	if err := json.Unmarshal(b, &root); err != nil {
		return err
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

// checkFiles compares what was read with the manifest's list of files, so that a case
// from which one is missing does not pass.
func (g *golden) checkFiles() error {
	for _, name := range slices.Sorted(maps.Keys(g.leaves)) {
		file, listed := strings.CutPrefix(name, "files.")
		if !listed {
			continue
		}
		if file, ok := strings.CutSuffix(file, ".json.dtype"); ok && !g.has(file) {
			return fmt.Errorf("read %s: %w", g.source.at(g.name, file+".json"), fs.ErrNotExist)
		}
		file, ok := strings.CutSuffix(file, ".npy.shape")
		if !ok {
			continue
		}
		at := g.source.at(g.name, file+".npy")
		array, stored := g.leaves[file]
		if !stored {
			return fmt.Errorf("read %s: %w", at, fs.ErrNotExist)
		}
		shape, entries := []int(nil), 1
		for _, d := range g.leaves[name].numbers {
			shape = append(shape, int(d))
			entries *= int(d)
		}
		switch {
		case array.folded && len(array.numbers) == goldens.FoldedLen(entries):
			array.shape = shape
			g.leaves[file] = array
		case array.folded:
			return fmt.Errorf("read %s: %d sums, %v numbers have %d", at, len(array.numbers), shape, goldens.FoldedLen(entries))
		case !slices.Equal(array.shape, shape):
			return fmt.Errorf("read %s: its shape is %v, the manifest says %v", at, array.shape, shape)
		}
	}
	return nil
}

// has tells whether anything is stored under a name or below it.
func (g *golden) has(name string) bool {
	if _, ok := g.leaves[name]; ok {
		return true
	}
	if _, ok := g.lengths[name]; ok {
		return true
	}
	for leaf := range g.leaves {
		if rest, ok := strings.CutPrefix(leaf, name); ok && (rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// numbers reads the leaf as an input of n numbers; any number if n < 0. What is
// missing or of another length reads as zeros and is remembered in g.err, so
// that a computation need not check each input for itself.
func (g *golden) numbers(name string, n int) []float64 {
	g.inputs[name] = true
	l, ok := g.leaves[name]
	if ok && l.texts == nil && !l.folded && (n < 0 || n == len(l.numbers)) {
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

// file reads as an input a file that is neither array nor JSON.
func (g *golden) file(name string) []byte {
	g.inputs[name] = true
	b, err := g.source.read(g.name, name)
	if err != nil {
		g.fail("input %s: %w", name, err)
	}
	return b
}

func (g *golden) fail(format string, args ...any) {
	g.err = errors.Join(g.err, fmt.Errorf(format, args...))
}
