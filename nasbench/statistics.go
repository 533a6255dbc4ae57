package nasbench

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/nb1shot/nb1shot/internal/pipeline"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/cell"
	"github.com/nb1shot/nb1shot/spaces/nb1shot1"
)

// EachCell calls visit with the cells that a search in the given space (1, 2 or
// 3) can reach and their mean test errors at a budget of epochs, by ascending
// hash: of a Table as Table.Each does, and otherwise what the oracle answers, at
// 108 epochs only. An error of visit ends it.
func EachCell(ctx context.Context, o Oracle, space spaces.Name, epochs int, visit func(Entry) error) error {
	s, err := nb1shot1.Get(space)
	if err != nil {
		return err
	}
	if t, ok := o.(*Table); ok {
		return t.Each(ctx, space, epochs, visit)
	}
	if epochs != Epochs {
		return fmt.Errorf("cells of space %s at %d epochs: %w", space, epochs, ErrUnknownBudget)
	}
	type question struct {
		Entry
		err error
	}
	return pipeline.Run(func(emit func(*question) bool) error {
		for hash, spec := range s.Cells {
			if !emit(&question{Entry: Entry{Hash: hash, Spec: spec}}) {
				break // visit has failed, or the context
			}
		}
		return nil
	}, func(q *question) {
		m, err := o.Query(q.Spec)
		q.Parameters, q.TestError, q.ValidationError, q.err = m.Parameters, m.TestError, m.ValidationError, err
	}, func(q *question) error {
		if q.err != nil {
			return fmt.Errorf("cell %v: %w", q.Hash, q.err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return visit(q.Entry)
	})
}

// Top returns the n cells of the lowest test error of a space, or fewer if there
// are no more, the best first. It reads them as EachCell does; of a Table, space
// 0 is all of it.
func Top(ctx context.Context, o Oracle, space spaces.Name, epochs, n int) ([]Entry, error) {
	var top []Entry
	visit := func(e Entry) error {
		// Of equal errors the lower hash comes first.
		at, _ := slices.BinarySearchFunc(top, e, func(a, b Entry) int {
			return cmp.Or(cmp.Compare(a.TestError, b.TestError), -1)
		})
		if at < n {
			top = slices.Insert(top, at, e)[:min(len(top)+1, n)]
		}
		return nil
	}
	var err error
	if t, ok := o.(*Table); ok && space == "" {
		err = t.Each(ctx, space, epochs, visit)
	} else {
		err = EachCell(ctx, o, space, epochs, visit)
	}
	return top, err
}

// Expectation is the mean test error, at 108 epochs, of a uniformly random
// architecture of a space (1, 2 or 3), as spaces.Space.Sample draws them: the mean
// over the cells, each weighted by the architectures that are this cell. The oracle
// must know them all. Space 3 takes seconds.
func Expectation(ctx context.Context, o Oracle, space spaces.Name) (float64, error) {
	s, err := nb1shot1.Get(space)
	if err != nil {
		return 0, err
	}
	weights := map[cell.Hash]int{}
	for _, r := range s.Reachable() {
		weights[r.Hash] = r.Architectures
	}
	sum, seen := 0.0, 0
	err = EachCell(ctx, o, space, Epochs, func(e Entry) error {
		sum += float64(weights[e.Hash]) * e.TestError
		seen += weights[e.Hash]
		return nil
	})
	if err != nil {
		return 0, err
	}
	if all := s.Count().Architectures; seen != all {
		return 0, fmt.Errorf("expected test error of space %s: the cells of %d of %d architectures are known: %w", space, seen, all, ErrUnknownBudget)
	}
	return sum / float64(seen), nil
}

// Quantiles are the mean test errors that 10 %, 25 %, ... of some cells do not
// exceed, each that of a cell.
type Quantiles struct {
	P10 float64 `json:"p10"`
	P25 float64 `json:"p25"`
	P50 float64 `json:"p50"`
	P75 float64 `json:"p75"`
	P90 float64 `json:"p90"`
}

// Summary is the distribution of the mean test errors, as fractions, of some
// cells, each counting once.
type Summary struct {
	Cells  int     `json:"cells"`
	Lowest float64 `json:"lowest"`
	Quantiles
	Highest  float64 `json:"highest"`
	Mean     float64 `json:"mean"`
	Diverged int     `json:"diverged"` // cells at or above 25 %: nearly always, some of their trainings failed
}

// summarise describes ascending test errors, at least one.
func summarise(errs []float64) Summary {
	quantile := func(p float64) float64 { return stat.Quantile(p, stat.Empirical, errs, nil) }
	converged, _ := slices.BinarySearch(errs, diverged)
	return Summary{
		Cells: len(errs), Lowest: errs[0], Highest: errs[len(errs)-1], Mean: stat.Mean(errs, nil), Diverged: len(errs) - converged,
		Quantiles: Quantiles{quantile(0.1), quantile(0.25), quantile(0.5), quantile(0.75), quantile(0.9)},
	}
}

// Statistics is how good the cells of a space are.
type Statistics struct {
	Space     spaces.Name `json:"space"`
	Epochs    int         `json:"epochs"`
	Reachable int         `json:"reachable"` // cells that a search can reach, known or not
	Summary
	// By groups the cells by each Property, in the order of the constants.
	By     []Grouping `json:"by"`
	Errors []float64  `json:"-"` // of all cells, ascending
}

// Property is a number that cells are grouped by.
type Property string

// The properties of a cell in statistics; see cell.Shape.
const (
	ParameterFree Property = "parameter_free" // max-poolings that survive pruning
	Width         Property = "width"
	Depth         Property = "depth"
	Parameters    Property = "parameters" // trainable ones of the network, in quartiles
)

// Grouping parts cells by a property.
type Grouping struct {
	Property Property `json:"property"`
	Groups   []Group  `json:"groups"` // by ascending values, none empty
}

// Group is the cells whose property lies in From..To, which are equal for all
// properties but Parameters.
type Group struct {
	From    float64 `json:"from"`
	To      float64 `json:"to"`
	Quarter int     `json:"quarter,omitempty"` // of Parameters, 1 to 4
	Summary
}

// SpaceStatistics describes the test errors of the cells of a space, read as
// EachCell does. It fails with ErrUnknownBudget if none is known.
func SpaceStatistics(ctx context.Context, o Oracle, space spaces.Name, epochs int) (Statistics, error) {
	properties := []Property{ParameterFree, Width, Depth, Parameters}
	cells := make([][]measured, len(properties))
	err := EachCell(ctx, o, space, epochs, func(e Entry) error {
		shape, err := e.Spec.Shape()
		if err != nil {
			return fmt.Errorf("cell %v: %w", e.Hash, err)
		}
		for i, x := range []float64{float64(shape.Pools), shape.Width, float64(shape.Depth), float64(e.Parameters)} {
			cells[i] = append(cells[i], measured{x, e.TestError})
		}
		return nil
	})
	if err != nil {
		return Statistics{}, err
	}
	if len(cells[0]) == 0 {
		return Statistics{}, fmt.Errorf("cells of space %s at %d epochs: %w", space, epochs, ErrUnknownBudget)
	}
	s, err := nb1shot1.Get(space)
	if err != nil {
		return Statistics{}, err
	}
	all := Statistics{Space: space, Epochs: epochs, Reachable: s.Count().Hashes}
	all.Errors = testErrors(cells[0])
	all.Summary = summarise(all.Errors)
	for i, property := range properties {
		slices.SortFunc(cells[i], func(a, b measured) int { return cmp.Compare(a.property, b.property) })
		quarter := func(measured) int { return 0 }
		if property == Parameters {
			quarter = quarters(cells[i])
		}
		grouping := Grouping{Property: property}
		for rest := cells[i]; len(rest) > 0; {
			first, n := rest[0], 1
			for n < len(rest) && quarter(rest[n]) == quarter(first) && (quarter(first) > 0 || rest[n].property == first.property) {
				n++
			}
			grouping.Groups = append(grouping.Groups, Group{first.property, rest[n-1].property, quarter(first), summarise(testErrors(rest[:n]))})
			rest = rest[n:]
		}
		all.By = append(all.By, grouping)
	}
	return all, nil
}

// measured is one property of a cell and its mean test error.
type measured struct{ property, testError float64 }

// testErrors returns those of the cells, ascending.
func testErrors(cells []measured) []float64 {
	var all []float64
	for _, c := range cells {
		all = append(all, c.testError)
	}
	slices.Sort(all)
	return all
}

// quarters parts cells, by ascending property, at the quartiles of the property:
// 1 to 4. Cells of one value stay together.
func quarters(cells []measured) func(measured) int {
	var values []float64
	for _, c := range cells {
		values = append(values, c.property)
	}
	var bounds []float64
	for q := range 3 {
		bounds = append(bounds, stat.Quantile(float64(q+1)/4, stat.Empirical, values, nil))
	}
	return func(c measured) int {
		at, _ := slices.BinarySearch(bounds, c.property)
		return at + 1
	}
}
