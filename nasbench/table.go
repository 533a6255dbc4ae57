package nasbench

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"

	"gonum.org/v1/gonum/stat"

	"github.com/nb1shot/nb1shot/internal/foreign"
	"github.com/nb1shot/nb1shot/nasbench/cell"
	"github.com/nb1shot/nb1shot/spaces"
)

// What schema.sql writes into the header of a table.
const (
	applicationID = 0x6e623173
	schemaVersion = 2
)

// Table is a table of measured results that Import built. It is an Oracle, and
// safe for use by many goroutines; many processes may have it open.
type Table struct {
	db      *sql.DB // for whole tables
	readers *readers
	source  Source
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
	// Immutable: no lock files, so that a table may lie on a read-only disk and
	// many processes read it without waiting for each other.
	uri, err := databaseURI(path, url.Values{"mode": {"ro"}, "immutable": {"1"}})
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite3", uri)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			db.Close()
		}
	}()
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
	var partial bool
	if err := db.QueryRow(`SELECT kind, name, sha256, records, partial FROM source`).Scan(&t.source.Kind, &name, &t.source.Digest, &records, &partial); err != nil {
		return nil, fmt.Errorf("read source: %w", err)
	}
	t.source.Kind = KindNamed(t.source.Kind)
	t.source.Detail = fmt.Sprintf("%s, %d records", name, records)
	if partial {
		t.source.Detail += ", of these the cells in the three spaces"
	}
	t.readers, err = newReaders(uri)
	return t, err
}

// MaxTable bounds the file of a table, in bytes: that of all runs has 200 MB.
const MaxTable = 4 << 30

// checkMagic tells a file that is no SQLite database from a damaged one.
func checkMagic(path string) error {
	f, err := foreign.Open(context.Background(), path, MaxTable)
	if err != nil {
		return err
	}
	defer f.Close()
	start := make([]byte, foreign.PrefixSize)
	n, err := io.ReadFull(f, start)
	if err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if !bytes.HasPrefix(start, []byte(sqliteMagic)) {
		return foreign.Mistaken(start[:n], "a table of NAS-Bench-101")
	}
	return nil
}

// Source says what the table was imported from.
func (t *Table) Source() Source { return t.source }

// Close closes the table.
func (t *Table) Close() error { return errors.Join(t.readers.close(), t.db.Close()) }

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
	c, runs, err := t.readers.row(h)
	if err != nil {
		return Metrics{}, err
	}
	m := Metrics{Hash: h, Epochs: epochs, Kind: t.source.Kind, Parameters: c.parameters}
	switch {
	case runs != nil:
		if m.Repeats, err = findRuns(runs, epochs); err != nil {
			return Metrics{}, err
		}
		if m.Repeats == nil {
			return Metrics{}, ErrUnknownBudget
		}
		m.Runs = len(m.Repeats)
		m.setMeans(final)
	case epochs == Epochs && c.testError != nil:
		m.Runs = officialRepeats
		m.TestError, m.ValidationError, m.TrainSeconds = *c.testError, c.validationError, c.seconds
	default:
		return Metrics{}, ErrUnknownBudget
	}
	return m, nil
}

// Cell returns the pruned cell of the given hash. It fails with ErrUnknownHash.
func (t *Table) Cell(h cell.Hash) (cell.Spec, error) {
	c, _, err := t.readers.row(h)
	var spec cell.Spec
	if err == nil {
		spec, err = c.unpack()
	}
	if err != nil {
		return cell.Spec{}, fmt.Errorf("cell of hash %v: %w", h, err)
	}
	return spec, nil
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
	var members spaceSet
	if space != 0 {
		members.add(space)
	}
	what := "test_error"
	if epochs != Epochs {
		what = "runs"
	}
	rows, err := t.db.QueryContext(ctx, `
		SELECT hash, vertices, edges, ops, params, `+what+` FROM cell
		WHERE `+what+` IS NOT NULL AND spaces & ?1 = ?1 ORDER BY hash`, members)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e Entry
		var h, blob sql.RawBytes
		var packed packedCell
		var last any = &e.TestError
		if epochs != Epochs {
			last = &blob
		}
		if err := rows.Scan(&h, &packed.vertices, &packed.edges, &packed.ops, &e.Parameters, last); err != nil {
			return err
		}
		copy(e.Hash[:], h)
		if epochs != Epochs {
			runs, err := findRuns(blob, epochs)
			if err != nil {
				return fmt.Errorf("cell %v: %w", e.Hash, err)
			}
			if runs == nil {
				continue
			}
			e.TestError, _, _ = means(runs, final)
		}
		if e.Spec, err = packed.unpack(); err != nil {
			return fmt.Errorf("cell %v: %w", e.Hash, err)
		}
		if err := visit(e); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Budgets returns the training budgets that the table has results of, in epochs,
// ascending.
func (t *Table) Budgets(ctx context.Context) (budgets []int, err error) {
	rows, err := t.db.QueryContext(ctx, `SELECT epochs FROM budget ORDER BY epochs`)
	if err != nil {
		return nil, fmt.Errorf("list budgets: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var epochs int
		if err := rows.Scan(&epochs); err != nil {
			return nil, fmt.Errorf("list budgets: %w", err)
		}
		budgets = append(budgets, epochs)
	}
	return budgets, rows.Err()
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

// SpaceInfo tells how much of a space a table covers, and how good its cells are.
// Errors are fractions at 108 epochs; but for the anchors they are means over the
// runs of a cell. All are 0 if Cells is.
type SpaceInfo struct {
	Space     int
	Reachable int // cells that a search can reach
	Cells     int // of these in the table with their test error at 108 epochs

	Best      cell.Hash // the cell of the lowest test error
	BestError float64
	// Tenth, Median and Ninetieth are quantiles of the cells' test errors: 10, 50
	// and 90 % of the cells are at most as bad.
	Tenth, Median, Ninetieth float64
	// Random is the expected test error of a uniformly random architecture, over
	// those whose cell is in the table.
	Random float64

	// TestAnchor and ValidationAnchor are the lowest errors of any single run
	// among the loose-end-free cells, from which the authors of the spaces count
	// regret; spaces.Published has their figures. Nil where no runs are known one
	// by one.
	TestAnchor, ValidationAnchor *float64
}

// Info counts the table's content; it reads much of it.
func (t *Table) Info(ctx context.Context) (Info, error) {
	info := Info{Source: t.source}
	if err := t.count(ctx, &info); err != nil {
		return Info{}, fmt.Errorf("summarise table: %w", err)
	}
	for _, space := range spaces.All() {
		s, err := t.spaceInfo(ctx, space)
		if err != nil {
			return Info{}, fmt.Errorf("summarise space %d: %w", space.ID(), err)
		}
		info.Spaces = append(info.Spaces, s)
	}
	return info, nil
}

func (t *Table) spaceInfo(ctx context.Context, space *spaces.Space) (info SpaceInfo, err error) {
	cells := map[cell.Hash]spaces.Reachable{}
	for _, c := range space.Reachable() {
		cells[c.Hash] = c
	}
	info = SpaceInfo{Space: space.ID(), Reachable: len(cells)}
	var members spaceSet
	members.add(space.ID())
	rows, err := t.db.QueryContext(ctx, `
		SELECT hash, test_error, runs FROM cell WHERE test_error IS NOT NULL AND spaces & ?1 ORDER BY test_error, hash`, members)
	if err != nil {
		return SpaceInfo{}, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var testErrors, weights []float64
	for rows.Next() {
		var h, blob sql.RawBytes
		var testError float64
		if err := rows.Scan(&h, &testError, &blob); err != nil {
			return SpaceInfo{}, err
		}
		var hash cell.Hash
		copy(hash[:], h)
		if len(testErrors) == 0 {
			info.Best, info.BestError = hash, testError
		}
		testErrors = append(testErrors, testError)
		weights = append(weights, float64(cells[hash].Architectures))
		if !cells[hash].LooseEndFree {
			continue
		}
		runs, err := findRuns(blob, Epochs)
		if err != nil {
			return SpaceInfo{}, fmt.Errorf("cell %v: %w", hash, err)
		}
		for _, r := range runs {
			lower(&info.TestAnchor, 1-r.Final.TestAccuracy)
			lower(&info.ValidationAnchor, 1-r.Final.ValidationAccuracy)
		}
	}
	if info.Cells = len(testErrors); info.Cells > 0 {
		info.Tenth = stat.Quantile(0.1, stat.Empirical, testErrors, nil)
		info.Median = stat.Quantile(0.5, stat.Empirical, testErrors, nil)
		info.Ninetieth = stat.Quantile(0.9, stat.Empirical, testErrors, nil)
		info.Random = stat.Mean(testErrors, weights)
	}
	return info, rows.Err()
}

// lower sets a minimum to x if that is lower.
func lower(minimum **float64, x float64) {
	if *minimum == nil || x < **minimum {
		*minimum = &x
	}
}

func (t *Table) count(ctx context.Context, info *Info) (err error) {
	if err := t.db.QueryRowContext(ctx, `SELECT count(*) FROM cell`).Scan(&info.Cells); err != nil {
		return err
	}
	rows, err := t.db.QueryContext(ctx, `SELECT epochs, cells, validation, runs FROM budget ORDER BY epochs`)
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
