package nasbench

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/mattn/go-sqlite3"

	"github.com/nb1shot/nb1shot/internal/fault"
	"github.com/nb1shot/nb1shot/internal/pipeline"
	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

// spaceSet tells which spaces a cell belongs to: bit s−1 is set for space s.
type spaceSet uint8

func (s *spaceSet) add(number int) { *s |= 1 << (number - 1) }

// reachable holds the cells that a search can reach.
var reachable = sync.OnceValue(func() map[cell.Hash]spaceSet {
	all := map[cell.Hash]spaceSet{}
	for _, space := range nb1shot1.All() {
		for _, h := range space.Hashes() {
			set := all[h]
			set.add(space.Number())
			all[h] = set
		}
	}
	return all
})

// writer fills a table with the content of one file.
type writer struct {
	path    string       // of the file
	partial bool         // only reachable cells are kept
	check   func() error // called now and then; its error ends the import
	records int          // added so far

	find, update, insertBudget *sql.Stmt
	// insert goes past database/sql, which takes half as long again.
	insert *sqlite3.SQLiteStmt
	args   [11]driver.NamedValue // of insert

	current *row      // the cell whose runs are being added; nil at first
	spare   row       // its memory, used again and again
	highest cell.Hash // of those stored
	budgets map[int]*BudgetInfo
	blob    []byte // reused
	sealed  []byte // what the newest seal is of
}

// row is a row of the table cell.
type row struct {
	hash cell.Hash
	packedCell
	parameters int
	spaces     spaceSet
	stored     bool // with an earlier part of its runs
	budgets    []budgetRuns

	// At 108 epochs; nil where unknown.
	testError, validationError, seconds *float64
}

// addBudget makes room for the runs of another budget.
func (r *row) addBudget(epochs int) {
	n := len(r.budgets)
	if n < cap(r.budgets) {
		r.budgets = r.budgets[:n+1] // with the memory of an earlier cell's runs
	} else {
		r.budgets = append(r.budgets, budgetRuns{})
	}
	r.budgets[n] = budgetRuns{epochs, r.budgets[n].runs[:0]}
}

func newWriter(conn *sql.Conn, tx *sql.Tx, path string, partial bool, check func() error) (*writer, error) {
	w := &writer{path: path, partial: partial, check: check, budgets: map[int]*BudgetInfo{}}
	var failure error
	prepare := func(query string) *sql.Stmt {
		s, err := tx.Prepare(query)
		failure = errors.Join(failure, err)
		return s
	}
	w.find = prepare(`SELECT vertices, edges, ops, params, runs FROM cell WHERE hash = ?`)
	w.update = prepare(`UPDATE cell SET test_error = ?2, valid_error = ?3, seconds = ?4, runs = ?5, seal = ?6 WHERE hash = ?1`)
	w.insertBudget = prepare(`INSERT INTO budget VALUES (?, ?, ?, ?)`)
	for i := range w.args {
		w.args[i].Ordinal = i + 1
	}
	err := conn.Raw(func(c any) error {
		s, err := c.(*sqlite3.SQLiteConn).Prepare(`INSERT INTO cell VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
		if err != nil {
			return err
		}
		w.insert = s.(*sqlite3.SQLiteStmt)
		return nil
	})
	return w, errors.Join(failure, err)
}

func (w *writer) close() { w.insert.Close() }

// addRecords adds the records of a TFRecord file.
func (w *writer) addRecords(in io.Reader) error {
	fault.Start(func() { reachable() }) // in the meantime; whoever asks gets a panic of it
	err := pipeline.Run(
		func(emit func(*recordBatch) bool) error { return readBatches(in, w.path, emit) },
		func(b *recordBatch) { b.decode(w.path) },
		func(b *recordBatch) error {
			for i := range b.runs {
				run := &b.runs[i]
				if err := w.addRun(b.stored[run.cell], b.packed[run.cell], run); err != nil {
					return err
				}
			}
			if b.err != nil {
				return b.err
			}
			return w.check()
		})
	if err != nil {
		return err
	}
	return w.flush()
}

// addMeans adds the lines of a means-only TSV.
func (w *writer) addMeans(in io.Reader) error {
	fault.Start(func() { reachable() }) // in the meantime; whoever asks gets a panic of it
	return pipeline.Run(
		func(emit func(*meanBatch) bool) error { return readMeanBatches(in, w.path, emit) },
		func(b *meanBatch) { b.decode(w.path) },
		func(b *meanBatch) error {
			for i, packed := range b.packed {
				if err := w.addMean(&b.rows[i], packed, b.offsets[i]); err != nil {
					return err
				}
			}
			if b.err != nil {
				return b.err
			}
			return w.check()
		})
}

// addRun adds a training run. The cell and its parameters are those of the first
// record of a hash, as in NAS-Bench-101's own reader.
func (w *writer) addRun(h cell.Hash, packed packedCell, run *cellRun) error {
	w.records++
	if w.current == nil || w.current.hash != h {
		if err := w.flush(); err != nil {
			return err
		}
		var err error
		if w.current, err = w.load(h); err != nil {
			return err
		}
		if w.current == nil {
			w.spare = row{hash: h, packedCell: packed, parameters: run.parameters, spaces: reachable()[h], budgets: w.spare.budgets[:0]}
			w.current = &w.spare
		}
	}
	c := w.current
	i := slices.IndexFunc(c.budgets, func(b budgetRuns) bool { return b.epochs == run.epochs })
	if i < 0 {
		i = len(c.budgets)
		c.addBudget(run.epochs)
	}
	b := &c.budgets[i]
	if len(b.runs) == officialRepeats {
		return &CorruptError{w.path, run.offset, fmt.Sprintf("cell %v has more than %d runs of %d epochs", h, officialRepeats, run.epochs)}
	}
	b.runs = append(b.runs, run.Repeat)
	if w.keeps(c) {
		info := w.budget(run.epochs)
		info.Runs++
		if len(b.runs) == 1 {
			info.Cells++
			info.Validation++
		}
	}
	return nil
}

func (w *writer) keeps(c *row) bool { return !w.partial || c.spaces != 0 }

func (w *writer) budget(epochs int) *BudgetInfo {
	b := w.budgets[epochs]
	if b == nil {
		b = &BudgetInfo{Epochs: epochs}
		w.budgets[epochs] = b
	}
	return b
}

// load returns a cell that was stored already, or nil. The published files are
// sorted by hash, so nearly always the order alone tells.
func (w *writer) load(h cell.Hash) (*row, error) {
	if bytes.Compare(h[:], w.highest[:]) > 0 {
		return nil, nil
	}
	c := &row{hash: h, stored: true}
	var runs []byte
	err := w.find.QueryRow(h[:]).Scan(&c.vertices, &c.edges, &c.ops, &c.parameters, &runs)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find cell: %w", err)
	}
	c.spaces = reachable()[h]
	c.budgets, err = allRuns(runs)
	return c, err
}

// flush stores the current cell.
func (w *writer) flush() error {
	c := w.current
	if c == nil {
		return nil
	}
	w.blob = w.blob[:0]
	for i := range c.budgets {
		b := &c.budgets[i]
		w.blob = b.append(w.blob)
		if b.epochs == Epochs {
			test, validation, seconds := means(b.runs, final)
			c.testError, c.validationError, c.seconds = &test, &validation, &seconds
		}
	}
	return w.store(c, w.blob)
}

// addMean adds a line of a means-only TSV.
func (w *writer) addMean(m *meanRow, packed packedCell, offset int64) error {
	w.records++
	known, err := w.load(m.hash)
	if err != nil {
		return err
	}
	if known != nil {
		return &CorruptError{w.path, offset, fmt.Sprintf("cell %v has a second line", m.hash)}
	}
	c := &row{
		hash: m.hash, packedCell: packed, parameters: m.parameters, spaces: reachable()[m.hash],
		testError: &m.testError, validationError: m.validationError, seconds: m.trainSeconds,
	}
	if w.keeps(c) {
		info := w.budget(Epochs)
		info.Cells++
		if m.validationError != nil {
			info.Validation++
		}
	}
	return w.store(c, nil)
}

// store writes a cell with its packed runs, nil where only means are known.
func (w *writer) store(c *row, runs []byte) error {
	if !w.keeps(c) {
		return nil
	}
	var err error
	var seal [sealSize]byte
	seal, w.sealed = c.seal(runs, w.sealed)
	if c.stored {
		_, err = w.update.Exec(c.hash[:], c.testError, c.validationError, c.seconds, runs, seal[:])
	} else {
		for i, n := range [...]int64{int64(c.vertices), int64(c.edges), int64(c.ops), int64(c.parameters), int64(c.spaces)} {
			w.args[1+i].Value = n
		}
		for i, x := range [...]*float64{c.testError, c.validationError, c.seconds} {
			if w.args[6+i].Value = nil; x != nil {
				w.args[6+i].Value = *x
			}
		}
		w.args[0].Value, w.args[9].Value, w.args[10].Value = c.hash[:], nil, seal[:]
		if runs != nil {
			w.args[9].Value = runs
		}
		_, err = w.insert.ExecContext(context.Background(), w.args[:])
	}
	if err != nil {
		return fmt.Errorf("store cell: %w", err)
	}
	if bytes.Compare(c.hash[:], w.highest[:]) > 0 {
		w.highest = c.hash
	}
	return nil
}

// finish stores what is known at each budget.
func (w *writer) finish() error {
	for _, epochs := range slices.Sorted(maps.Keys(w.budgets)) {
		b := w.budgets[epochs]
		if _, err := w.insertBudget.Exec(b.Epochs, b.Cells, b.Runs, b.Validation); err != nil {
			return fmt.Errorf("store budget: %w", err)
		}
	}
	return nil
}
