package nasbench

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"runtime"

	"github.com/nb1shot/nb1shot/nasbench/cell"
	"github.com/nb1shot/nb1shot/spaces"
)

// What schema.sql writes into the header of a table.
const (
	applicationID = 0x6e623173
	schemaVersion = 1
)

// Table is a table of measured results that Import built. It is an Oracle, and
// safe for use by many goroutines.
type Table struct {
	db         *sql.DB
	source     Source
	mean, runs *sql.Stmt
}

// Open opens a table for reading. It must not be changed while open; replacing
// it by Import is no change.
func Open(path string) (*Table, error) {
	t, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("open table %s: %w", path, err)
	}
	return t, nil
}

func open(path string) (_ *Table, err error) {
	if err := checkMagic(path); err != nil {
		return nil, err
	}
	// Immutable: no lock files, so that a table may lie on a read-only disk.
	db, err := openDatabase(path, url.Values{"mode": {"ro"}, "immutable": {"1"}})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			db.Close()
		}
	}()
	db.SetMaxOpenConns(runtime.GOMAXPROCS(0))
	var application, version int
	if err := db.QueryRow(`SELECT application_id, user_version FROM pragma_application_id, pragma_user_version`).Scan(&application, &version); err != nil {
		return nil, err
	}
	if application != applicationID {
		return nil, errors.New("a SQLite database, but not one that an import of NAS-Bench-101 built")
	}
	if version != schemaVersion {
		return nil, fmt.Errorf("its layout has version %d, but this program reads version %d: import it anew", version, schemaVersion)
	}
	t := &Table{db: db}
	var name string
	var records int
	if err := db.QueryRow(`SELECT kind, name, sha256, records FROM source`).Scan(&t.source.Kind, &name, &t.source.Digest, &records); err != nil {
		return nil, fmt.Errorf("read source: %w", err)
	}
	t.source.Detail = fmt.Sprintf("%s, %d records", name, records)
	t.mean, err = db.Prepare(`
		SELECT arch.id, params, runs, test_error, valid_error, time
		FROM arch LEFT JOIN mean ON arch_id = arch.id AND epochs = ?2
		WHERE hash = ?1`)
	if err != nil {
		return nil, err
	}
	t.runs, err = db.Prepare(`
		SELECT half_time, half_train, half_valid, half_test, final_time, final_train, final_valid, final_test
		FROM run WHERE arch_id = ? AND epochs = ? ORDER BY repeat`)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// checkMagic tells a file that is no SQLite database from a damaged one.
func checkMagic(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	magic := []byte("SQLite format 3\x00")
	start := make([]byte, len(magic))
	switch _, err := io.ReadFull(f, start); {
	case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF), err == nil && !bytes.Equal(start, magic):
		return errors.New("not a SQLite database: import NAS-Bench-101 into a table first")
	default:
		return err
	}
}

// Source says what the table was imported from.
func (t *Table) Source() Source { return t.source }

// Close closes the table.
func (t *Table) Close() error { return t.db.Close() }

// Query returns what the table holds of the cell at 108 epochs; see Oracle.
func (t *Table) Query(spec cell.Spec) (Metrics, error) {
	h, err := spec.Hash()
	if err != nil {
		return Metrics{}, err
	}
	return t.Lookup(h, Epochs)
}

// Lookup returns what the table holds of the cell of the given hash, trained
// for the given number of epochs. It fails with ErrUnknownHash or
// ErrUnknownBudget.
func (t *Table) Lookup(h cell.Hash, epochs int) (Metrics, error) {
	m, err := t.lookup(h, epochs)
	if err != nil {
		return Metrics{}, fmt.Errorf("look up cell %v at %d epochs: %w", h, epochs, err)
	}
	return m, nil
}

func (t *Table) lookup(h cell.Hash, epochs int) (Metrics, error) {
	m := Metrics{Hash: h, Epochs: epochs, Kind: t.source.Kind}
	var id int64
	var runs sql.NullInt64
	var testError sql.NullFloat64
	err := t.mean.QueryRow(h[:], epochs).Scan(&id, &m.Parameters, &runs, &testError, &m.ValidationError, &m.TrainSeconds)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Metrics{}, ErrUnknownHash
	case err != nil:
		return Metrics{}, err
	case !runs.Valid:
		return Metrics{}, ErrUnknownBudget
	}
	m.Runs, m.TestError = int(runs.Int64), testError.Float64
	m.Repeats, err = t.repeats(id, epochs)
	return m, err
}

func (t *Table) repeats(id int64, epochs int) (repeats []Repeat, err error) {
	rows, err := t.runs.Query(id, epochs)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r Repeat
		h, f := &r.Halfway, &r.Final
		if err := rows.Scan(
			&h.Seconds, (*accuracy)(&h.TrainAccuracy), (*accuracy)(&h.ValidationAccuracy), (*accuracy)(&h.TestAccuracy),
			&f.Seconds, (*accuracy)(&f.TrainAccuracy), (*accuracy)(&f.ValidationAccuracy), (*accuracy)(&f.TestAccuracy)); err != nil {
			return nil, err
		}
		repeats = append(repeats, r)
	}
	return repeats, rows.Err()
}

// accuracy reads what packAccuracy returned.
type accuracy float64

func (a *accuracy) Scan(v any) error {
	switch v := v.(type) {
	case int64:
		*a = accuracy(unpackAccuracy(v))
	case float64:
		*a = accuracy(v)
	default:
		return fmt.Errorf("accuracy of type %T, want a number", v)
	}
	return nil
}

// Entry is a cell of a table with its mean test error at one budget.
type Entry struct {
	Hash       cell.Hash
	Spec       cell.Spec // pruned
	Parameters int
	TestError  float64 // fraction, mean over the runs
}

// Each calls visit with the cells that a search in the given space (1, 2 or 3;
// 0 for the whole table) can reach, as far as their test error after the given
// number of epochs is known, by ascending hash. An error of visit ends it.
func (t *Table) Each(ctx context.Context, space, epochs int, visit func(Entry) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("read cells of space %d at %d epochs: %w", space, epochs, err)
		}
	}()
	rows, err := t.db.QueryContext(ctx, `
		SELECT hash, vertices, edges, ops, params, test_error
		FROM arch JOIN mean ON mean.arch_id = arch.id AND epochs = ?2
		WHERE ?1 = 0 OR EXISTS (SELECT 1 FROM space_member WHERE space = ?1 AND space_member.arch_id = arch.id)
		ORDER BY hash`, space, epochs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e Entry
		var h sql.RawBytes
		var packed packedCell
		if err := rows.Scan(&h, &packed.vertices, &packed.edges, &packed.ops, &e.Parameters, &e.TestError); err != nil {
			return err
		}
		copy(e.Hash[:], h)
		if e.Spec, err = packed.unpack(); err != nil {
			return fmt.Errorf("cell %v: %w", e.Hash, err)
		}
		if err := visit(e); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Info summarises a table.
type Info struct {
	Source  Source
	Cells   int
	Budgets []BudgetInfo // ascending
	Spaces  []SpaceInfo  // spaces 1, 2, 3
}

// BudgetInfo counts what is known at one training budget.
type BudgetInfo struct {
	Epochs     int
	Cells      int // with a mean test error
	Runs       int // known one by one
	Validation int // cells with a validation error
}

// SpaceInfo tells how much of a space a table covers, and its best cell.
type SpaceInfo struct {
	Space     int
	Reachable int // cells that a search can reach
	Cells     int // of these in the table with their test error at 108 epochs
	// Best is the cell of the lowest mean test error, BestError; both are zero
	// if Cells is.
	Best      cell.Hash
	BestError float64
}

// Info counts the table's content; it reads much of it.
func (t *Table) Info(ctx context.Context) (Info, error) {
	info := Info{Source: t.source}
	if err := t.count(ctx, &info); err != nil {
		return Info{}, fmt.Errorf("summarise table: %w", err)
	}
	for _, space := range spaces.All() {
		s := SpaceInfo{Space: space.ID(), Reachable: space.Count().Hashes}
		err := t.Each(ctx, s.Space, Epochs, func(e Entry) error {
			if s.Cells == 0 || e.TestError < s.BestError {
				s.Best, s.BestError = e.Hash, e.TestError
			}
			s.Cells++
			return nil
		})
		if err != nil {
			return Info{}, err
		}
		info.Spaces = append(info.Spaces, s)
	}
	return info, nil
}

func (t *Table) count(ctx context.Context, info *Info) (err error) {
	if err := t.db.QueryRowContext(ctx, `SELECT count(*) FROM arch`).Scan(&info.Cells); err != nil {
		return err
	}
	rows, err := t.db.QueryContext(ctx, `
		SELECT epochs, count(*), count(valid_error), (SELECT count(*) FROM run WHERE run.epochs = mean.epochs)
		FROM mean GROUP BY epochs ORDER BY epochs`)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var b BudgetInfo
		if err := rows.Scan(&b.Epochs, &b.Cells, &b.Validation, &b.Runs); err != nil {
			return err
		}
		info.Budgets = append(info.Budgets, b)
	}
	return rows.Err()
}
