// Package golden holds the golden cases: what the released code computed in float64
// with given inputs. They are embedded in the program, so that it can be checked on any
// machine; see README.md for what they are. Package verify recomputes them.
//
// Of an array of weights, gradients or batch-norm statistics that a case expects, the
// archive holds only weighted sums of a few numbers each, see [Fold]: random numbers
// cannot be compressed, and any wrong number among them makes a sum wrong. Inputs are
// whole, and so is every array in the folders that the archive was made from.
package golden

import (
	"archive/zip"
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/nb1shot/nb1shot/internal/formula"
)

// The golden data lie beside a checkout.
//go:generate go run ../../tools/golden -o nb1shot1.zip ../../../shared/golden
//go:generate go run ../../tools/golden -o darts.zip ../../../shared/golden-cnn
//go:generate go run ../../tools/golden -o rnn.zip ../../../shared/golden-rnn

var (
	//go:embed nb1shot1.zip
	oneShot []byte // cases of NAS-Bench-1Shot1
	//go:embed darts.zip
	cells []byte // cases of the spaces of DARTS
	//go:embed rnn.zip
	recurrent []byte // cases of the recurrent space
)

// FS returns the embedded cases, a folder each.
var FS = sync.OnceValue(func() fs.FS {
	var all archives
	for _, archive := range [][]byte{oneShot, cells, recurrent} {
		r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
		if err != nil {
			panic(fmt.Sprintf("golden: an embedded archive: %v", err))
		}
		all = append(all, r)
	}
	return all
})

// archives are file systems with different folders, seen as one.
type archives []fs.FS

// Open implements [fs.FS].
func (all archives) Open(name string) (fs.File, error) {
	if name == "." {
		return all.root()
	}
	var err error
	for _, archive := range all {
		var file fs.File
		if file, err = archive.Open(name); err == nil {
			return file, nil
		}
	}
	return nil, err
}

// root is the folder of all folders.
func (all archives) root() (fs.File, error) {
	var entries []fs.DirEntry
	for _, archive := range all {
		some, err := fs.ReadDir(archive, ".")
		if err != nil {
			return nil, err
		}
		entries = append(entries, some...)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	file, err := all[0].Open(".")
	return &root{file, entries}, err
}

type root struct {
	fs.File
	entries []fs.DirEntry // still to be read
}

// ReadDir implements [fs.ReadDirFile].
func (r *root) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(r.entries)
	} else if len(r.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(r.entries))
	some := r.entries[:n]
	r.entries = r.entries[n:]
	return some, nil
}

// FoldedSuffix takes the place of ".npy" in the name of an array that was folded.
const FoldedSuffix = ".folded.npy"

// foldLength is how many numbers become one.
const foldLength = 16

// FoldedLen is the length of what n numbers are folded to.
func FoldedLen(n int) int { return (n + foldLength - 1) / foldLength }

// Fold returns sums of 16 numbers each, the last of fewer, with weights between ½ and
// 1½ of either sign that do not repeat.
func Fold(values []float64) []float64 {
	sums := make([]float64, FoldedLen(len(values)))
	for i, w := range formula.Uniform(7, len(values), 2, -1) {
		if w < 0 {
			w -= 0.5
		} else {
			w += 0.5
		}
		sums[i/foldLength] += w * values[i]
	}
	return sums
}
