package command

import (
	"testing"

	"github.com/nb1shot/nb1shot/results"
)

// ran makes a finished run of the λ, projection gaps and test errors of its
// records; the last error is that of the final one.
func ran(lambdas, gaps, errors []float64) *results.History {
	h := &results.History{}
	for i := range errors {
		r := results.Epoch{Epoch: i, Lookup: results.Lookup{TestError: &errors[i]}, Final: i == len(errors)-1}
		if i < len(lambdas) {
			r.Hessian = &results.Hessian{Reported: lambdas[i]}
		}
		if i < len(gaps) {
			r.Projection = &results.Projection{Gap: gaps[i]}
		}
		h.Epochs = append(h.Epochs, r)
	}
	return h
}

func TestEndOf(t *testing.T) {
	series := func(n int) (x []float64) {
		for i := range n {
			x = append(x, float64(i+1))
		}
		return x
	}
	for name, test := range map[string]struct {
		lambdas, gaps, errors []float64
		want                  ending
		ok                    bool
	}{
		"one epoch":         {[]float64{0.5}, []float64{0.1}, []float64{0.08, 0.07}, ending{0.07, 0.5, 0.5, 0.1}, true},
		"the last of ten":   {series(10), series(10), series(11), ending{11, 1, 10, 10}, true},
		"the last two":      {series(29), series(20), series(30), ending{30, 1, 28.5, 19.5}, true},
		"no Hessian":        {nil, series(3), series(4), ending{}, false},
		"no projection gap": {series(3), nil, series(4), ending{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := endOf(ran(test.lambdas, test.gaps, test.errors)); got != test.want || ok != test.ok {
				t.Errorf("%+v, %v, want %+v, %v", got, ok, test.want, test.ok)
			}
		})
	}
}

func TestCompareEnds(t *testing.T) {
	a := []ending{{final: 0.1, late: 2, gap: 0.3}, {final: 0.06, late: 1, gap: 0.2}, {final: 0.07, late: 3, gap: 0.1}}
	b := []ending{{final: 0.07, late: 1, gap: 0.1}, {final: 0.06, late: 0.1, gap: 0.2}, {final: 0.08, late: 2, gap: 0}}
	want := "A ended above B in λ with 3 of 3 seeds, in the projection gap with 2 of 3, in the test error with 1 of 3."
	if got := compareEnds("A", "B", a, b); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
