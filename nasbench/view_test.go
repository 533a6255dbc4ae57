package nasbench

import (
	"bytes"
	"context"
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/results"
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

// TestDocumentedQueries runs the queries of the documents, where their programs are: of the
// view, and of records that were exported beside it.
func TestDocumentedQueries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "table.sqlite")
	if err := Import(context.Background(), goldenFile(t, "synthetic.tfrecord"), path, nil); err != nil {
		t.Fatal(err)
	}
	run, err := results.Read("../results/study/s2-darts-small-a1151768-seed0")
	if err != nil {
		t.Fatal(err)
	}
	var exported bytes.Buffer
	if err := results.WriteTidy(&exported, []*results.History{run}); err != nil {
		t.Fatal(err)
	}
	records := filepath.Join(t.TempDir(), "records.csv")
	if err := os.WriteFile(records, exported.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	programs := map[string]struct{ command, option, needs string }{
		"python": {"python3", "-c", "import sqlite3"},
		"r":      {"Rscript", "-e", "library(RSQLite)"},
	}
	for _, c := range []struct {
		document, section, language, needs string
		says                               []string
	}{
		{"table-formats.md", "### From Python and R", "python", "", []string{"input,", "output"}},
		{"table-formats.md", "### From Python and R", "r", "", []string{"input,", "output"}},
		{"results-commands.md", "## Tidy CSV", "python", "import pandas", nil},
		{"results-commands.md", "## Tidy CSV", "r", "", []string{"darts    99", "operations"}},
	} {
		t.Run(c.document+"/"+c.language, func(t *testing.T) {
			document, err := os.ReadFile("../docs/" + c.document)
			if err != nil {
				t.Fatal(err)
			}
			_, rest, found := strings.Cut(string(document), c.section)
			_, rest, begins := strings.Cut(rest, "```"+c.language+"\n")
			script, _, ends := strings.Cut(rest, "```")
			if !found || !begins || !ends {
				t.Fatalf("the document has no script of %s", c.language)
			}
			program := programs[c.language]
			if _, err := exec.LookPath(program.command); err != nil {
				t.Skipf("the document's query needs %s: %v", program.command, err)
			}
			needs := program.needs + "\n" + c.needs
			if exec.Command(program.command, program.option, needs).Run() != nil {
				t.Skipf("the document's query needs what is not installed: %s", needs)
			}
			script = strings.NewReplacer("nasbench.sqlite", path, "records.csv", records).Replace(script)
			script = strings.ReplaceAll(script, "WHERE space_3", "WHERE 1") // which the synthetic table has few of
			out, err := exec.Command(program.command, program.option, script).CombinedOutput()
			if err != nil {
				t.Errorf("%v:\n%s", err, out)
			}
			for _, words := range c.says {
				if !strings.Contains(string(out), words) {
					t.Errorf("the answer lacks %q:\n%s", words, out)
				}
			}
		})
	}
}
