package results

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// exported are two runs; the second has a record with what CSV must quote.
func exported(t *testing.T) []*History {
	return histories(t, 2, func(seed int, h *History) {
		if seed == 1 {
			h.Epochs = h.Epochs[:1]
			h.Epochs[0].Warning = "ranked \"cells\", on\ntest images"
		}
	})
}

func TestWriteCSV(t *testing.T) {
	runs := exported(t)
	var out bytes.Buffer
	if err := WriteCSV(&out, runs); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	columns := Columns()
	if len(rows) != 5 || len(rows[0]) != len(columns) {
		t.Fatalf("%d rows of %d columns, want 5 of %d", len(rows), len(rows[0]), len(columns))
	}
	at := map[string]int{}
	for i, c := range columns {
		if rows[0][i] != c.Name || c.Doc == "" {
			t.Errorf("column %d is called %q, not %q (%s)", i, rows[0][i], c.Name, c.Doc)
		}
		at[c.Name] = i
	}
	for i, want := range []map[string]string{
		{"run": runs[0].Run.Name(), "space": "2", "algorithm": "sdarts-adv", "seed": "0", "state": "finished", "config_hash": runs[0].Run.ConfigHash,
			"provenance.images": "procedural", "provenance.images_digest": "aa11", "provenance.table": "surrogate", "provenance.table_digest": "bb22",
			"provenance.preset": "quick", "provenance.scale": "3 cells, 8 channels, side 8, 96+96 images", "provenance.engine": "ref", "provenance.precision": "float64",
			"epoch": "0", "final": "false", "cell.hash": "043721b9c7fe8c5fad811d47d83132ec", "lookup.source": "surrogate", "warning": ""},
		{"epoch": "1", "training.learning_rate": "0.0249940787"},
		{"epoch": "2", "final": "true", "training.loss": ""},
		{"seed": "1", "epoch": "0", "warning": "ranked \"cells\", on\ntest images"},
	} {
		for name, value := range want {
			if got := rows[i+1][at[name]]; got != value {
				t.Errorf("row %d: %s is %q, want %q", i+1, name, got, value)
			}
		}
	}
	for _, q := range Quantities {
		want := ""
		if x := q.Of(runs[0].Epochs[0]); x != nil {
			want = strconv.FormatFloat(*x, 'f', -1, 64)
		}
		if got := rows[1][at[q.Name]]; got != want {
			t.Errorf("%s is %q, want %q", q.Name, got, want)
		}
	}
}

// TestWriteJSONL reads the lines back as runs and as records.
func TestWriteJSONL(t *testing.T) {
	runs := exported(t)
	var out bytes.Buffer
	if err := WriteJSONL(&out, runs); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines, want 4", len(lines))
	}
	i := 0
	for _, h := range runs {
		for _, want := range h.Epochs {
			var run Run
			var epoch Epoch
			var head struct {
				Run   string
				State State
			}
			for _, v := range []any{&run, &epoch, &head} {
				if err := json.Unmarshal([]byte(lines[i]), v); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(h.Run, run); diff != "" {
				t.Errorf("line %d: %s", i, diff)
			}
			if diff := cmp.Diff(want, epoch); diff != "" {
				t.Errorf("line %d: %s", i, diff)
			}
			if head.Run != h.Run.Name() || head.State != Finished {
				t.Errorf("line %d: %+v", i, head)
			}
			i++
		}
	}
}

// failing is a writer that fails.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestExportFailure(t *testing.T) {
	failure := errors.New("disk on fire")
	for name, write := range map[string]func() error{
		"csv":   func() error { return WriteCSV(failing{failure}, exported(t)) },
		"jsonl": func() error { return WriteJSONL(failing{failure}, exported(t)) },
	} {
		if err := write(); !errors.Is(err, failure) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// What a spreadsheet or a terminal would act on is text.
func TestExportForeignText(t *testing.T) {
	for in, want := range map[string]string{"=cmd|' /C calc'!A0": "'=cmd|' /C calc'!A0", "@SUM(1)": "'@SUM(1)", "a\x1b[2J\u202eb": `a\u001b[2J\u202eb`} {
		runs := exported(t)
		runs[1].Epochs[0].Warning = in
		var table, lines bytes.Buffer
		if err := errors.Join(WriteCSV(&table, runs), WriteJSONL(&lines, runs)); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&table).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		last := rows[len(rows)-1]
		if got := last[len(last)-1]; got != want {
			t.Errorf("cell %q, want %q", got, want)
		}
		line := lines.Bytes()[bytes.LastIndexByte(bytes.TrimSpace(lines.Bytes()), '\n')+1:]
		var record struct{ Warning string }
		if err := json.Unmarshal(line, &record); err != nil || record.Warning != in || bytes.Contains(line, []byte("\u202e")) {
			t.Errorf("line %q, %v", line, err)
		}
	}
}

// TestExportIsDocumented finds every column in the description of the formats.
func TestExportIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/results-commands.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range Columns() {
		if row := "| `" + c.Name + "` | " + c.Doc + " |"; !strings.Contains(string(doc), row) {
			t.Errorf("docs/results-commands.md lacks the line\n%s", row)
		}
	}
}

// The evaluation of a run stands in its last row and line.
func TestExportEvaluation(t *testing.T) {
	runs := exported(t)
	e := sampleEvaluation(t)
	runs[0].Evaluation = &e
	var table, lines bytes.Buffer
	if err := errors.Join(WriteCSV(&table, runs), WriteJSONL(&lines, runs)); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&table).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	texts := strings.Split(strings.TrimSpace(lines.String()), "\n")
	for i, name := range rows[0] {
		for j, row := range rows[1:] {
			if want := map[string]string{"evaluation.test_error": "0.375", "evaluation.parameters": "70442", "evaluation.preset": "quick", "evaluation.measured_on": "test"}[name]; want != "" && (row[i] == want) != (j == 2) {
				t.Errorf("row %d: %s is %q", j, name, row[i])
			}
		}
	}
	for j, text := range texts {
		var line struct{ Evaluation *Evaluation }
		if err := json.Unmarshal([]byte(text), &line); err != nil || (line.Evaluation != nil) != (j == 2) {
			t.Errorf("line %d: %+v, %v", j, line.Evaluation, err)
		}
		if j == 2 {
			if diff := cmp.Diff(&e, line.Evaluation); diff != "" {
				t.Error(diff)
			}
		}
	}
}

// TestWriteTidy finds every number of every record in a row of its own, and no other.
func TestWriteTidy(t *testing.T) {
	runs := exported(t)
	runs[0].Epochs[0].Hessian.Spread = NewSpread([]float64{0.25, 0.75})
	var out bytes.Buffer
	if err := WriteTidy(&out, runs); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	for i, c := range TidyColumns() {
		if rows[0][i] != c.Name || c.Doc == "" {
			t.Errorf("column %d is called %q, not %q (%s)", i, rows[0][i], c.Name, c.Doc)
		}
		at[c.Name] = i
	}
	found := map[string]string{}
	for _, row := range rows[1:] {
		key := strings.Join([]string{row[at["run"]], row[at["epoch"]], row[at["quantity"]], row[at["index"]]}, " ")
		if _, twice := found[key]; twice {
			t.Errorf("%s is there twice", key)
		}
		found[key] = row[at["value"]]
	}
	wanted := 0
	expect := func(h *History, e Epoch, quantity, index string, x float64) {
		wanted++
		key := strings.Join([]string{h.Run.Name(), strconv.Itoa(e.Epoch), quantity, index}, " ")
		if got, err := strconv.ParseFloat(found[key], 64); err != nil || got != x {
			t.Errorf("%s is %q, want %v", key, found[key], x)
		}
	}
	for _, h := range runs {
		for _, e := range h.Epochs {
			for _, q := range Quantities {
				if x := q.Of(e); x != nil {
					expect(h, e, q.Name, "", *x)
				}
			}
			for phase, x := range e.Seconds {
				expect(h, e, "seconds."+phase, "", x)
			}
			if e.Hessian != nil {
				for i, x := range e.Hessian.Eigenvalues {
					expect(h, e, "hessian.eigenvalues", strconv.Itoa(i), x)
				}
				if e.Hessian.Spread != nil {
					for i, x := range e.Hessian.Spread.Batches {
						expect(h, e, "hessian.spread.batches", strconv.Itoa(i), x)
					}
				}
			}
			for _, a := range e.Alphas {
				i := 0
				for _, row := range a.Rows {
					for _, x := range row {
						expect(h, e, "alphas."+a.Name, strconv.Itoa(i), x)
						i++
					}
				}
			}
		}
	}
	if len(found) != wanted {
		t.Errorf("%d rows, want %d", len(found), wanted)
	}
}
