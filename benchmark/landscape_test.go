package benchmark_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/gonum/floats"

	"github.com/nb1shot/nb1shot/algorithms"
	"github.com/nb1shot/nb1shot/algorithms/algorithmstest"
	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/internal/engine"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/supernet"
)

// quadratic is the analytic supernet with its running statistic in view. An
// image counts as correct where the first mixing weight exceeds its label.
type quadratic struct {
	*algorithmstest.Quadratic
	fail func(passes int) error // of Forward; nil never fails
}

func (q quadratic) StatisticsCount() int          { return 1 }
func (q quadratic) ReadStatistics(dst []float64)  { dst[0] = q.Running }
func (q quadratic) WriteStatistics(src []float64) { q.Running = src[0] }

func (q quadratic) Forward(b data.Batch, mixing []float64, bn supernet.BatchNorm) (supernet.Pass, error) {
	pass, err := q.Quadratic.Forward(b, mixing, bn)
	for _, label := range b.Labels {
		if mixing[0] > float64(label) {
			pass.Correct++
		}
	}
	if q.fail != nil {
		err = q.fail(len(q.Calls))
	}
	return pass, err
}

// loss is the mean over the batches, computed anew.
func (q quadratic) loss(batches []data.Batch, mixing []float64) float64 {
	other := *q.Quadratic
	total, images := 0.0, 0
	for _, b := range batches {
		pass, _ := other.Forward(b, mixing, supernet.BatchStatistics)
		total += pass.Loss * float64(b.N)
		images += b.N
	}
	return total / float64(images)
}

func newQuadratic(space *spaces.Space) quadratic {
	q := quadratic{Quadratic: algorithmstest.NewQuadratic(space.Dim(), 5)}
	q.Running = 0.1234567890123456789
	return q
}

// unequal are two batches of different size.
func unequal() []data.Batch {
	return []data.Batch{algorithmstest.Batch(3), {Labels: []int{1, 0, 0, 7, 2}, N: 5}}
}

// identity mixes by the alphas themselves, so that the loss is a quadratic
// function of them.
func identity(space *spaces.Space) func(alphas []float64) algorithms.Mixing {
	return func(alphas []float64) algorithms.Mixing {
		return algorithms.Mixing{Weights: slices.Clone(alphas), Space: space, Probabilities: alphas, Temperature: 1, Identity: true}
	}
}

func at(centre []float64, l results.Landscape, a, b float64) []float64 {
	point := slices.Clone(centre)
	floats.AddScaled(point, a, l.Directions[0])
	floats.AddScaled(point, b, l.Directions[1])
	return point
}

func getSpace(t *testing.T, id int) *spaces.Space {
	t.Helper()
	space, err := spaces.Get(spaces.Name(strconv.Itoa(id)))
	if err != nil {
		t.Fatal(err)
	}
	return space
}

// wavy are architecture parameters of some size.
func wavy(space *spaces.Space) []float64 {
	alphas := make([]float64, space.Dim())
	for i := range alphas {
		alphas[i] = math.Sin(float64(3*i + 1))
	}
	return alphas
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*max(1, math.Abs(want))) {
		t.Errorf("%s is %.15g, want %.15g", what, got, want)
	}
}

// On a quadratic function every number is known: the losses of the grid, the
// slopes in the centre, and the mean on the circle, which is r²/4 times the sum
// of both second derivatives above the centre.
func TestLandscapeOfAQuadratic(t *testing.T) {
	for _, space := range spaces.All() {
		net, alphas, batches := newQuadratic(space), wavy(space), unequal()
		l, err := benchmark.Landscape(context.Background(), net, space, alphas, batches,
			benchmark.LandscapeOptions{Radius: 1.5, Points: 5, Seed: 7, Relax: identity(space)})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Check(); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff([]float64{-1.5, -0.75, 0, 0.75, 1.5}, l.Coordinates); d != "" {
			t.Error(d)
		}
		if l.Space != space.Name() || l.Moved != results.MovedAlphas || l.Seed != 7 || l.Images != 7 {
			t.Errorf("the landscape says of itself %+v", l)
		}
		near(t, "norm of direction 1", floats.Norm(l.Directions[0], 2), 1, 1e-14)
		near(t, "norm of direction 2", floats.Norm(l.Directions[1], 2), 1, 1e-14)
		near(t, "product of the directions", floats.Dot(l.Directions[0], l.Directions[1]), 0, 1e-14)

		f := func(a, b float64) float64 { return net.loss(batches, at(alphas, l, a, b)) }
		for i, b := range l.Coordinates {
			for j, a := range l.Coordinates {
				near(t, "loss", l.Loss[i][j], f(a, b), 1e-12)
				correct := 0
				for _, batch := range batches {
					for _, label := range batch.Labels {
						if at(alphas, l, a, b)[0] > float64(label) {
							correct++
						}
					}
				}
				near(t, "accuracy", l.Accuracy[i][j], float64(correct)/7, 1e-15)
			}
		}
		// Central differences of a quadratic function are exact.
		near(t, "slope along direction 1", (f(1, 0)-f(-1, 0))/2, l.GradientNorm, 1e-11)
		near(t, "slope along direction 2", (f(0, 1)-f(0, -1))/2, 0, 1e-11)
		bend := f(1, 0) + f(-1, 0) + f(0, 1) + f(0, -1) - 4*f(0, 0)
		near(t, "rise of the loss", l.Sharpness.LossRise, 1.5*1.5/4*bend, 1e-11)
		if l.Sharpness.Radius != 1.5 || l.Sharpness.Points < 3 {
			t.Errorf("sharpness %+v", l.Sharpness)
		}
	}
}

// Whatever is moved, the first direction is the gradient of what is shown and
// the second is level.
func TestLandscapeSlopes(t *testing.T) {
	for _, moved := range []string{results.MovedAlphas, results.MovedSimplex} {
		space := getSpace(t, 2)
		net := newQuadratic(space)
		const r = 1e-4
		l, err := benchmark.Landscape(context.Background(), net, space, wavy(space), unequal(),
			benchmark.LandscapeOptions{Radius: r, Points: 3, Moved: moved})
		if err != nil {
			t.Fatal(err)
		}
		near(t, moved+": slope along direction 1", (l.Loss[1][2]-l.Loss[1][0])/(2*r), l.GradientNorm, 1e-6)
		near(t, moved+": slope along direction 2", (l.Loss[2][1]-l.Loss[0][1])/(2*r), 0, 1e-6)
		if l.GradientNorm < 0.1 {
			t.Errorf("%s: a gradient of norm %g tells nothing", moved, l.GradientNorm)
		}
	}
}

// Moving the mixing weights, even far, never leaves the simplex, and every pass
// normalises by batch statistics.
func TestLandscapeOnTheSimplex(t *testing.T) {
	space := getSpace(t, 1)
	net := newQuadratic(space)
	l, err := benchmark.Landscape(context.Background(), net, space, wavy(space), unequal()[:1],
		benchmark.LandscapeOptions{Radius: 3, Points: 5, Moved: results.MovedSimplex})
	if err != nil {
		t.Fatal(err)
	}
	mixing := algorithms.Softmax(space, wavy(space)).Weights
	want := at(mixing, l, -3, -3) // of the first point
	for _, row := range space.Rows() {
		algorithms.ClipRow(want[row.Offset:row.End()])
		for _, call := range net.Calls {
			near(t, "sum of a row", floats.Sum(call.Mixing[row.Offset:row.End()]), 1, 1e-12)
		}
	}
	if d := cmp.Diff(want, net.Calls[1].Mixing); d != "" {
		t.Error(d)
	}
	for _, call := range net.Calls {
		if slices.Min(call.Mixing) < 0 || slices.Max(call.Mixing) > 1 || call.BatchNorm != supernet.BatchStatistics {
			t.Errorf("call %+v", call)
		}
	}
}

func TestLandscapeSeed(t *testing.T) {
	space := getSpace(t, 3)
	measure := func(seed uint64) results.Landscape {
		l, err := benchmark.Landscape(context.Background(), newQuadratic(space), space, wavy(space), unequal(),
			benchmark.LandscapeOptions{Points: 3, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	one, two := measure(1), measure(2)
	if d := cmp.Diff(one, measure(1)); d != "" {
		t.Errorf("equal seeds differ: %s", d)
	}
	if d := cmp.Diff(one.Directions[0], two.Directions[0]); d != "" {
		t.Errorf("the gradient depends on the seed: %s", d)
	}
	if cmp.Equal(one.Directions[1], two.Directions[1]) {
		t.Error("two seeds gave the same random direction")
	}
}

func TestLandscapeDefaults(t *testing.T) {
	space := getSpace(t, 1)
	var seen, total int
	l, err := benchmark.Landscape(context.Background(), newQuadratic(space), space, wavy(space), unequal()[:1], benchmark.LandscapeOptions{
		Report: func(done, all int) {
			if seen++; done != seen || total != 0 && all != total {
				t.Fatalf("%d of %d was reported as number %d of %d", done, all, seen, total)
			}
			total = all
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Coordinates) != 21 || l.Coordinates[0] != -2 || l.Coordinates[20] != 2 || l.Coordinates[10] != 0 || l.Moved != results.MovedAlphas {
		t.Errorf("coordinates %v of %s", l.Coordinates, l.Moved)
	}
	if seen != total || total != 21*21+l.Sharpness.Points {
		t.Errorf("%d of %d points were reported", seen, total)
	}
}

// Neither success nor failure leaves a trace in the running statistics.
func TestLandscapeRestores(t *testing.T) {
	broken := errors.New("the engine is on fire")
	space := getSpace(t, 1)
	for name, c := range map[string]struct {
		stop func(cancel func()) (report func(done, total int), fail func(passes int) error)
		want error
	}{
		"success": {func(func()) (func(int, int), func(int) error) { return nil, nil }, nil},
		"cancelled": {func(cancel func()) (func(int, int), func(int) error) {
			return func(done, _ int) {
				if done == 4 {
					cancel()
				}
			}, nil
		}, context.Canceled},
		"failed": {func(func()) (func(int, int), func(int) error) {
			return nil, func(passes int) error {
				if passes > 6 {
					return broken
				}
				return nil
			}
		}, broken},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			net := newQuadratic(space)
			before := net.Running
			var o benchmark.LandscapeOptions
			o.Points = 3
			o.Report, net.fail = c.stop(cancel)
			l, err := benchmark.Landscape(ctx, net, space, wavy(space), unequal(), o)
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if c.want != nil && !cmp.Equal(l, results.Landscape{}) {
				t.Errorf("half a landscape came with the error: %+v", l)
			}
			if net.Running != before {
				t.Errorf("the running statistic was %v and is %v", before, net.Running)
			}
			if calls := len(net.Calls); name == "cancelled" && calls != 2+4*2 {
				t.Errorf("%d passes, want none after the cancellation", calls)
			}
		})
	}
}

func TestLandscapeDiverged(t *testing.T) {
	space := getSpace(t, 1)
	for name, spoil := range map[string]func(q *algorithmstest.Quadratic){
		"gradient": func(q *algorithmstest.Quadratic) { q.Slope[3] = math.NaN() },
		"loss":     func(q *algorithmstest.Quadratic) { q.Bend[3] = 1e308 },
	} {
		net := newQuadratic(space)
		spoil(net.Quadratic)
		alphas := make([]float64, space.Dim())
		_, err := benchmark.Landscape(context.Background(), net, space, alphas, unequal(),
			benchmark.LandscapeOptions{Radius: 50, Relax: identity(space)})
		if !errors.Is(err, algorithms.ErrDiverged) {
			t.Errorf("%s: error %v, want ErrDiverged", name, err)
		}
	}
}

func TestLandscapeRefuses(t *testing.T) {
	space := getSpace(t, 1)
	type input struct {
		alphas  []float64
		batches []data.Batch
		o       benchmark.LandscapeOptions
		net     quadratic
	}
	for want, spoil := range map[string]func(in *input){
		"radius -1":              func(in *input) { in.o.Radius = -1 },
		"radius NaN":             func(in *input) { in.o.Radius = math.NaN() },
		"4 points":               func(in *input) { in.o.Points = 4 },
		"1 points":               func(in *input) { in.o.Points = 1 },
		`"weights"`:              func(in *input) { in.o.Moved = "weights" },
		"architecture parameter": func(in *input) { in.alphas = in.alphas[1:] },
		"no images":              func(in *input) { in.batches = nil },
		"batch 1 has":            func(in *input) { in.batches = append(in.batches, data.Batch{}) },
		"gives 3 mixing": func(in *input) {
			in.o.Relax = func([]float64) algorithms.Mixing { return algorithms.Mixing{Weights: []float64{1, 2, 3}} }
		},
		"not on the simplex": func(in *input) { in.o.Relax, in.o.Moved = identity(space), results.MovedSimplex },
		"gradient is zero": func(in *input) {
			in.o.Relax = func(alphas []float64) algorithms.Mixing { // all alphas give the same weights
				return algorithms.Mixing{Weights: alphas, Space: space, Probabilities: make([]float64, len(alphas)), Temperature: 1}
			}
		},
	} {
		in := input{alphas: wavy(space), batches: unequal()[:1], net: newQuadratic(space)}
		spoil(&in)
		if _, err := benchmark.Landscape(context.Background(), in.net, space, in.alphas, in.batches, in.o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

// The real supernet: what it was before it is afterwards, bit for bit, and the
// centre is what a pass of its own gives.
func TestLandscapeOfASupernet(t *testing.T) {
	small, err := data.Downsample(data.Procedural(20, 1), 8)
	if err != nil {
		t.Fatal(err)
	}
	loader, err := data.NewLoader(data.Queue{
		Name: "search", Set: small, Images: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, BatchSize: 6,
		Transform: data.Transform{Normalization: data.DARTSNormalization},
	})
	if err != nil {
		t.Fatal(err)
	}
	batches := make([]data.Batch, 2)
	for k := range batches {
		loader.Batch(&batches[k], 0, k)
	}
	for _, name := range []string{"ref", "ref32"} {
		for _, moved := range []string{results.MovedAlphas, results.MovedSimplex} {
			t.Run(name+"/"+moved, func(t *testing.T) {
				space := getSpace(t, 1)
				e, err := engine.Open(name, 1)
				if err != nil {
					t.Fatal(err)
				}
				net, err := supernet.New(supernet.Config{
					Space: space, Channels: 1, Cells: 3, Classes: 10, Side: 8, BatchNormMomentum: 0.997,
				}, e)
				if err != nil {
					t.Fatal(err)
				}
				net.Initialize(random.New(1, "weights"))
				mixing := algorithms.Softmax(space, wavy(space)).Weights
				want := results.Score{}
				correct := 0
				for _, b := range batches {
					pass, err := net.Forward(b, mixing, supernet.BatchStatistics)
					if err != nil {
						t.Fatal(err)
					}
					want.Loss += pass.Loss * float64(b.N) / 10
					correct += pass.Correct
				}
				want.Accuracy = float64(correct) / 10
				read := func() [][]float64 {
					state := [][]float64{make([]float64, net.StatisticsCount()), make([]float64, net.ParameterCount()), make([]float64, net.ParameterCount())}
					net.ReadStatistics(state[0])
					net.ReadParameters(state[1])
					net.ReadMomentum(state[2])
					return state
				}
				before := read()
				l, err := benchmark.Landscape(context.Background(), net, space, wavy(space), batches,
					benchmark.LandscapeOptions{Points: 3, Moved: moved})
				if err != nil {
					t.Fatal(err)
				}
				if !cmp.Equal(before, read()) {
					t.Error("the supernet is not as it was")
				}
				if err := l.Check(); err != nil {
					t.Error(err)
				}
				if got := l.Centre(); got.Accuracy != want.Accuracy {
					t.Errorf("accuracy %v in the centre, want %v", got.Accuracy, want.Accuracy)
				}
				near(t, "loss in the centre", l.Centre().Loss, want.Loss, 1e-6)
				if l.Loss[1][2] == l.Loss[1][1] || l.Loss[2][1] == l.Loss[1][1] {
					t.Error("nothing moved")
				}
				raw, err := json.Marshal(l)
				if err != nil {
					t.Fatal(err)
				}
				var again results.Landscape
				if err := json.Unmarshal(raw, &again); err != nil || !cmp.Equal(l, again) {
					t.Errorf("it came back from JSON as %+v (%v)", again, err)
				}
			})
		}
	}
}
