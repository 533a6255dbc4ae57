package supernet_test

import (
	"math"
	"strings"
	"testing"

	"github.com/nb1shot/nb1shot/internal/engine/ref"
	"github.com/nb1shot/nb1shot/random"
	"github.com/nb1shot/nb1shot/supernet"
)

// Two steps of RMSProp are those of its definition: the mean square starts at 1, ε is under
// the root, momentum is of the steps, and weight decay is part of the gradient.
func TestStepRMSProp(t *testing.T) {
	spec := parseCell(t, nasbench101Cells[0])
	c := evaluation(supernet.Evaluation{Cell: &spec})
	c.Channels = 8
	net, err := supernet.New(c, ref.New[float64](1))
	if err != nil {
		t.Fatal(err)
	}
	net.Initialize(random.New(1, "weights"))
	n := net.ParameterCount()
	got, want, gradient := make([]float64, n), make([]float64, n), make([]float64, n)
	square, momentum := make([]float64, n), make([]float64, n)
	net.ReadParameters(want)
	net.ReadMeanSquare(square)
	for i, s := range square {
		if s != 1 {
			t.Fatalf("the mean square of weight %d starts at %v", i, s)
		}
	}
	for step := range 2 {
		if _, err := net.WeightGradient(dartsBatch(3), nil, supernet.BatchStatistics); err != nil {
			t.Fatal(err)
		}
		net.ReadGradient(gradient)
		norm, err := net.StepRMSProp(supernet.RMSProp{LearningRate: 0.2, Decay: 0.9, Momentum: 0.8, Epsilon: 1, WeightDecay: 0.01})
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for i, g := range gradient {
			sum += g * g
			g += 0.01 * want[i]
			square[i] = 0.9*square[i] + 0.1*g*g
			momentum[i] = 0.8*momentum[i] + 0.2*g/math.Sqrt(square[i]+1)
			want[i] -= momentum[i]
		}
		if math.Abs(norm-math.Sqrt(sum)) > 1e-12*norm {
			t.Errorf("step %d: norm %v, want %v", step, norm, math.Sqrt(sum))
		}
		net.ReadParameters(got)
		for i := range got {
			if math.Abs(got[i]-want[i]) > 1e-14*max(1, math.Abs(want[i])) {
				t.Fatalf("step %d: weight %d is %v, want %v", step, i, got[i], want[i])
			}
		}
	}
	net.ReadMeanSquare(got)
	for i := range got {
		if math.Abs(got[i]-square[i]) > 1e-14*square[i] {
			t.Fatalf("mean square %d is %v, want %v", i, got[i], square[i])
		}
	}
	gradient[3] = math.Inf(1)
	net.WriteGradient(gradient)
	if _, err := net.StepRMSProp(supernet.RMSProp{LearningRate: 0.1, Epsilon: 1}); err == nil || !strings.Contains(err.Error(), "diverged") {
		t.Errorf("an infinite gradient: %v", err)
	}
	net.Initialize(random.New(1, "weights"))
	if net.ReadMeanSquare(got); got[0] != 1 {
		t.Errorf("the mean square of new weights is %v", got[0])
	}
}

// The weights of NAS-Bench-101's network start as TensorFlow's: kernels within two standard
// deviations of a normal distribution whose variance, once cut, is one over the fan-in.
func TestNASBench101Start(t *testing.T) {
	spec := parseCell(t, nasbench101Cells[0])
	c := evaluation(supernet.Evaluation{Cell: &spec})
	c.Channels, c.Cells = 32, 3
	net, err := supernet.New(c, ref.New[float64](1))
	if err != nil {
		t.Fatal(err)
	}
	net.Initialize(random.New(1, "weights"))
	weights := make([]float64, net.ParameterCount())
	net.ReadParameters(weights)
	for _, p := range net.Parameters() {
		w := weights[p.Offset : p.Offset+p.Size]
		mean, square, largest := 0.0, 0.0, 0.0
		for _, x := range w {
			mean += x / float64(len(w))
			square += x * x / float64(len(w))
			largest = max(largest, math.Abs(x))
		}
		switch {
		case len(p.Shape) == 4 && p.Size > 2000:
			fanIn := float64(p.Size / p.Shape[0])
			if v := square * fanIn; v < 0.9 || v > 1.1 || largest > 2/math.Sqrt(fanIn)/0.8796 || math.Abs(mean) > 0.1/math.Sqrt(fanIn) {
				t.Errorf("%s: mean %v, variance %v over the fan-in, at most %v", p.Name, mean, v, largest)
			}
		case strings.HasSuffix(p.Name, "norm.weight") && math.Abs(square-1) > 1e-9, strings.HasSuffix(p.Name, ".bias") && square != 0:
			t.Errorf("%s starts at %v", p.Name, w[0])
		}
	}
}
