package results

import (
	"encoding/json"
	"strings"
	"testing"
)

// A spectrum of which only the ends are known has no trace, and says how it was found; a row
// of alphas may stand for some of the candidates.
func TestPartialRecords(t *testing.T) {
	ends := func(e *Epoch) {
		e.Hessian.Trace, e.Hessian.Method, e.Hessian.Products, e.Hessian.Residual = nil, Lanczos, 12, 1e-4
	}
	kept := func(kept ...[]int) func(*Epoch) {
		return func(e *Epoch) {
			e.Alphas = []Alpha{{Name: "alphas_normal", Rows: [][]float64{{0.1, 0.2}, {0.3}}, Kept: kept}}
		}
	}
	for _, c := range []struct {
		name   string
		change func(*Epoch)
		field  string // that is wrong; "" where the record is well
	}{
		{"ends", ends, ""},
		{"ends, all of them", func(e *Epoch) { ends(e); e.Hessian.Trace = ptr(1.0) }, ""},
		{"products of no method", func(e *Epoch) { ends(e); e.Hessian.Method = "" }, "hessian.products"},
		{"negative products", func(e *Epoch) { ends(e); e.Hessian.Products = -1 }, "hessian.products"},
		{"kept", kept([]int{1, 4}, []int{0}), ""},
		{"kept, a row short", kept([]int{1, 4}), "alphas[0].kept"},
		{"kept, of another length", kept([]int{1}, []int{0}), "alphas[0].kept[0]"},
		{"kept, descending", kept([]int{4, 1}, []int{0}), "alphas[0].kept[0]"},
		{"kept, negative", kept([]int{1, 4}, []int{-1}), "alphas[0].kept[1]"},
	} {
		e := record(0)
		c.change(&e)
		err := e.Check()
		if c.field == "" && err != nil || c.field != "" && (err == nil || !strings.HasPrefix(err.Error(), c.field+": ")) {
			t.Errorf("%s: error %v, want one of %q", c.name, err, c.field)
		}
		if c.field != "" {
			continue
		}
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var back Epoch
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if again, err := json.Marshal(back); err != nil || string(again) != string(text) {
			t.Errorf("%s: reads back as %s, was %s", c.name, again, text)
		}
	}
	e := record(0)
	ends(&e)
	if e.Hessian.Whole() {
		t.Error("two ends are called the whole spectrum")
	}
	for _, q := range Quantities {
		if q.Name == "hessian.trace" && q.Of(e) != nil {
			t.Error("a trace that nobody knows")
		}
	}
}
