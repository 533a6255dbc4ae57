package results

import (
	"errors"
	"strings"
	"testing"
)

// A record has a lookup just where the run has a table.
func TestLookupWhereThereIsATable(t *testing.T) {
	for _, test := range []struct {
		name  string
		table string
		has   bool
		want  string // in the error; "" is none
	}{
		{"table", "surrogate", true, ""},
		{"no table", NoTable, false, ""},
		{"table without lookup", "surrogate", false, "lookup: is missing"},
		{"lookup without table", NoTable, true, "lookup: is there"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := provenance()
			p.Table = test.table
			run, err := NewRun("2", "darts", 0, p, map[string]any{"epochs": 1})
			if err != nil {
				t.Fatal(err)
			}
			w, err := Create(t.TempDir(), run)
			if err != nil {
				t.Fatal(err)
			}
			e := record(0)
			if !test.has {
				e.Lookup = Lookup{}
			}
			if err := w.Append(e); err != nil {
				t.Fatal(err)
			}
			if err := w.Finish(); err != nil {
				t.Fatal(err)
			}
			h, err := Read(w.Dir())
			var wrong *FormatError
			switch {
			case test.want == "" && (err != nil || (h.Epochs[0].Lookup != Lookup{}) != test.has):
				t.Errorf("error %v", err)
			case test.want != "" && (!errors.As(err, &wrong) || wrong.Line != 1 || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v, want one with %q in line 1", err, test.want)
			}
		})
	}
	half := record(0)
	half.Lookup.Source = ""
	if err := half.Check(); err == nil {
		t.Error("a lookup without its source is accepted")
	}
}
