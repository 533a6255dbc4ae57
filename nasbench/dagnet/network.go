package dagnet

import (
	"math"
	"math/rand/v2"

	_ "github.com/nb1shot/nb1shot/internal/needcgo" // says what is missing where C is not compiled
)

const (
	forward  = 0 // from the input to the output
	backward = 1
)

// shape tells where the weights of a network with the given number of hidden units lie. Every
// matrix has one row for each number that comes in, the last of which are a 1
// and, for vertices, the share.
type shape struct{ hidden int }

func (s shape) arriving() int { return s.hidden + 2 }   // numbers that come into a vertex
func (s shape) read() int     { return 4*s.hidden + 2 } // numbers that the first hidden layer reads

// sizes are the rows and columns of all matrices: the states that the two
// directions start from; for each direction, those of the operations and of the
// end; the hidden layers and the outputs.
func (s shape) sizes() [][2]int {
	all := [][2]int{{2, s.hidden}}
	for range 2 * (kinds + 1) {
		all = append(all, [2]int{s.arriving(), 2 * s.hidden})
	}
	return append(all, [2]int{s.read(), 2 * s.hidden}, [2]int{2*s.hidden + 1, s.hidden}, [2]int{s.hidden + 1, Outputs})
}

// The numbers of the matrices.
const start = 0

func vertex(direction, kind int) int { return 1 + direction*(kinds+1) + kind }

const (
	layer1 = 1 + 2*(kinds+1) + iota
	layer2
	layer3
	matrices
)

// weights are the matrices of a network, or of a gradient, in one piece.
type weights struct {
	all []float32
	of  [matrices]matrix
}

func (s shape) weights() weights {
	total := 0
	for _, size := range s.sizes() {
		total += size[0] * size[1]
	}
	w := weights{all: make([]float32, total)}
	at := 0
	for i, size := range s.sizes() {
		w.of[i] = dense(w.all[at:], size[0], size[1])
		at += size[0] * size[1]
	}
	return w
}

// Network predicts Outputs numbers of a graph. It is safe for use by many
// goroutines.
type Network struct {
	shape
	weights weights
}

// newNetwork draws the weights of a network.
func newNetwork(hidden int, r *rand.Rand) *Network {
	s := shape{hidden}
	n := &Network{s, s.weights()}
	for i, m := range n.weights.of {
		spread := 1 / math.Sqrt(float64(m.rows))
		if i == start {
			spread = 0.5
		}
		for k := range m.data {
			m.data[k] = float32(spread * r.NormFloat64())
		}
	}
	return n
}

// start is the state that a direction starts from.
func (n *Network) start(direction int) []float32 {
	return n.weights.of[start].data[direction*n.hidden:][:n.hidden]
}

// Predict returns the outputs for a graph. It computes in float64 and never fuses
// a product with a sum, so that every machine gets the same.
func (n *Network) Predict(g Graph) [Outputs]float64 {
	h := n.hidden
	var states [2][slots][]float64
	arriving := make([]float64, n.arriving())
	for direction := range 2 {
		first, order := route(direction)
		states[direction][first] = widen(n.start(direction))
		for _, v := range order {
			kind := g.at(v)
			if kind == none {
				continue
			}
			clear(arriving)
			for u := range slots {
				if g.from(direction, v)>>u&1 == 1 {
					for k, x := range states[direction][u] {
						arriving[k] += x
					}
				}
			}
			arriving[h], arriving[h+1] = 1, float64(g.share[v])
			z := apply(n.weights.of[vertex(direction, kind)], arriving)
			s := make([]float64, h)
			for k := range s {
				gate, value := open(z[k]), z[h+k]
				s[k] = float64(gate*value*open(value)) + float64((1-gate)*kept*arriving[k])
			}
			states[direction][v] = s
		}
	}
	x := make([]float64, n.read())
	copy(x, states[forward][output])
	copy(x[h:], states[backward][input])
	for v := 1; v <= g.n; v++ {
		f, b := states[forward][v], states[backward][v]
		for k := range f {
			x[2*h+k] += float64(f[k] * b[k])
			x[3*h+k] += f[k]
		}
	}
	x[4*h], x[4*h+1] = float64(g.size), 1
	for _, layer := range []int{layer1, layer2} {
		z := apply(n.weights.of[layer], x)
		for k := range z {
			z[k] *= open(z[k])
		}
		x = append(z, 1)
	}
	return [Outputs]float64(apply(n.weights.of[layer3], x))
}

func widen(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// apply returns x·w.
func apply(w matrix, x []float64) []float64 {
	y := make([]float64, w.columns)
	for i, v := range x {
		row := w.data[i*w.row:][:len(y)]
		for j, weight := range row {
			y[j] += float64(v * float64(weight))
		}
	}
	return y
}

const kept = 0.6 // of what comes in, where a gate is shut

// open rises from 0 to 1, without an exponential.
func open(x float64) float64 { return 0.5 + float64(0.5*x/(1+math.Abs(x))) }
