package nasbench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"github.com/nb1shot/nb1shot/nasbench/cell"
	"github.com/nb1shot/nb1shot/spaces"
)

const (
	// diverged is the mean test error from which on, nearly always, one of a
	// cell's three runs diverged. Such cells would drown the rest. A lower bound
	// would also lose the cells of 1×1 convolutions only, at 16 to 24 %, to
	// which one-shot searches collapse.
	diverged = 0.25
	// ridge is the weight of the squared coefficients in the fit.
	ridge = 1
)

// heldOut tells whether a cell is kept out of the fit, as one in five is.
func heldOut(h cell.Hash) bool { return h[len(h)-1]%5 == 0 }

// Fit fits a surrogate to the 108-epoch test errors of a table. It is
// deterministic and takes some seconds for all of NAS-Bench-101.
func Fit(ctx context.Context, t *Table) (*Surrogate, error) {
	s, err := fit(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("fit surrogate: %w", err)
	}
	return s, nil
}

func fit(ctx context.Context, t *Table) (*Surrogate, error) {
	m := model{Trained: t.Source()}
	var examples []example
	number := map[string]int32{} // of each feature, in order of appearance
	err := t.Each(ctx, 0, Epochs, func(e Entry) error {
		if heldOut(e.Hash) || e.TestError >= diverged || e.TestError <= 0 {
			return nil
		}
		x := example{target: math.Log(e.TestError)}
		for _, f := range features(e.Spec) {
			n, ok := number[f.name]
			if !ok {
				n = int32(len(number))
				number[f.name] = n
			}
			x.features = append(x.features, n)
			x.values = append(x.values, f.value)
		}
		examples = append(examples, x)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(examples) == 0 {
		return nil, errors.New("the table has no cells to fit to")
	}
	m.Cells = len(examples)
	coefficients, err := solveRidge(examples, len(number))
	if err != nil {
		return nil, err
	}
	m.Weights = map[string]float64{}
	for name, n := range number {
		m.Weights[name] = round(coefficients[n])
	}
	if err := m.evaluate(ctx, t); err != nil {
		return nil, err
	}
	return newSurrogate(m)
}

// round keeps 6 significant digits, as many as a coefficient's file shall hold.
func round(x float64) float64 {
	x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'g', 6, 64), 64)
	return x
}

// example is a cell to fit to: its features that are not zero, by number.
type example struct {
	features []int32
	values   []float64
	target   float64
}

// solveRidge minimises Σ (w·x − target)² + ridge·|w|² over the n coefficients w.
func solveRidge(examples []example, n int) ([]float64, error) {
	gram := mat.NewSymDense(n, nil)
	right := mat.NewVecDense(n, nil)
	raw := gram.RawSymmetric() // upper triangle, row by row
	for _, x := range examples {
		for i, a := range x.features {
			for j, b := range x.features[i:] {
				raw.Data[int(min(a, b))*raw.Stride+int(max(a, b))] += x.values[i] * x.values[i+j]
			}
			right.SetVec(int(a), right.AtVec(int(a))+x.values[i]*x.target)
		}
	}
	for i := range n {
		gram.SetSym(i, i, gram.At(i, i)+ridge)
	}
	var cholesky mat.Cholesky
	if !cholesky.Factorize(gram) {
		return nil, errors.New("the normal equations are singular")
	}
	var w mat.VecDense
	if err := cholesky.SolveVecTo(&w, right); err != nil {
		return nil, err
	}
	return w.RawVector().Data, nil
}

// evaluate fills in how well the coefficients predict the held-out cells.
func (m *model) evaluate(ctx context.Context, t *Table) error {
	var spreads []float64
	for _, space := range spaces.All() {
		h := HeldOut{Space: space.ID()}
		var predicted, measured, misses []float64
		err := t.Each(ctx, h.Space, Epochs, func(e Entry) error {
			switch {
			case !heldOut(e.Hash) || e.TestError <= 0:
				return nil
			case e.TestError >= diverged:
				h.Diverged++
				return nil
			}
			p := m.predict(features(e.Spec))
			predicted = append(predicted, p)
			measured = append(measured, e.TestError)
			misses = append(misses, math.Abs(p-e.TestError))
			spreads = append(spreads, math.Abs(math.Log(p/e.TestError)))
			return nil
		})
		if err != nil {
			return err
		}
		if h.Cells = len(misses); h.Cells < 2 {
			return fmt.Errorf("the table has %d held-out cells of space %d, too few to evaluate on", h.Cells, h.Space)
		}
		slices.Sort(misses)
		h.MedianError = round(stat.Quantile(0.5, stat.Empirical, misses, nil))
		h.MeanError = round(stat.Mean(misses, nil))
		h.KendallTau = round(stat.Kendall(predicted, measured, nil))
		m.HeldOut = append(m.HeldOut, h)
	}
	slices.Sort(spreads)
	m.Spread = round(stat.Quantile(0.68, stat.Empirical, spreads, nil))
	return nil
}
