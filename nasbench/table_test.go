package nasbench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"gonum.org/v1/gonum/stat"

	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

func TestOpenRefuses(t *testing.T) {
	folder := t.TempDir()
	good := filepath.Join(folder, "good")
	if err := Import(context.Background(), goldenFile(t, "synthetic.tfrecord"), good, nil); err != nil {
		t.Fatal(err)
	}
	changed := func(name, statement string) string {
		path := writeFile(t, filepath.Join(folder, name), readFile(t, good))
		db, err := sql.Open("sqlite3", path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ name, path, want string }{
		{"missing", filepath.Join(folder, "nowhere"), "no such file"},
		{"folder", folder, "a folder: want a regular file"},
		{"empty", writeFile(t, filepath.Join(folder, "empty"), nil), "an empty file, want a table"},
		{"the file to import", goldenFile(t, "synthetic.tfrecord"), "a TFRecord file, want a table"},
		{"truncated", writeFile(t, filepath.Join(folder, "truncated"), readFile(t, good)[:1000]), "malformed"},
		{"another program's", changed("foreign", `PRAGMA application_id = 0`), "not one that an import of NAS-Bench-101 built"},
		{"later layout", changed("later", `PRAGMA user_version = 5`), "layout has version 5, but this program reads versions 3 and 4"},
		{"earlier layout", changed("earlier", `PRAGMA user_version = 2`), "layout has version 2, but this program reads versions 3 and 4: import it anew"},
		{"earlier layout with the view", changed("renumbered", `PRAGMA user_version = 3`), "read schema"},
		{"no view", changed("viewless", `DROP VIEW cells`), "schema is not the one"},
		{"another view", changed("view", `DROP VIEW cells; CREATE VIEW cells AS SELECT * FROM cell`), "schema is not the one"},
		{"no source", changed("nosource", `DELETE FROM source`), "read source"},
		{"column missing", changed("column", `DROP VIEW cells; ALTER TABLE cell DROP COLUMN seconds`), "schema is not the one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			table, err := Open(c.path)
			if err == nil {
				table.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
				t.Errorf("got %v, want an error with %q and the path", err, c.want)
			}
		})
	}
}

func TestOpenReadOnly(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "table")
	if err := Import(context.Background(), goldenFile(t, "synthetic.tfrecord"), path, nil); err != nil {
		t.Fatal(err)
	}
	table, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if _, err := table.db.Exec(`DELETE FROM cell`); err == nil {
		t.Error("a table open for reading was written to")
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("files beside the open table: %v", entries)
	}
}

func TestTableErrors(t *testing.T) {
	table := importTable(t, writeFile(t, filepath.Join(t.TempDir(), "records"), framed(t, chainRecord(t, cell.Conv3x3, 12, 0.5))))
	known := chainRecord(t, cell.Conv3x3, 12, 0.5).spec
	unknown := chainRecord(t, cell.Conv1x1, 12, 0.5).spec
	if _, err := table.Query(unknown); !errors.Is(err, ErrUnknownHash) {
		t.Errorf("cell not in the table: %v", err)
	}
	if _, err := table.Query(known); !errors.Is(err, ErrUnknownBudget) {
		t.Errorf("cell without runs of 108 epochs: %v", err)
	}
	hash, err := known.Hash()
	if err != nil {
		t.Fatal(err)
	}
	if m, err := table.Lookup(hash, 12); err != nil || m.TestError != 0.5 || m.Runs != 1 {
		t.Errorf("got %+v, %v", m, err)
	}
}

// TestOraclesRefuse: both oracles fail alike on what is no cell of NAS-Bench-101.
func TestOraclesRefuse(t *testing.T) {
	table := importTable(t, goldenFile(t, "synthetic.tfrecord"))
	dense := make([][]int, 7)
	for x := range dense {
		dense[x] = make([]int, 7)
		for y := x + 1; y < 7; y++ {
			dense[x][y] = 1
		}
	}
	for name, oracle := range map[string]Oracle{"table": table, "surrogate": Default()} {
		_, err := oracle.Query(mustParse(t, [][]int{{0, 1, 0}, {0, 0, 0}, {0, 0, 0}}, "input", "maxpool3x3", "output"))
		if !errors.Is(err, cell.ErrDisconnected) {
			t.Errorf("%s, disconnected cell: %v", name, err)
		}
		_, err = oracle.Query(mustParse(t, dense, "input", "maxpool3x3", "maxpool3x3", "maxpool3x3", "maxpool3x3", "maxpool3x3", "output"))
		var domain *cell.DomainError
		if !errors.As(err, &domain) {
			t.Errorf("%s, cell of 21 edges: %v", name, err)
		}
		var matrix *cell.MatrixError
		if _, err := oracle.Query(cell.Spec{}); !errors.As(err, &matrix) {
			t.Errorf("%s, no cell: %v", name, err)
		}
	}
}

// TestPruning: a loose end does not change what is found.
func TestPruning(t *testing.T) {
	table := importTable(t, writeFile(t, filepath.Join(t.TempDir(), "means"), []byte(meansHeader+chainLine)))
	m, err := table.Query(mustParse(t, [][]int{{0, 1, 1, 0}, {0, 0, 0, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}}, "input", "conv3x3-bn-relu", "maxpool3x3", "output"))
	if err != nil {
		t.Fatal(err)
	}
	hash, err := cell.ParseHash("b49ac8c578b4561d79ac7087988f1c61")
	if err != nil {
		t.Fatal(err)
	}
	want := Metrics{Hash: hash, Epochs: 108, Kind: KindMeans, TestError: 0.25, ValidationError: new(0.25), TrainSeconds: new(12.5), Parameters: 200, Runs: 3}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestInfo(t *testing.T) {
	table := importTable(t, goldenFile(t, "synthetic.tfrecord"))
	got, err := table.Info(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := Info{
		Source:  table.Source(),
		Content: table.Content(),
		Cells:   5,
		Budgets: []BudgetInfo{{Epochs: 4, Cells: 5, Runs: 15, Validation: 5}, {Epochs: 108, Cells: 5, Runs: 15, Validation: 5}},
		Spaces:  []SpaceInfo{{Space: "1", Reachable: 2685}, {Space: "2", Reachable: 7773}, {Space: "3", Reachable: 55854}},
	}
	for i, space := range nb1shot1.All() {
		s := &want.Spaces[i]
		var testErrors, weights []float64
		for _, c := range space.Reachable() {
			m, err := table.Lookup(c.Hash, Epochs)
			if err != nil {
				continue
			}
			if s.Cells == 0 || m.TestError < s.BestError {
				s.Best, s.BestError = c.Hash, m.TestError
			}
			s.Cells++
			testErrors = append(testErrors, m.TestError)
			weights = append(weights, float64(c.Architectures))
			for _, r := range m.Repeats {
				if c.LooseEndFree {
					lower(&s.TestAnchor, 1-r.Final.TestAccuracy)
					lower(&s.ValidationAnchor, 1-r.Final.ValidationAccuracy)
				}
			}
		}
		if s.Cells > 0 {
			s.Random = stat.Mean(testErrors, weights)
			slices.Sort(testErrors)
			s.Tenth, s.Median, s.Ninetieth = testErrors[0], testErrors[(s.Cells-1)/2], testErrors[s.Cells-1]
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(1e-12, 0)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestConcurrentQueries(t *testing.T) {
	table := importTable(t, goldenFile(t, "synthetic.tfrecord"))
	records := goldenRecords(t)
	var group sync.WaitGroup
	for worker := range 16 {
		group.Go(func() {
			for i := range 50 {
				r := records[(worker+i)%len(records)]
				m, err := table.Lookup(r.ModuleHash, r.Epochs)
				if err != nil || m.Hash != r.ModuleHash || !slices.Contains(m.Repeats, r.repeat()) {
					t.Errorf("got %+v, %v", m, err)
				}
			}
		})
	}
	group.Wait()
}

// TestProcesses: many processes read one table at once.
func TestProcesses(t *testing.T) {
	const variable = "NB1SHOT_TEST_TABLE"
	read := func(path string) error {
		table, err := Open(path)
		if err != nil {
			return err
		}
		records := goldenRecords(t)
		for i := range 2000 {
			r := records[i%len(records)]
			if m, err := table.Lookup(r.ModuleHash, r.Epochs); err != nil || !slices.Contains(m.Repeats, r.repeat()) {
				return fmt.Errorf("got %+v, %v", m, err)
			}
		}
		return table.Close()
	}
	if path := os.Getenv(variable); path != "" {
		if err := read(path); err != nil {
			t.Fatal(err)
		}
		return
	}
	path := filepath.Join(t.TempDir(), "table")
	if err := Import(context.Background(), goldenFile(t, "synthetic.tfrecord"), path, nil); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			command := exec.Command(os.Args[0], "-test.run=^TestProcesses$")
			command.Env = append(os.Environ(), variable+"="+path)
			if out, err := command.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	group.Wait()
}

func TestClosedTable(t *testing.T) {
	table := importTable(t, goldenFile(t, "synthetic.tfrecord"))
	for range 2 {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := table.Lookup(goldenRecords(t)[0].ModuleHash, 4); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("lookup in a closed table: %v", err)
	}
}

// TestRealTable imports all of NAS-Bench-101 and compares it with facts known of
// it, then fits the surrogate to it.
func TestRealTable(t *testing.T) {
	table := importTable(t, realMeans(t))

	t.Run("best cell", func(t *testing.T) {
		var best Entry
		cells := 0
		err := table.Each(context.Background(), "", Epochs, func(e Entry) error {
			if cells == 0 || e.TestError < best.TestError {
				best = e
			}
			cells++
			parameters, err := TrainableParameters(e.Spec)
			if err == nil && parameters != e.Parameters {
				t.Errorf("cell %v has %d parameters, computed %d", e.Hash, e.Parameters, parameters)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if cells != 423624 || !strings.HasPrefix(best.Hash.String(), "02e5a0247bbd") || math.Abs(1-best.TestError-0.9431758) > 1e-7 {
			t.Errorf("%d cells, the best %v with test accuracy %.7f", cells, best.Hash, 1-best.TestError)
		}
		m, err := table.Query(best.Spec)
		if err != nil || m.TestError != best.TestError || m.Hash != best.Hash {
			t.Errorf("query of the best cell: %+v, %v", m, err)
		}
	})

	t.Run("spaces", func(t *testing.T) {
		info, err := table.Info(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]BudgetInfo{{Epochs: 108, Cells: 423624, Validation: 30001}}, info.Budgets); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		// The figures of the data's own description; the errors are rounded.
		for i, want := range []struct {
			cells                                    int
			best                                     string
			lowest, random, tenth, median, ninetieth float64
		}{
			{2685, "49f7891fc1771926d85dfce1df854041", 0.0579928, 0.0968610, 0.0666, 0.0855, 0.1214},
			{7773, "0c6034b2f9668482453138e9d00079cf", 0.0603299, 0.0945662, 0.0693, 0.0869, 0.1217},
			{55854, "a958be818a5f3d98eb5ce84f41a7764a", 0.0582265, 0.0993077, 0.0699, 0.0917, 0.1268},
		} {
			s := info.Spaces[i]
			if s.Cells != want.cells || s.Reachable != want.cells || s.Best.String() != want.best {
				t.Errorf("got %+v, want %+v", s, want)
			}
			for _, c := range []struct {
				name                 string
				got, want, tolerance float64
			}{
				{"lowest", s.BestError, want.lowest, 5e-8},
				{"random", s.Random, want.random, 5e-8},
				{"10 %", s.Tenth, want.tenth, 6e-5},
				{"median", s.Median, want.median, 6e-5},
				{"90 %", s.Ninetieth, want.ninetieth, 6e-5},
			} {
				if math.Abs(c.got-c.want) > c.tolerance {
					t.Errorf("space %s: %s test error %v, want %v", s.Space, c.name, c.got, c.want)
				}
			}
			if s.TestAnchor != nil || s.ValidationAnchor != nil {
				t.Errorf("space %s: anchors of single runs in a table of means", s.Space)
			}
		}
	})

	t.Run("surrogate", func(t *testing.T) { checkEmbedded(t, table) })
}
