package nasbench

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nb1shot/nb1shot/spaces/cell"
)

// nniTables are as NNI's object mapper makes them.
const nniTables = `
CREATE TABLE nb101trialconfig (id INTEGER NOT NULL PRIMARY KEY, arch JSON NOT NULL, num_vertices INTEGER NOT NULL, hash VARCHAR(64) NOT NULL, num_epochs INTEGER NOT NULL);
CREATE TABLE nb101trialstats (id INTEGER NOT NULL PRIMARY KEY, config_id INTEGER NOT NULL, train_acc REAL NOT NULL, valid_acc REAL NOT NULL, test_acc REAL NOT NULL, parameters REAL NOT NULL, training_time REAL NOT NULL);
CREATE TABLE nb101intermediatestats (id INTEGER NOT NULL PRIMARY KEY, trial_id INTEGER NOT NULL, current_epoch INTEGER NOT NULL, train_acc REAL NOT NULL, valid_acc REAL NOT NULL, test_acc REAL NOT NULL, training_time REAL NOT NULL);
`

// asNNI writes the synthetic records as NNI would have, and returns the path.
func asNNI(t testing.TB, change ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nasbench101.db")
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec := func(query string, args ...any) int64 {
		r, err := db.Exec(query, args...)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		id, _ := r.LastInsertId()
		return id
	}
	exec(nniTables)
	configs := map[string]int64{}
	for _, g := range goldenRecords(t) {
		key := fmt.Sprint(g.ModuleHash, g.Epochs)
		if _, ok := configs[key]; !ok {
			architecture := map[string]any{}
			for v := 1; v < len(g.Ops); v++ {
				if v < len(g.Ops)-1 {
					architecture[fmt.Sprintf("op%d", v)] = g.Ops[v]
				}
				from := []int{}
				for u := range v {
					if g.Matrix[u][v] == 1 {
						from = append(from, u)
					}
				}
				architecture[fmt.Sprintf("input%d", v)] = from
			}
			text, _ := json.Marshal(architecture)
			configs[key] = exec(`INSERT INTO nb101trialconfig (arch, num_vertices, hash, num_epochs) VALUES (?, ?, ?, ?)`,
				string(text), len(g.Ops), g.ModuleHash.String(), g.Epochs)
		}
		e := g.repeat().Final
		trial := exec(`INSERT INTO nb101trialstats (config_id, train_acc, valid_acc, test_acc, parameters, training_time) VALUES (?, ?, ?, ?, ?, ?)`,
			configs[key], e.TrainAccuracy*100, e.ValidationAccuracy*100, e.TestAccuracy*100, float64(g.TrainableParameters)/1e6, e.Seconds)
		for i, at := range []int{g.Epochs / 2, g.Epochs} {
			e := g.evaluation(i + 1)
			exec(`INSERT INTO nb101intermediatestats (trial_id, current_epoch, train_acc, valid_acc, test_acc, training_time) VALUES (?, ?, ?, ?, ?, ?)`,
				trial, at, e.TrainAccuracy*100, e.ValidationAccuracy*100, e.TestAccuracy*100, e.Seconds)
		}
	}
	for _, c := range change {
		exec(c)
	}
	return path
}

// NNI's file gives the table that the records which it was made of give.
func TestImportNNI(t *testing.T) {
	want := importTable(t, goldenFile(t, "synthetic.tfrecord"))
	got := importTable(t, asNNI(t))
	if s := got.Source(); s.Kind != KindNNI || !strings.Contains(s.Detail, "nasbench101.db") {
		t.Errorf("source %+v", s)
	}
	for _, g := range goldenRecords(t) {
		a, err := want.Lookup(g.ModuleHash, g.Epochs)
		if err != nil {
			t.Fatal(err)
		}
		b, err := got.Lookup(g.ModuleHash, g.Epochs)
		if err != nil {
			t.Fatal(err)
		}
		b.Kind = a.Kind
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("%v at %d epochs (-records +NNI):\n%s", g.ModuleHash, g.Epochs, diff)
		}
	}
}

func TestImportNNIRefuses(t *testing.T) {
	for _, c := range []struct{ name, change, want string }{
		{"another database", `DROP TABLE nb101trialstats`, "not the one that NNI made of NAS-Bench-101: it lacks one of the tables"},
		{"a view of rows without end", `DROP TABLE nb101trialstats; CREATE VIEW nb101trialstats AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
			SELECT x AS id, 1 AS config_id, 1.0 AS parameters FROM n`, "it lacks one of the tables"},
		{"a column missing", `ALTER TABLE nb101trialstats DROP COLUMN parameters`, "is not the SQLite file that NNI made of NAS-Bench-101: no such column"},
		{"a large architecture", `UPDATE nb101trialconfig SET arch = zeroblob(50000000) WHERE id = 1`, "too big"},
		{"a large hash", `UPDATE nb101trialconfig SET hash = CAST(zeroblob(50000000) AS TEXT) WHERE id = 1`, "too big"},
		{"no trials", `DELETE FROM nb101trialstats`, "no records"},
		{"another cell", `UPDATE nb101trialconfig SET arch = (SELECT arch FROM nb101trialconfig WHERE id = 1), num_vertices = (SELECT num_vertices FROM nb101trialconfig WHERE id = 1)`, "stored hash is"},
		{"one evaluation", `DELETE FROM nb101intermediatestats WHERE id = 4`, "trial 2: it was "},
		{"the last alone", `DELETE FROM nb101intermediatestats WHERE id = (SELECT max(id) FROM nb101intermediatestats)`, "it was "},
		{"an accuracy", `UPDATE nb101intermediatestats SET test_acc = 101 WHERE id = 4`, "trial 2: accuracy 101, want 0 to 100"},
		{"a hash", `UPDATE nb101trialconfig SET hash = 'x' WHERE id = 1`, "cell hash has 1 characters"},
		{"a text for a number", `UPDATE nb101trialstats SET parameters = 'many'`, "trial "},
		{"too many runs", `UPDATE nb101trialstats SET config_id = 1`, "trial "},
	} {
		t.Run(c.name, func(t *testing.T) {
			dst := filepath.Join(t.TempDir(), "table")
			err := Import(context.Background(), asNNI(t, c.change), dst, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "nasbench101.db") {
				t.Errorf("got %v, want an error with the file and %q", err, c.want)
			}
			if _, err := os.Stat(dst); err == nil {
				t.Error("a table was written")
			}
		})
	}

	path := asNNI(t)
	content := readFile(t, path)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(content)
	z.Close()
	table := filepath.Join(t.TempDir(), "table")
	if err := Import(context.Background(), path, table, nil); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string][]byte{
		"unpack it first":    zipped.Bytes(),
		"is a table already": readFile(t, table),
		"malformed":          content[:len(content)/2],
	} {
		err := Import(context.Background(), writeFile(t, filepath.Join(t.TempDir(), "file"), file), table+"2", nil)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want an error with %q", err, name)
		}
	}
}

// Whatever stands in a file of NNI's, the import makes a sound table of it or none, and
// comes to an end.
func FuzzImportNNI(f *testing.F) {
	file, err := os.ReadFile(asNNI(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(0, []byte{0xff})
	f.Add(16, []byte{0, 1})
	f.Add(100, make([]byte, 8))
	f.Add(4096+100, []byte("op1"))
	f.Add(len(file)-2000, []byte{0xff, 0xff, 0xff, 0xff, 0x7f})
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, at int, patch []byte) {
		if at < 0 || at > len(file) {
			return
		}
		damaged := bytes.Clone(file)
		copy(damaged[at:], patch)
		path, dst := filepath.Join(dir, "nasbench101.db"), filepath.Join(dir, "table")
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		os.Remove(dst)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		err := Import(ctx, path, dst, nil)
		if ctx.Err() != nil {
			t.Fatal("it does not end")
		}
		if err != nil {
			if _, err := os.Stat(dst); err == nil {
				t.Error("a table was left after an error")
			}
			return
		}
		table, err := Open(dst)
		if err != nil {
			t.Fatal(err)
		}
		defer table.Close()
		if err := table.Verify(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// FuzzArchitecture: any text gives a cell with its vertices, or an error.
func FuzzArchitecture(f *testing.F) {
	f.Add([]byte(`{"op1": "conv3x3-bn-relu", "input1": [0], "input2": [0, 1]}`), 3)
	f.Add([]byte(`{"input1": [0]}`), 2)
	f.Add([]byte(`{"input1": [1]}`), 2)
	f.Add([]byte(`{"op1": "input", "input1": [0], "input2": [-1]}`), 3)
	f.Add([]byte(`null`), 7)
	f.Fuzz(func(t *testing.T, text []byte, vertices int) {
		spec, err := parseArchitecture(text, vertices)
		if err == nil && (spec.Vertices() != vertices || vertices > cell.MaxVertices) {
			t.Errorf("%q: %d vertices, want %d", text, spec.Vertices(), vertices)
		}
	})
}
