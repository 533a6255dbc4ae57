package nasbench

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/spaces/cell"
)

// sealedTable is the table of the synthetic records, what it answers, and its bytes.
func sealedTable(t testing.TB) (file []byte, answers map[cell.Hash]Metrics) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "table")
	if err := Import(context.Background(), goldenFile(t, "synthetic.tfrecord"), path, nil); err != nil {
		t.Fatal(err)
	}
	table, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	answers = map[cell.Hash]Metrics{}
	err = table.Each(context.Background(), "", Epochs, func(e Entry) error {
		answers[e.Hash], err = table.Lookup(e.Hash, Epochs)
		return err
	})
	if err != nil || len(answers) == 0 {
		t.Fatalf("%d answers, %v", len(answers), err)
	}
	if file, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return file, answers
}

// ask opens the table at path and asks it for everything that it answered before.
// A wrong answer fails the test; errors are as good as answers. It returns the
// first error of each kind of question: to open, a lookup, a cell, all cells, the
// whole file.
func ask(t testing.TB, path string, answers map[cell.Hash]Metrics) (asked [5]error) {
	t.Helper()
	table, err := Open(path)
	if err != nil {
		return [5]error{err, err, err, err, err}
	}
	defer table.Close()
	note := func(i int, err error) {
		if asked[i] == nil {
			asked[i] = err
		}
	}
	for h, want := range answers {
		got, err := table.Lookup(h, Epochs)
		if note(1, err); err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("cell %v: got %+v, want %+v", h, got, want)
		}
		spec, err := table.Cell(h)
		if note(2, err); err == nil {
			if actual, err := spec.Hash(); actual != h || err != nil {
				t.Errorf("the cell of %v has the hash %v, %v", h, actual, err)
			}
		}
	}
	note(3, table.Each(context.Background(), "", Epochs, func(e Entry) error {
		if want := answers[e.Hash]; e.TestError != want.TestError || e.Parameters != want.Parameters {
			t.Errorf("cell %v: got %+v, want %+v", e.Hash, e, want)
		}
		return nil
	}))
	if _, err := table.Info(context.Background()); table.Verify(context.Background()) != nil && err == nil {
		t.Error("summarised, although the file is not as it was")
	}
	note(4, table.Verify(context.Background()))
	return asked
}

// Wherever a byte of a table is damaged, no answer is wrong, and the whole file never
// passes for the one that was imported.
func TestDamagedTable(t *testing.T) {
	file, answers := sealedTable(t)
	path := filepath.Join(t.TempDir(), "table")
	r := random.New(1, "damage")
	const step = 37
	for at := r.IntN(step); at < len(file); at += 1 + r.IntN(2*step) {
		damaged := bytes.Clone(file)
		damaged[at] ^= 1 << r.IntN(8)
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if asked := ask(t, path, answers); asked[4] == nil {
			t.Errorf("byte %d of %d: the damage went unseen", at, len(file))
		}
	}
	// What is cut off, or follows, is not as it was either.
	for _, other := range [][]byte{file[:len(file)-1], file[:len(file)-4096], append(bytes.Clone(file), make([]byte, 4096)...)} {
		if err := os.WriteFile(path, other, 0o600); err != nil {
			t.Fatal(err)
		}
		if asked := ask(t, path, answers); asked[4] == nil {
			t.Errorf("%d bytes in place of %d passed for the whole", len(other), len(file))
		}
	}
}

// A table that SQL has changed does not answer what was changed, and nothing that is
// about all of it. Where a program has sealed it anew, what cannot be is refused.
func TestChangedTable(t *testing.T) {
	file, answers := sealedTable(t)
	const none, opening, lookup, spec, all, verify = 0, 1, 2, 4, 8, 16 // what fails
	const rows = lookup | spec
	for _, c := range []struct {
		statement string
		fails     int
		sealed    int // what fails where the seals are made to fit
	}{
		{`UPDATE cell SET params = params`, none, none},
		{`UPDATE cell SET test_error = 0.0123`, rows, none},
		{`UPDATE cell SET test_error = 1e300`, rows, rows | all},
		{`UPDATE cell SET test_error = 9e999`, rows, rows | all},
		{`UPDATE cell SET test_error = -9e999`, rows, rows | all},
		{`UPDATE cell SET test_error = 'good'`, rows, rows | all},
		{`UPDATE cell SET valid_error = 1.5`, rows, rows},
		{`UPDATE cell SET seconds = -1`, rows, rows},
		{`UPDATE cell SET vertices = 4294967295`, rows, rows | all},
		{`UPDATE cell SET vertices = -1`, rows, rows | all},
		{`UPDATE cell SET vertices = 8`, rows, spec | all},
		{`UPDATE cell SET vertices = 1`, rows, spec | all},
		{`UPDATE cell SET edges = -1`, rows, rows | all},
		{`UPDATE cell SET edges = edges | (1 << 30)`, rows, spec | all},
		{`UPDATE cell SET ops = 1 << 30`, rows, spec | all},
		{`UPDATE cell SET ops = ops + 1`, rows, spec | all},
		{`UPDATE cell SET params = 1 << 40`, rows, rows},
		{`UPDATE cell SET params = 'many'`, rows, rows | all},
		{`UPDATE cell SET spaces = -1`, rows, rows},
		{`UPDATE cell SET runs = x'6c03ffff'`, rows, lookup},
		{`UPDATE cell SET runs = x'6c0100000000ffffffffffff00000000000000000000'`, rows, lookup},
		{`UPDATE cell SET runs = zeroblob(2000000)`, rows, rows},
		{`UPDATE cell SET runs = NULL`, rows, none},
		{`UPDATE cell SET seal = NULL WHERE 0; UPDATE cell SET seal = x''`, rows, none},
		{`UPDATE source SET kind = 'nasbench101'`, opening, opening},
		{`UPDATE source SET kind = 'nasbench101-means'`, opening, none},
		{`UPDATE source SET sha256 = '4c39c3936e36a85269881d659e44e61a245babcb72cb374eacacf75d0e5f4fd1'`, opening, opening},
		{`UPDATE source SET kind = 'nasbench101', sha256 = '4c39c3936e36a85269881d659e44e61a245babcb72cb374eacacf75d0e5f4fd1'`, opening, none},
		{`UPDATE source SET kind = 'mine'`, opening, opening},
		{`UPDATE source SET records = records + 1`, opening, none},
		{`UPDATE source SET content = zeroblob(31)`, opening, opening},
		{`UPDATE source SET content = zeroblob(32)`, all | verify, none},
		{`INSERT INTO source SELECT * FROM source`, opening, opening},
		{`DELETE FROM source`, opening, opening},
		{`UPDATE budget SET cells = cells + 1`, all | verify, none},
		{`CREATE INDEX i ON cell (test_error)`, opening, opening},
		{`CREATE TABLE more (x)`, opening, opening},
		{`CREATE TRIGGER t AFTER INSERT ON cell BEGIN SELECT 1; END`, opening, opening},
		{`ALTER TABLE cell RENAME TO c; CREATE VIEW cell AS SELECT * FROM c`, opening, opening},
		{`DROP TABLE cell; CREATE VIEW cell AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
			SELECT x'00' AS hash, x AS vertices, 0 AS edges, 0 AS ops, 0 AS params, 7 AS spaces, 0.1 AS test_error, 0.1 AS valid_error, 1.0 AS seconds, NULL AS runs, NULL AS seal FROM n`, opening, opening},
		{`ALTER TABLE cell ADD COLUMN more`, opening, opening},
	} {
		for _, sealed := range []bool{false, true} {
			want, name := c.fails, c.statement
			if sealed {
				want, name = c.sealed, c.statement+", sealed anew"
			}
			t.Run(name, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "table")
				if err := os.WriteFile(path, file, 0o600); err != nil {
					t.Fatal(err)
				}
				change(t, path, c.statement)
				expected := answers
				if sealed {
					sealAnew(t, path)
					expected = nil // it answers what it was made to hold
				} else if want&^opening == want && want != none {
					want |= all | verify
				}
				start := time.Now()
				var asked [5]error
				if expected == nil {
					asked = askOnly(path, answers)
				} else {
					asked = ask(t, path, expected)
				}
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("it took %v", took)
				}
				if want&opening != 0 {
					want = opening | rows | all | verify
				}
				for i, question := range []string{"open", "lookup", "cell", "all cells", "the whole"} {
					if fails := want&(1<<i) != 0; (asked[i] != nil) != fails {
						t.Errorf("%s: error %v, want one: %t", question, asked[i], fails)
					}
				}
			})
		}
	}
}

// askOnly is ask, without a judgement of the answers.
func askOnly(path string, answers map[cell.Hash]Metrics) [5]error {
	silent := &silentTB{}
	return ask(silent, path, answers)
}

type silentTB struct{ testing.TB }

func (silentTB) Helper()               {}
func (silentTB) Error(...any)          {}
func (silentTB) Errorf(string, ...any) {}

func change(t *testing.T, path, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("PRAGMA synchronous = OFF; " + statements); err != nil {
		t.Fatal(err)
	}
}

// sealAnew makes all seals of a table fit what it holds, as a program could, as far
// as there are rows to seal.
func sealAnew(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var kind string
	if db.QueryRow(`SELECT type FROM sqlite_schema WHERE name = 'cell'`).Scan(&kind); kind == "table" {
		rows, err := db.Query(`SELECT hash, vertices, edges, ops, params, spaces, test_error, valid_error, seconds, runs FROM cell`)
		if err != nil {
			t.Fatal(err)
		}
		seals := map[string][]byte{}
		for rows.Next() {
			var h, runs []byte
			var n [5]any
			var x [3]any
			if err := rows.Scan(&h, &n[0], &n[1], &n[2], &n[3], &n[4], &x[0], &x[1], &x[2], &runs); err != nil {
				t.Fatal(err)
			}
			var c row
			copy(c.hash[:], h)
			integer := func(v any) int64 { i, _ := v.(int64); return i }
			c.packedCell = packedCell{uint32(integer(n[0])), uint32(integer(n[1])), uint32(integer(n[2]))}
			c.parameters, c.spaces = int(integer(n[3])), spaceSet(integer(n[4]))
			for i, to := range []**float64{&c.testError, &c.validationError, &c.seconds} {
				if f, ok := x[i].(float64); ok {
					*to = &f
				}
			}
			s, _ := c.seal(runs, nil)
			seals[string(h)] = s[:]
		}
		rows.Close()
		for h, s := range seals {
			if _, err := db.Exec(`UPDATE cell SET seal = ? WHERE hash = ?`, s, []byte(h)); err != nil {
				t.Fatal(err)
			}
		}
	}
	var r sourceRow
	var content []byte
	if err := db.QueryRow(`SELECT kind, name, sha256, bytes, records, partial, content FROM source`).Scan(&r.kind, &r.name, &r.digest, &r.bytes, &r.records, &r.partial, &content); err != nil {
		return // there is none
	}
	s := r.seal()
	if len(content) != len(unsealed) {
		_, err = db.Exec(`UPDATE source SET seal = ?`, s[:])
	} else {
		_, err = db.Exec(`UPDATE source SET seal = ?, content = ?`, s[:], unsealed[:])
	}
	if err == nil {
		err = db.Close()
	}
	if err == nil && len(content) == len(unsealed) {
		err = writeContent(path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A table that is replaced while it is open goes on answering as it did.
func TestReplacedTable(t *testing.T) {
	file, answers := sealedTable(t)
	path := filepath.Join(t.TempDir(), "table")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if err := Import(t.Context(), writeFile(t, filepath.Join(t.TempDir(), "means"), []byte(meansHeader+chainLine)), path, nil); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	const askers = 8
	for range askers {
		go func() {
			for h, want := range answers {
				if got, err := table.Lookup(h, Epochs); err != nil || !reflect.DeepEqual(got, want) {
					ended <- errors.Join(errors.New("another answer"), err)
					return
				}
			}
			ended <- nil
		}()
	}
	for range askers {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if err := table.Verify(t.Context()); err != nil {
		t.Errorf("verify: %v", err)
	}
}

func TestVerifyIsInterrupted(t *testing.T) {
	file, _ := sealedTable(t)
	path := filepath.Join(t.TempDir(), "table")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := table.Verify(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("verify: %v", err)
	}
	if err := table.Verify(t.Context()); err != nil {
		t.Errorf("verify: %v", err)
	}
}

// Whatever a file holds, the table of the golden records is answered from or nothing
// that contradicts it.
func FuzzOpen(f *testing.F) {
	file, answers := sealedTable(f)
	f.Add(0, []byte{0xff})
	f.Add(4096, []byte("SQLite format 3\x00"))
	f.Add(len(file)-100, make([]byte, 99))
	path := filepath.Join(f.TempDir(), "table")
	f.Fuzz(func(t *testing.T, at int, patch []byte) {
		if at < 0 || at > len(file) {
			return
		}
		damaged := bytes.Clone(file)
		copy(damaged[at:], patch)
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if asked := ask(t, path, answers); asked[4] == nil && !bytes.Equal(damaged, file) {
			t.Error("the damage went unseen")
		}
	})
}
