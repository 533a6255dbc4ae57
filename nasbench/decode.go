package nasbench

import (
	"errors"
	"fmt"
	"io"

	"github.com/nb1shot/nb1shot/internal/tfrecord"
	"github.com/nb1shot/nb1shot/spaces/cell"
)

// batchSize is about how much of a file is decoded at a time, in bytes.
const batchSize = 256 << 10

// packedCell is a pruned cell in the columns of the table.
type packedCell struct {
	vertices, edges, ops uint32
}

// pack packs a pruned cell of at most cell.MaxVertices vertices.
func pack(p cell.Spec) packedCell {
	c := packedCell{vertices: uint32(p.Vertices()), edges: p.AdjacencyBits()}
	for i, op := range p.Ops {
		c.ops |= uint32(op) << (2 * i)
	}
	return c
}

// unpack returns the cell that pack packed.
func (c packedCell) unpack() (cell.Spec, error) {
	if c.vertices < 2 || c.vertices > cell.MaxVertices || c.edges >= 1<<(c.vertices*(c.vertices-1)/2) || c.ops >= 1<<(2*(c.vertices-2)) {
		return cell.Spec{}, fmt.Errorf("a cell of %d vertices, edges %d, operations %d: %w", c.vertices, c.edges, c.ops, ErrChanged)
	}
	ops := make([]cell.Op, c.vertices-2)
	for i := range ops {
		ops[i] = cell.Op(c.ops >> (2 * i) & 3)
	}
	return cell.FromBits(int(c.vertices), c.edges, ops)
}

// cellList collects cells whose hashes are computed together.
type cellList struct {
	specs  []cell.Spec // pruned
	packed []packedCell
	stored []cell.Hash // the hash beside each in the file
}

// grow makes room for n cells.
func (l *cellList) grow(n int) {
	l.specs = make([]cell.Spec, 0, n)
	l.packed = make([]packedCell, 0, n)
	l.stored = make([]cell.Hash, 0, n)
}

// add prunes and checks a cell.
func (l *cellList) add(spec cell.Spec, stored cell.Hash) error {
	pruned, err := spec.Prune()
	if err != nil {
		return err
	}
	if pruned.Vertices() > cell.MaxVertices || pruned.Edges() > cell.MaxEdges {
		return pruned.Check()
	}
	l.specs = append(l.specs, pruned)
	l.packed = append(l.packed, pack(pruned))
	l.stored = append(l.stored, stored)
	return nil
}

// mismatch returns the first cell whose hash is not the stored one, or -1 where
// there is none.
func (l *cellList) mismatch() (int, error) {
	for i, actual := range cell.Hashes(l.specs) {
		if actual != l.stored[i] {
			return i, fmt.Errorf("stored hash is %v, but that of the cell is %v", l.stored[i], actual)
		}
	}
	return -1, nil
}

// recordBatch are consecutive records of a TFRecord file.
type recordBatch struct {
	data    []byte
	ends    []int   // of each record in data
	offsets []int64 // of each in the content

	cellList
	runs []cellRun
	err  error // after the runs
}

// cellRun is a training run of a cell of the batch.
type cellRun struct {
	Repeat
	offset             int64
	cell               int // in the batch
	epochs, parameters int
}

// readBatches calls emit with batches of records until it returns false.
func readBatches(in io.Reader, path string, emit func(*recordBatch) bool) error {
	b := new(recordBatch)
	err := tfrecord.Read(in, func(offset int64, data []byte) error {
		b.data = append(b.data, data...)
		b.ends = append(b.ends, len(b.data))
		b.offsets = append(b.offsets, offset)
		if len(b.data) < batchSize {
			return nil
		}
		full := b
		b = &recordBatch{data: make([]byte, 0, batchSize+batchSize/64)}
		if !emit(full) {
			return io.EOF // ignored: somebody else has failed
		}
		return nil
	})
	if len(b.ends) > 0 {
		emit(b)
	}
	var corrupt *tfrecord.CorruptError
	if errors.As(err, &corrupt) {
		return &CorruptError{path, corrupt.Offset, corrupt.Reason}
	}
	if err != nil && err != io.EOF {
		return fmt.Errorf("read %s %w", path, err)
	}
	return err
}

// decode fills in the cells and runs, up to the first error.
func (b *recordBatch) decode(path string) {
	var p parser
	b.runs = make([]cellRun, 0, len(b.ends))
	b.grow(len(b.ends)/officialRepeats + 1)
	start := 0
	for i, end := range b.ends {
		if err := b.decodeRecord(&p, b.data[start:end], b.offsets[i]); err != nil {
			b.err = &CorruptError{path, b.offsets[i], err.Error()}
			break
		}
		start = end
	}
	if wrong, err := b.mismatch(); err != nil {
		for i, run := range b.runs {
			if run.cell == wrong {
				b.err = &CorruptError{path, run.offset, err.Error()}
				b.runs = b.runs[:i]
				break
			}
		}
	}
	b.data, b.specs = nil, nil
}

func (b *recordBatch) decodeRecord(p *parser, data []byte, offset int64) error {
	r, err := p.parse(data)
	if err != nil {
		return err
	}
	run, err := r.metrics.repeat()
	if err != nil {
		return err
	}
	if last := len(b.stored) - 1; !p.same || b.stored[last] != r.hash {
		if err := b.add(r.spec, r.hash); err != nil {
			return err
		}
	}
	b.runs = append(b.runs, cellRun{run, offset, len(b.stored) - 1, r.epochs, int(r.metrics.parameters)})
	return nil
}

// meanBatch are consecutive lines of a means-only TSV.
type meanBatch struct {
	rows    []meanRow
	offsets []int64

	cellList
	err error // after the cells
}

// readMeanBatches calls emit with batches of lines until it returns false.
func readMeanBatches(in io.Reader, path string, emit func(*meanBatch) bool) error {
	const lines = 1024
	b := new(meanBatch)
	err := readMeans(in, path, func(offset int64, row meanRow) error {
		b.rows = append(b.rows, row)
		b.offsets = append(b.offsets, offset)
		if len(b.rows) < lines {
			return nil
		}
		full := b
		b = new(meanBatch)
		if !emit(full) {
			return io.EOF // ignored: somebody else has failed
		}
		return nil
	})
	if len(b.rows) > 0 {
		emit(b)
	}
	return err
}

// decode fills in the cells, up to the first error.
func (b *meanBatch) decode(path string) {
	b.grow(len(b.rows))
	for i, row := range b.rows {
		if err := b.add(row.spec, row.hash); err != nil {
			b.err = &CorruptError{path, b.offsets[i], err.Error()}
			break
		}
	}
	if wrong, err := b.mismatch(); err != nil {
		b.err = &CorruptError{path, b.offsets[wrong], err.Error()}
		b.packed = b.packed[:wrong]
	}
	b.specs = nil
}
