package verify

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"

	goldens "github.com/nb1shot/nb1shot/internal/golden"
)

// foldable are the expectations that are folded in the embedded archive where they are
// long: what a case holds of weights, their gradients, statistics and Hessians.
var foldable = regexp.MustCompile(`^(step\d+_(params|params_after_arch|unrolled_params|weight_grad|momentum|buffers|average)|child\d+_(params|buffers)|ctl\d+_(params|grad)|\w+_grad_params|\w+_buffers_after|end_buffers|(\w+_)?hessian)$`)

// foldFrom is the length from which an expectation is folded.
const foldFrom = 256

// Pack writes the archive of package golden: the cases of the sources that the program
// can check. It says on log what it left out and what it folded. The archive depends on
// nothing but the cases.
func Pack(w io.Writer, log io.Writer, sources ...Source) error {
	archive := zip.NewWriter(w)
	archive.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.BestCompression)
	})
	packed := map[string]Source{}
	read, written := 0, 0
	for _, source := range sources {
		names, err := source.cases()
		if err != nil {
			return err
		}
		for _, name := range names {
			g, err := loadGolden(source, name)
			if err != nil {
				return err
			}
			if _, ok := kindOf(g); !ok {
				fmt.Fprintf(log, "%s: left out, no check reads it\n", source.at(name, ""))
				continue
			}
			if other, twice := packed[name]; twice {
				return fmt.Errorf("case %s is in %s and in %s", name, other, source)
			}
			packed[name] = source
			r, n, err := g.pack(archive, log)
			if err != nil {
				return err
			}
			read, written = read+r, written+n
		}
	}
	fmt.Fprintf(log, "%d cases, %d bytes, of which %d are kept before compression\n", len(packed), read, written)
	return archive.Close()
}

// pack adds the files of a case to an archive, and returns how many bytes they have and
// how many it added.
func (g *golden) pack(archive *zip.Writer, log io.Writer) (read, written int, err error) {
	files, err := g.source.list(g.name)
	if err != nil {
		return 0, 0, err
	}
	var folded []string
	for _, f := range files {
		b, err := g.source.read(g.name, f.Name())
		if err != nil {
			return 0, 0, err
		}
		read += len(b)
		name := f.Name()
		stem, array := strings.CutSuffix(name, ".npy")
		l := g.leaves[stem]
		if array && foldable.MatchString(stem) && g.has("files."+name+".shape") && len(l.numbers) >= foldFrom {
			name, b = stem+goldens.FoldedSuffix, formatNPY(goldens.Fold(l.numbers))
			folded = append(folded, stem)
		}
		written += len(b)
		at, err := archive.CreateHeader(&zip.FileHeader{Name: g.name + "/" + name, Method: zip.Deflate})
		if err != nil {
			return 0, 0, err
		}
		if _, err := at.Write(b); err != nil {
			return 0, 0, err
		}
	}
	if len(folded) > 0 {
		fmt.Fprintf(log, "%s: %d bytes, %d kept; folded %s\n", g.name, read, written, strings.Join(folded, ", "))
	}
	return read, written, nil
}

// formatNPY writes a vector as parseNPY reads it.
func formatNPY(values []float64) []byte {
	header := fmt.Sprintf("{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }", len(values))
	const align = 64
	header += strings.Repeat(" ", align-1-(len(header)+10)%align) + "\n"
	var b bytes.Buffer
	b.WriteString("\x93NUMPY\x01\x00")
	b.Write(binary.LittleEndian.AppendUint16(nil, uint16(len(header))))
	b.WriteString(header)
	for _, v := range values {
		b.Write(binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)))
	}
	return b.Bytes()
}
