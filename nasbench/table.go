package nasbench

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/mattn/go-sqlite3"
	"gonum.org/v1/gonum/stat"

	"github.com/nb1shot/nb1shot/internal/foreign"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

// What schema.sql writes into the header of a table. A table of the earlier version is
// read too: it lacks the view.
const (
	applicationID  = 0x6e623173
	schemaVersion  = 4
	withoutTheView = 3
)

// Table is a table of measured results that Import built. It is an Oracle, and
// safe for use by many goroutines; many processes may have it open.
type Table struct {
	db      *sql.DB // for whole tables
	readers *readers
	source  Source
	content []byte // digest of the file

	file      *os.File // for Verify
	verifying sync.Mutex
	verified  bool
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
	file, err := openMagic(path)
	if err != nil {
		return nil, err
	}
	t := &Table{file: file}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	database, err := newDatabase(path, info)
	if err != nil {
		return nil, err
	}
	conn, err := database.open()
	if err != nil {
		return nil, err
	}
	if err := t.describe(conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	t.db = sql.OpenDB(database)
	t.readers, err = newReaders(database, conn)
	return t, err
}

// describe checks that the database is a table, and reads its source.
func (t *Table) describe(conn *sqlite3.SQLiteConn) error {
	marks, err := collect(conn, `SELECT application_id, user_version FROM pragma_application_id, pragma_user_version`, 2, 1)
	if err != nil {
		return err
	}
	if marks[0][0] != int64(applicationID) {
		return errors.New("a SQLite database, but not one that an import of NAS-Bench-101 built")
	}
	version := marks[0][1]
	if version != int64(schemaVersion) && version != int64(withoutTheView) {
		return fmt.Errorf("its layout has version %d, but this program reads versions %d and %d: import it anew", version, withoutTheView, schemaVersion)
	}
	statements := createStatements()
	if version == int64(withoutTheView) {
		statements = slices.DeleteFunc(slices.Clone(statements), func(s string) bool { return strings.HasPrefix(s, "CREATE VIEW") })
	}
	objects, err := collect(conn, `SELECT type, sql FROM sqlite_schema ORDER BY rowid`, 2, len(statements))
	if err != nil {
		return fmt.Errorf("read schema: %w", err)
	}
	for i, statement := range statements {
		if i >= len(objects) || objects[i][1] != statement { // which tells the type
			return fmt.Errorf("its schema is not the one that an import makes: %w", ErrChanged)
		}
	}
	sources, err := collect(conn, `SELECT kind, name, sha256, bytes, records, partial, content, seal FROM source`, 8, 1)
	if err != nil {
		return fmt.Errorf("read source: %w", err)
	}
	if len(sources) == 0 {
		return fmt.Errorf("read source: no row: %w", ErrChanged)
	}
	var r sourceRow
	var stated []byte
	if err := assign(sources[0], &r.kind, &r.name, &r.digest, &r.bytes, &r.records, &r.partial, &t.content, &stated); err != nil {
		return fmt.Errorf("read source: %w", err)
	}
	if seal := r.seal(); !bytes.Equal(seal[:], stated) || len(t.content) != sha256.Size {
		return fmt.Errorf("read source: %w", ErrChanged)
	}
	kinds := []string{KindNASBench101, KindMeans, KindNNI, KindSynthetic}
	if !slices.Contains(kinds, r.kind) || (r.kind == KindNASBench101) != slices.Contains(publishedSums, r.digest) {
		return fmt.Errorf("read source: it cannot be %.40q of SHA-256 %.64s: %w", r.kind, r.digest, ErrChanged)
	}
	t.source = Source{Kind: r.kind, Digest: r.digest, Detail: fmt.Sprintf("%s, %d records", r.name, r.records)}
	if r.partial {
		t.source.Detail += ", of these the cells in the three spaces"
	}
	return nil
}

// createStatements are those of schema.sql that make tables and the view, as SQLite keeps
// them.
var createStatements = sync.OnceValue(func() (all []string) {
	for _, statement := range strings.Split(schema, ";\n") {
		if i := strings.Index(statement, "CREATE "); i >= 0 {
			all = append(all, statement[i:])
		}
	}
	return all
})

// MaxTable bounds the file of a table, in bytes: that of all runs has 200 MB.
const MaxTable = 4 << 30

// openMagic opens the file at path, and tells one that is no SQLite database from a
// damaged one.
func openMagic(path string) (*os.File, error) {
	file, err := foreign.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() > MaxTable {
		err = fmt.Errorf("%w: %d bytes, want at most %d", foreign.ErrTooLarge, info.Size(), int64(MaxTable))
	}
	if err == nil {
		start := make([]byte, foreign.PrefixSize)
		var n int
		if n, err = file.ReadAt(start, 0); err == io.EOF {
			err = nil
		}
		if err == nil && !bytes.HasPrefix(start, []byte(sqliteMagic)) {
			err = foreign.Mistaken(start[:n], "a table of NAS-Bench-101")
		}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// Source says what the table was imported from.
func (t *Table) Source() Source { return t.source }

// Close closes the table.
func (t *Table) Close() error {
	err := t.file.Close()
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	return errors.Join(t.readers.close(), t.db.Close(), err)
}

// Query returns what the table holds of the cell at 108 epochs; see Oracle.
func (t *Table) Query(spec cell.Spec) (Metrics, error) { return t.QueryAt(spec, Epochs) }

// QueryAt returns what the table holds of the cell after a number of epochs; see Budgeted.
func (t *Table) QueryAt(spec cell.Spec, epochs int) (Metrics, error) {
	h, err := spec.Hash()
	if err != nil {
		return Metrics{}, err
	}
	return t.Lookup(h, epochs)
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
	if err == nil {
		var actual cell.Hash
		if actual, err = spec.Hash(); err == nil && actual != h {
			err = fmt.Errorf("the cell found is that of hash %v: %w", actual, ErrChanged)
		}
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
	// ValidationError is likewise, of a single run in a table of means; nil where unknown.
	ValidationError *float64
}

// Each calls visit with the cells that a search in the given space (one of
// NAS-Bench-1Shot1, or "" for the whole table) can reach and whose test error after the given number of
// epochs is known, by ascending hash. An error of visit ends it.
func (t *Table) Each(ctx context.Context, space spaces.Name, epochs int, visit func(Entry) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("read cells of space %s at %d epochs: %w", space, epochs, err)
		}
	}()
	if err := t.Verify(ctx); err != nil {
		return err
	}
	var members spaceSet
	if space != "" {
		s, err := nb1shot1.Get(space)
		if err != nil {
			return err
		}
		members.add(s.Number())
	}
	what := "test_error, valid_error"
	known := "test_error"
	if epochs != Epochs {
		what, known = "runs, NULL", "runs"
	}
	rows, err := t.db.QueryContext(ctx, `
		SELECT hash, vertices, edges, ops, params, `+what+` FROM cell
		WHERE `+known+` IS NOT NULL AND spaces & ?1 = ?1 ORDER BY hash`, members)
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
		if err := rows.Scan(&h, &packed.vertices, &packed.edges, &packed.ops, &e.Parameters, last, &e.ValidationError); err != nil {
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
			var validation float64
			e.TestError, validation, _ = means(runs, final)
			e.ValidationError = &validation
		}
		if e.Spec, err = packed.unpack(); err == nil && !isFraction(e.TestError) {
			err = ErrChanged
		}
		if err != nil {
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
	Content string // Table.Content, verified
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
	Space     spaces.Name
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
	if err := t.Verify(ctx); err != nil {
		return Info{}, err
	}
	info := Info{Source: t.source, Content: t.Content()}
	if err := t.count(ctx, &info); err != nil {
		return Info{}, fmt.Errorf("summarise table: %w", err)
	}
	for _, space := range nb1shot1.All() {
		s, err := t.spaceInfo(ctx, space)
		if err != nil {
			return Info{}, fmt.Errorf("summarise space %s: %w", space.Name(), err)
		}
		info.Spaces = append(info.Spaces, s)
	}
	return info, nil
}

func (t *Table) spaceInfo(ctx context.Context, space *nb1shot1.Space) (info SpaceInfo, err error) {
	cells := map[cell.Hash]nb1shot1.Reachable{}
	for _, c := range space.Reachable() {
		cells[c.Hash] = c
	}
	info = SpaceInfo{Space: space.Name(), Reachable: len(cells)}
	var members spaceSet
	members.add(space.Number())
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
		if !isFraction(testError) {
			return SpaceInfo{}, fmt.Errorf("test error of %v: %w", testError, ErrChanged)
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
