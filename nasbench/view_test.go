package nasbench

import (
	"context"
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/spaces/cell"
)

// TestView reads cells through the view and back into cells.
func TestView(t *testing.T) {
	path := filepath.Join(t.TempDir(), "table")
	if err := Import(context.Background(), goldenFile(t, "synthetic.tfrecord"), path, nil); err != nil {
		t.Fatal(err)
	}
	table, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`SELECT hash, vertices, matrix, operations, parameters, space_1 + 2 * space_2 + 4 * space_3, test_error FROM cells`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		n++
		var text, matrix, operations string
		var vertices, parameters int
		var in spaceSet
		var testError *float64
		if err := rows.Scan(&text, &vertices, &matrix, &operations, &parameters, &in, &testError); err != nil {
			t.Fatal(err)
		}
		var h cell.Hash
		if err := h.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		spec, err := table.Cell(h)
		if err != nil {
			t.Fatal(err)
		}
		wanted := ""
		for y, row := range spec.Matrix {
			if y > 0 {
				wanted += ","
			}
			for _, bit := range row {
				wanted += string('0' + rune(bit))
			}
		}
		if ops := strings.Join(spec.OpNames(), ","); matrix != wanted || operations != ops || vertices != len(spec.Matrix) || in != reachable()[h] {
			t.Errorf("%s: %d, %s, %s, %d, want %s, %s", text, vertices, matrix, operations, in, wanted, ops)
		}
		if m, err := table.Lookup(h, Epochs); err == nil && (testError == nil || *testError != m.TestError || parameters != m.Parameters) {
			t.Errorf("%s: test error %v, %d parameters, want %v, %d", text, testError, parameters, m.TestError, m.Parameters)
		}
	}
	if err := rows.Err(); err != nil || n == 0 {
		t.Fatalf("%d cells, %v", n, err)
	}
}

// TestEarlierLayout reads a table as the version before the view wrote it.
func TestEarlierLayout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "table")
	if err := Import(context.Background(), goldenFile(t, "synthetic.tfrecord"), path, nil); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`DROP VIEW cells; PRAGMA user_version = 3; UPDATE source SET content = ?`, unsealed[:]); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`VACUUM`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := writeContent(path); err != nil {
		t.Fatal(err)
	}
	table, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if _, err := table.Info(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestDocumentedQueries runs the queries of docs/table-formats.md, where their programs are.
func TestDocumentedQueries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "table.sqlite")
	if err := Import(context.Background(), goldenFile(t, "synthetic.tfrecord"), path, nil); err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile("../docs/table-formats.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, program := range map[string][]string{"python": {"python3", "-c"}, "r": {"Rscript", "-e"}} {
		t.Run(name, func(t *testing.T) {
			_, rest, found := strings.Cut(string(document), "```"+name+"\n")
			script, _, ends := strings.Cut(rest, "```")
			if !found || !ends {
				t.Fatalf("the document has no script of %s", name)
			}
			if _, err := exec.LookPath(program[0]); err != nil {
				t.Skipf("the document's query needs %s: %v", program[0], err)
			}
			if name == "r" {
				if err := exec.Command("Rscript", "-e", "library(RSQLite)").Run(); err != nil {
					t.Skip("the document's query needs RSQLite, which this R has not")
				}
			}
			script = strings.ReplaceAll(script, "nasbench.sqlite", path)
			script = strings.ReplaceAll(script, "WHERE space_3", "WHERE 1") // which the synthetic table has few of
			out, err := exec.Command(program[0], program[1], script).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "input,") || !strings.Contains(string(out), "output") {
				t.Errorf("%v:\n%s", err, out)
			}
		})
	}
}
