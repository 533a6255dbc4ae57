package nasbench

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"database/sql"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	_ "github.com/mattn/go-sqlite3" // the database/sql driver "sqlite3"

	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/nasbench/cell"
	"github.com/nb1shot/nb1shot/spaces"
)

// publishedFiles are the SHA-256 sums that NAS-Bench-101's authors publish with
// their two files.
var publishedFiles = map[string]string{
	"4c39c3936e36a85269881d659e44e61a245babcb72cb374eacacf75d0e5f4fd1": KindOnly108,
	"3d64db8180fb1b0207212f9032205064312b6907a3bbc81eabea10db2f5c7e9c": KindFull,
}

//go:embed schema.sql
var schema string

// checkInterval is the number of records between two calls of writer.check.
const checkInterval = 1024

// Import builds the table dst from src, a file of NAS-Bench-101 (TFRecord) or a
// means-only TSV, plain or gzipped; which, is seen from the content. Every cell
// is hashed anew and its hash compared with the stored one. progress, if not
// nil, is called now and then with the bytes of src read so far and in all.
//
// The table is built in a temporary file beside dst and renamed, so that dst is
// replaced by a complete table or left as it was; a failed or cancelled import
// leaves no file behind. Wrong or truncated content is a *CorruptError.
func Import(ctx context.Context, src, dst string, progress func(read, size int64)) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("import NAS-Bench-101: %w", err)
		}
	}()
	file, err := os.Open(src)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if old, err := os.Stat(dst); err == nil && os.SameFile(info, old) {
		return fmt.Errorf("%s is both the source and the table", src)
	}
	temp, err := os.CreateTemp(filepath.Dir(dst), "."+filepath.Base(dst)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // fails once renamed
	if err := errors.Join(temp.Chmod(0o644), temp.Close()); err != nil {
		return err
	}
	read := &content{raw: countingReader{r: file}, sum: sha256.New()}
	check := func() error {
		if progress != nil {
			progress(read.raw.n, info.Size())
		}
		return ctx.Err()
	}
	if err := fillTable(temp.Name(), src, read, check); err != nil {
		return err
	}
	if err := durable.Sync(temp.Name()); err != nil {
		return err
	}
	return durable.Rename(temp.Name(), dst)
}

// content is the uncompressed content of a file, hashed as it is read.
type content struct {
	raw countingReader // the file
	all countingReader // its content
	sum hash.Hash
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// open returns the content behind a buffer.
func (c *content) open() (*bufio.Reader, error) {
	const size = 1 << 20
	buffered := bufio.NewReaderSize(&c.raw, size)
	c.all.r = buffered
	if magic, _ := buffered.Peek(3); bytes.Equal(magic, []byte{0x1f, 0x8b, 8}) {
		unzipped, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, err
		}
		c.all.r = unzipped
	}
	return bufio.NewReaderSize(io.TeeReader(&c.all, c.sum), size), nil
}

// fillTable writes the table of the content of src into the empty file temp. It
// calls check now and then, and stops with its error.
func fillTable(temp, src string, read *content, check func() error) (err error) {
	db, err := openDatabase(temp, url.Values{"_journal_mode": {"OFF"}, "_synchronous": {"OFF"}, "_locking_mode": {"EXCLUSIVE"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(schema); err != nil {
		return fmt.Errorf("create table: %w", err)
	}
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after the commit
	w, err := newWriter(tx, src, check)
	if err != nil {
		return err
	}
	in, err := read.open()
	if err != nil {
		return err
	}
	// The first 8 bytes of a TFRecord are a small length; text has no zero.
	start, err := in.Peek(8)
	if err != nil && err != io.EOF {
		return err
	}
	kind := KindMeans
	if bytes.IndexByte(start, 0) >= 0 {
		kind = KindSynthetic
		err = readTFRecords(in, src, w.addRecord)
	} else {
		err = readMeans(in, src, w.addMean)
	}
	if err != nil {
		return err
	}
	if w.records == 0 {
		return &CorruptError{src, 0, "no records"}
	}
	digest := hex.EncodeToString(read.sum.Sum(nil))
	if official, ok := publishedFiles[digest]; ok {
		kind = official
	}
	if err := w.finish(); err != nil {
		return err
	}
	if _, err := tx.Exec(`INSERT INTO source VALUES (?, ?, ?, ?, ?)`,
		kind, filepath.Base(src), digest, read.all.n, w.records); err != nil {
		return err
	}
	return tx.Commit()
}

// openDatabase opens the SQLite file at path with the given URI parameters.
func openDatabase(path string, parameters url.Values) (*sql.DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	uri := url.URL{Scheme: "file", Path: path, RawQuery: parameters.Encode()}
	return sql.Open("sqlite3", uri.String())
}

// writer fills a table with the records of one file.
type writer struct {
	tx      *sql.Tx
	path    string       // of the file
	check   func() error // called now and then; its error ends the import
	records int          // read so far

	arch, run, mean *sql.Stmt

	cells   map[cell.Hash]storedCell
	tallies map[budget]tally
}

// storedCell is a row of arch.
type storedCell struct {
	id int64
	packedCell
}

// packedCell is a pruned cell in the columns of arch.
type packedCell struct {
	vertices, edges, ops uint32
}

type budget struct {
	arch   int64
	epochs int
}

// tally sums over the runs of a cell at one budget.
type tally struct {
	runs                    int
	test, validation, train float64 // errors, errors, seconds
}

func newWriter(tx *sql.Tx, path string, check func() error) (*writer, error) {
	w := &writer{tx: tx, path: path, check: check, cells: map[cell.Hash]storedCell{}, tallies: map[budget]tally{}}
	var err error
	prepare := func(query string) *sql.Stmt {
		if err != nil {
			return nil
		}
		var s *sql.Stmt
		s, err = tx.Prepare(query)
		return s
	}
	w.arch = prepare(`INSERT INTO arch VALUES (?, ?, ?, ?, ?, ?)`)
	w.run = prepare(`INSERT INTO run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	w.mean = prepare(`INSERT INTO mean VALUES (?, ?, ?, ?, ?, ?)`)
	return w, err
}

// next counts a record.
func (w *writer) next() error {
	w.records++
	if w.records%checkInterval != 0 {
		return nil
	}
	return w.check()
}

// addRecord stores one record of a TFRecord file. The cell and its parameters
// are those of the first record of a hash, as in NAS-Bench-101's own reader.
func (w *writer) addRecord(offset int64, data []byte) error {
	if err := w.next(); err != nil {
		return err
	}
	corrupt := func(err error) error { return &CorruptError{w.path, offset, err.Error()} }
	r, err := parseRecord(data)
	if err != nil {
		return corrupt(err)
	}
	run, err := r.metrics.repeat()
	if err != nil {
		return corrupt(err)
	}
	known, err := w.verify(r.hash, r.spec)
	if err != nil {
		return corrupt(err)
	}
	if known.id == 0 {
		if known, err = w.addCell(r.hash, known.packedCell, int(r.metrics.parameters)); err != nil {
			return err
		}
	}
	key := budget{known.id, r.epochs}
	t := w.tallies[key]
	if t.runs == officialRepeats {
		return corrupt(fmt.Errorf("cell %v has more than %d runs of %d epochs", r.hash, officialRepeats, r.epochs))
	}
	h, f := run.Halfway, run.Final
	if _, err := w.run.Exec(known.id, r.epochs, t.runs,
		h.Seconds, packAccuracy(h.TrainAccuracy), packAccuracy(h.ValidationAccuracy), packAccuracy(h.TestAccuracy),
		f.Seconds, packAccuracy(f.TrainAccuracy), packAccuracy(f.ValidationAccuracy), packAccuracy(f.TestAccuracy)); err != nil {
		return fmt.Errorf("store run: %w", err)
	}
	t.runs++
	t.test += 1 - f.TestAccuracy
	t.validation += 1 - f.ValidationAccuracy
	t.train += f.Seconds
	w.tallies[key] = t
	return nil
}

// addMean stores one line of a means-only TSV.
func (w *writer) addMean(offset int64, row meanRow) error {
	if err := w.next(); err != nil {
		return err
	}
	known, err := w.verify(row.hash, row.spec)
	if err != nil {
		return &CorruptError{w.path, offset, err.Error()}
	}
	if known.id != 0 {
		return &CorruptError{w.path, offset, fmt.Sprintf("cell %v has a second line", row.hash)}
	}
	if known, err = w.addCell(row.hash, known.packedCell, row.parameters); err != nil {
		return err
	}
	return w.addMeans(budget{known.id, Epochs}, officialRepeats, row.testError, row.validationError, row.trainSeconds)
}

func (w *writer) addMeans(b budget, runs int, testError float64, validationError, trainSeconds *float64) error {
	if _, err := w.mean.Exec(b.arch, b.epochs, runs, testError, validationError, trainSeconds); err != nil {
		return fmt.Errorf("store mean: %w", err)
	}
	return nil
}

// verify compares the hash stored with a cell with the cell's own. The result's
// id is 0 if the table does not hold the cell yet.
func (w *writer) verify(stored cell.Hash, spec cell.Spec) (storedCell, error) {
	pruned, err := spec.Prune()
	if err != nil {
		return storedCell{}, err
	}
	packed := pack(pruned)
	known := w.cells[stored]
	if known.id != 0 && known.packedCell == packed {
		return known, nil // hashed before
	}
	actual, err := pruned.Hash()
	if err != nil {
		return storedCell{}, err
	}
	if actual != stored {
		return storedCell{}, fmt.Errorf("stored hash is %v, but that of the cell is %v", stored, actual)
	}
	if known.id == 0 {
		known.packedCell = packed
	}
	return known, nil
}

func (w *writer) addCell(h cell.Hash, packed packedCell, parameters int) (storedCell, error) {
	c := storedCell{int64(len(w.cells) + 1), packed}
	if _, err := w.arch.Exec(c.id, h[:], c.vertices, c.edges, c.ops, parameters); err != nil {
		return storedCell{}, fmt.Errorf("store cell: %w", err)
	}
	w.cells[h] = c
	return c, nil
}

// finish stores the means of the runs and which cells belong to which space.
func (w *writer) finish() error {
	budgets := slices.SortedFunc(maps.Keys(w.tallies), func(a, b budget) int {
		return cmp.Or(cmp.Compare(a.arch, b.arch), cmp.Compare(a.epochs, b.epochs))
	})
	for _, b := range budgets {
		t := w.tallies[b]
		n := float64(t.runs)
		validation, train := t.validation/n, t.train/n
		if err := w.addMeans(b, t.runs, t.test/n, &validation, &train); err != nil {
			return err
		}
	}
	member, err := w.tx.Prepare(`INSERT INTO space_member VALUES (?, ?)`)
	if err != nil {
		return err
	}
	for _, space := range spaces.All() {
		for _, h := range space.Hashes() {
			if c, ok := w.cells[h]; ok {
				if _, err := member.Exec(space.ID(), c.id); err != nil {
					return fmt.Errorf("store space: %w", err)
				}
			}
		}
		if err := w.check(); err != nil {
			return err
		}
	}
	return nil
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
	ops := make([]cell.Op, max(2, c.vertices)-2)
	for i := range ops {
		ops[i] = cell.Op(c.ops >> (2 * i) & 3)
	}
	return cell.FromBits(int(c.vertices), c.edges, ops)
}

// packAccuracy returns the int64 k where the accuracy is float32(k/9984), as
// are all of NAS-Bench-101's, and else the accuracy itself.
func packAccuracy(accuracy float64) any {
	k := int64(accuracy*evaluationImages + 0.5)
	if unpackAccuracy(k) == accuracy {
		return k
	}
	return accuracy
}

func unpackAccuracy(k int64) float64 { return float64(float32(float64(k) / evaluationImages)) }
